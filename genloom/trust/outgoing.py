"""The signature of an output, made where it leaves Genloom; the stored output stays as a replay gives it.

A missing package or key never keeps an output back: it leaves unsigned, with the reason.
"""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError, format_message
from genloom.settings import parse_settings
from genloom.store.files import hash_file, open_replacement, write_atomic
from genloom.store.records import get_marking_key
from genloom.store.workspace import Workspace
from genloom.trust import manifests, signing
from genloom.trust.manifests import Ingredient, SignedFile
from genloom.trust.revocation import record_signature, record_signed_digest

PREFERENCES_FILE = "trust.toml"  # in the workspace
_SOURCE_FIELDS = ("source_file", "image", "source")  # of the record of an edit, in the order of preference
MAX_SIGNED_BYTES = 256 << 20  # of a file that is written from another file
_MAX_PROMPT_CHARS = 10_000
_MAX_LISTED = 100  # outputs that a signature of several tells of
_MAX_PREFERENCES_BYTES = 1 << 20


@dataclass(frozen=True)
class SignaturePreferences:
    """The table [signatures] of trust.toml."""

    include_prompt: bool = False  # whether signatures tell the prompt


@dataclass(frozen=True)
class OutgoingFile:
    """A file as it leaves: signed, or unsigned with the problem."""

    data: bytes
    sidecar: bytes | None = None
    problem: str = ""

    @property
    def is_signed(self) -> bool:
        return not self.problem

    def write(self, path: Path) -> None:
        """Write the file, and before it its manifest beside it if the file does not hold it.

        The manifest of a file that was there before is replaced or removed.
        """
        sidecar_path = manifests.get_sidecar_path(path)
        if self.sidecar is not None:
            write_atomic(sidecar_path, self.sidecar)
        write_atomic(path, self.data)
        if self.sidecar is None:
            sidecar_path.unlink(missing_ok=True)


def sign_output(workspace: Workspace, record: Mapping[str, Any], data: bytes, suffix: str) -> OutgoingFile:
    """Return a file of an output, in any format, with its signature; unsigned with the reason if that fails."""
    try:
        facts = collect_facts(workspace, record, read_preferences(workspace.root))
        source = find_source(workspace, record)
        if facts.get("imported"):  # nobody knows who made it, and how: the signature says that it was opened here
            source = Ingredient(data, suffix, str(facts["imported"]))
        return sign_data(workspace.root, data, suffix, facts, source)
    except GenloomError as error:
        return OutgoingFile(data, problem=str(error))


def write_signed_file(workspace: Workspace, record: Mapping[str, Any], source: Path, target: Path) -> str:
    """Write a file of an output to a path with its signature, and return why it is not signed; "" if it is.

    `source` is of the format of the target's suffix. Signing takes three times the size of a file in memory, so a file
    beyond MAX_SIGNED_BYTES is not signed; nothing else here reads it into memory.
    """
    sidecar_path, sidecar, problem = manifests.get_sidecar_path(target), None, ""
    with open_replacement(target) as draft:
        try:
            if source.stat().st_size > MAX_SIGNED_BYTES:
                raise GenloomError("trust.too_large_to_sign", path=target, limit=MAX_SIGNED_BYTES >> 20)
            facts = collect_facts(workspace, record, read_preferences(workspace.root))
            title = str(record.get("id") or "")
            sidecar = _sign_file(signing.load_signing_key(workspace.root), source, draft, target.suffix, facts, title)
        except (GenloomError, ImportError, RuntimeError) as error:  # also a library that this system cannot load
            problem = str(error)
        if problem or sidecar is not None:
            shutil.copyfile(source, draft)
    if sidecar is not None:
        write_atomic(sidecar_path, sidecar)
    else:
        sidecar_path.unlink(missing_ok=True)
    if not problem:
        digest = hash_file(target) if sidecar is None else hashlib.sha256(sidecar).hexdigest()
        record_signed_digest(workspace.root, digest)
    return problem


def _sign_file(
    key: signing.SigningKey, source: Path, target: Path, suffix: str, facts: Mapping[str, Any], title: str
) -> bytes | None:
    """Write a signed file, or return the manifest of a format that holds none; GenloomError if it cannot be signed."""
    from c2pa import C2paError

    try:
        return manifests.sign_file(key, source, target, suffix, facts, title=title)
    except C2paError as error:
        reason = str(error).strip() or type(error).__name__
        raise GenloomError("trust.not_signed", output=title or "The file", reason=reason) from error


def sign_outputs(workspace: Workspace, records: Sequence[Mapping[str, Any]], data: bytes, suffix: str) -> OutgoingFile:
    """Return a file that shows several outputs with its signature; unsigned with the reason if that fails."""
    if len(records) == 1:
        return sign_output(workspace, records[0], data, suffix)
    try:
        preferences = read_preferences(workspace.root)
    except GenloomError as error:
        return OutgoingFile(data, problem=str(error))
    listed = [collect_facts(workspace, record, preferences) for record in records[:_MAX_LISTED]]
    return sign_data(workspace.root, data, suffix, {"count": len(records), "outputs": listed})


def sign_data(
    root: Path,
    data: bytes,
    suffix: str,
    facts: Mapping[str, Any],
    ingredient: Ingredient | None = None,
    source_type: str = "",
) -> OutgoingFile:
    """Return a file with a signature that holds the facts; an empty one, or with the reason if that fails, unsigned."""
    if not data:
        return OutgoingFile(data)
    title = str(facts.get("output") or facts.get("model") or "")
    try:
        key = signing.load_signing_key(root)
        from c2pa import C2paError
    except (GenloomError, OSError, ImportError, RuntimeError) as error:  # also a library that this system cannot load
        return OutgoingFile(data, problem=str(error))
    try:
        signed: SignedFile = manifests.sign_bytes(
            key, data, suffix, facts, title=title, source_type=source_type, ingredient=ingredient
        )
    except C2paError as error:
        reason = str(error).strip() or type(error).__name__
        return OutgoingFile(data, problem=format_message("trust.not_signed", output=title or "The file", reason=reason))
    record_signature(root, signed.data if signed.sidecar is None else signed.sidecar)
    return OutgoingFile(signed.data, signed.sidecar)


def sign_blind(root: Path, data: bytes, suffix: str) -> bytes:
    """Return a file of an output, signed without the name of its model, so that a rater cannot see it.

    A format that holds no manifest stays as it is.
    """
    return sign_data(root, data, suffix, {"blind": True}).data if manifests.can_embed(suffix) else data


def collect_facts(
    workspace: Workspace, record: Mapping[str, Any], preferences: SignaturePreferences | None = None
) -> dict[str, Any]:
    """Return what a signature tells of an output: the model, its data and their licences, the time."""
    ref, digest = str(record.get("model") or ""), str(record.get("model_digest") or "")
    adapters = dict(record.get("adapters") or {})
    facts: dict[str, Any] = {
        "output": record.get("id"),
        "sha256": record.get("sha256"),  # of the stored output, which a replay gives
        "created": record.get("created"),
        "medium": record.get("medium"),
        "model": ref,
        "model_digest": digest,
        "adapters": adapters,
        "data": list_data(workspace, {ref: digest, **adapters}),
        "mark": get_marking_key(record),
        "imported": record.get("imported"),
    }
    if preferences is not None and preferences.include_prompt:
        facts["prompt"] = str(record.get("prompt") or "")[:_MAX_PROMPT_CHARS]
    return {name: value for name, value in facts.items() if value}


def read_preferences(root: Path) -> SignaturePreferences:
    """Return the preferences of the workspace; GenloomError (trust.bad_preferences) for a file that says no such."""
    import tomllib

    path = root / PREFERENCES_FILE
    if not path.is_file():
        return SignaturePreferences()
    try:
        if path.stat().st_size > _MAX_PREFERENCES_BYTES:
            raise ValueError(format_message("trust.file_too_large", limit=_MAX_PREFERENCES_BYTES >> 20))
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("signatures") or {}
        return parse_settings(SignaturePreferences, table, "signatures")
    except (OSError, ValueError, TypeError, AttributeError) as error:  # GenloomError, TOMLDecodeError are ValueErrors
        raise GenloomError("trust.bad_preferences", path=path, reason=error) from error


def list_data(workspace: Workspace, models: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return the data that models, by their refs with digests, and those they were tuned from were trained on."""
    found: list[Mapping[str, Any]] = []
    for ref, digest in models.items():
        found += [entry for entry in read_lineage(workspace, ref, digest) if entry not in found]
    return found


@lru_cache(maxsize=256)
def read_lineage(workspace: Workspace, ref: str, digest: str) -> tuple[Mapping[str, Any], ...]:
    """Return the data that a model and those it was tuned from were trained on, with their licences.

    Data of a model that is not in the workspace any more, or not as it was, is unknown.
    """
    data: dict[str, Mapping[str, Any]] = {}
    visited: set[str] = set()
    while ref and ref not in visited:
        visited.add(ref)
        try:
            folder = workspace.get_model(ref)
        except GenloomError:
            break
        if digest and folder.digest != digest:
            break
        for entry in (folder.card.get("data"), folder.card.get("source")):
            if isinstance(entry, Mapping) and entry.get("name"):
                licences = sorted(entry.get("licences") or {}) or [str(entry.get("licence") or "unknown")]
                data.setdefault(str(entry["name"]), {"name": str(entry["name"]), "licences": licences})
        parents = folder.card.get("parents") or [{}]
        ref, digest = folder.parent_ref, str(parents[0].get("digest") or "")
    return tuple(data.values())


def find_source(workspace: Workspace, record: Mapping[str, Any]) -> Ingredient | None:
    """Return the source of an edited output, with the manifest that it came with; None if it had no source."""
    request = record.get("request") or {}
    edit = request.get("edit") or request.get("original") or {}
    digest = next((str(edit[name]) for name in _SOURCE_FIELDS if edit.get(name)), "")
    path = (
        next(iter((workspace.root / "outputs" / "originals").glob(f"{Path(digest).name}.*")), None) if digest else None
    )
    if path is None:
        return None
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:  # it is not the source any more
        return None
    return Ingredient(data, path.suffix, f"source{path.suffix}")
