"""Signed metadata (C2PA): which model made an output, and with what; embedded in the file or in a file beside it.

A manifest is bound to the content by its hash: a reader sees whether either was changed since it was signed.
"""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import genloom
from genloom import limited_process
from genloom.limited_process import limit_time
from genloom.store.files import read_beginning
from genloom.trust.signing import Anchors, SigningKey

if TYPE_CHECKING:
    import c2pa

SIDECAR_SUFFIX = ".c2pa"  # after the whole name of a file whose format holds no manifest
MAX_SIDECAR_BYTES = 64 << 20  # a manifest may hold those of many sources
FACTS_LABEL = "org.genloom.output"  # the assertion with what Genloom knows of an output
# The formats that hold a manifest themselves, by suffix.
EMBEDDING_FORMATS: Mapping[str, str] = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".avif": "image/avif",
    ".svg": "image/svg+xml",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".pdf": "application/pdf",
}
_BOUND_FORMAT = "application/octet-stream"  # of files that a manifest beside them is bound to
_IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED, EDITED = f"{_IPTC}trainedAlgorithmicMedia", f"{_IPTC}compositeWithTrainedAlgorithmicMedia"
WEIGHTS = "http://c2pa.org/digitalsourcetype/trainedAlgorithmicData"
_SETTINGS: Mapping[str, Any] = {
    "version": 1,
    # Thumbnails cost up to seconds, and are no evidence.
    "builder": {"thumbnail": {"enabled": False}},
    # Nothing of a file from outside makes this machine open a connection.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
    "core": {"allowed_network_hosts": []},
}

# A copied certificate alone proves nothing: the signature must be made with its key, too.
_SIGNED_BY_TRUSTED = {"signingCredential.trusted", "claimSignature.validated"}

Authority = Literal["workspace", "trusted", "unknown"]
REVOKED = "signingCredential.revoked"  # the problem of a signature whose authority was revoked here


@dataclass(frozen=True)
class Ingredient:
    """A source that an output was made from, with the manifest that it came with, if it had one."""

    data: bytes
    suffix: str
    title: str


@dataclass(frozen=True)
class SignedFile:
    """The bytes of a file, and of the manifest beside it (None: the file holds it)."""

    data: bytes
    sidecar: bytes | None


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was read.

    A file is "changed" if the content, the manifest or one inside it are not as they were signed, and "unreadable" if
    the file or what is left of a manifest cannot be read. `facts` are empty if the manifest itself was changed.
    """

    state: Literal["unchanged", "changed", "unreadable"]
    authority: Authority
    signer: str = ""
    generator: str = ""  # the program that wrote it
    problems: tuple[str, ...] = ()  # codes of the C2PA specification
    actions: tuple[str, ...] = ()
    source_type: str = ""  # the last part of the IPTC digital source type
    facts: Mapping[str, Any] = field(default_factory=dict)  # what Genloom wrote about the output
    ingredients: tuple[str, ...] = ()  # titles
    is_sidecar: bool = False
    source_problems: tuple[str, ...] = ()  # of the ingredients, found when the file was made of them

    @property
    def is_trusted(self) -> bool:
        """Whether the signer is this workspace or a trusted one."""
        return self.authority != "unknown"

    @property
    def is_revoked(self) -> bool:
        """Whether its authority was revoked in this workspace, so that anyone may have signed in its name."""
        return REVOKED in self.problems


def get_sidecar_path(path: Path) -> Path:
    """Return where the manifest of a file lies whose format holds none."""
    return path.with_name(path.name + SIDECAR_SUFFIX)


def can_embed(suffix: str) -> bool:
    """Return whether files of a suffix hold their manifest."""
    return suffix.lower() in EMBEDDING_FORMATS


def sign_bytes(
    key: SigningKey,
    data: bytes,
    suffix: str,
    facts: Mapping[str, Any],
    *,
    title: str = "",
    source_type: str = "",
    ingredient: Ingredient | None = None,
) -> SignedFile:
    """Return a file with a signed manifest that holds the facts; its content and any manifest that it has stay.

    `source_type` is an IPTC digital source type; "": generated, or of an edit generated and edited. Of an answer that
    was imported (a fact), the ingredient is the answer itself, and nothing says that it was generated.
    Raises c2pa.C2paError for a file that is not what its suffix says.
    """
    import c2pa

    definition = _define_manifest(facts, title, source_type, ingredient is not None)
    builder = c2pa.Builder.from_json(json.dumps(definition), _open_context(key))
    if ingredient is not None:
        _add_ingredient(builder, ingredient)
    format = EMBEDDING_FORMATS.get(suffix.lower())
    signed = io.BytesIO()
    if format is None:
        builder.set_no_embed()
        return SignedFile(data, builder.sign(_BOUND_FORMAT, io.BytesIO(data), signed))
    builder.sign(format, io.BytesIO(data), signed)
    return SignedFile(signed.getvalue(), None)


def sign_file(
    key: SigningKey, source: Path, target: Path, suffix: str, facts: Mapping[str, Any], *, title: str = ""
) -> bytes | None:
    """Write a file with a signed manifest that holds the facts, without reading it into memory; see `sign_bytes`.

    Returns the manifest of a format that holds none: then nothing is written.
    """
    import c2pa

    builder = c2pa.Builder.from_json(json.dumps(_define_manifest(facts, title, "", False)), _open_context(key))
    format = EMBEDDING_FORMATS.get(suffix.lower())
    with source.open("rb") as content:
        if format is None:
            builder.set_no_embed()
            return builder.sign(_BOUND_FORMAT, content, io.BytesIO())
        with target.open("w+b") as signed:
            builder.sign(format, content, signed)
    return None


def _define_manifest(facts: Mapping[str, Any], title: str, source_type: str, is_edit: bool) -> dict[str, Any]:
    program = {"name": "Genloom", "version": genloom.__version__}
    when = {"when": facts["created"]} if facts.get("created") else {}
    made: dict[str, Any] = {"digitalSourceType": source_type or (EDITED if is_edit else GENERATED), **when}
    if is_edit:
        actions = [{"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}, **when}]
        if not facts.get("imported"):
            actions.append({"action": "c2pa.edited", "softwareAgent": program, **made})
    else:
        actions = [{"action": "c2pa.created", "softwareAgent": program, **made}]
    return {
        "claim_generator_info": [program],
        "title": title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": FACTS_LABEL, "data": dict(facts)},
        ],
    }


def _add_ingredient(builder: "c2pa.Builder", ingredient: Ingredient) -> None:
    description = {"title": ingredient.title, "relationship": "parentOf", "label": "source"}
    format = EMBEDDING_FORMATS.get(ingredient.suffix.lower(), _BOUND_FORMAT)
    builder.add_ingredient(description, format, io.BytesIO(ingredient.data))


@cache
def _open_context(key: SigningKey) -> "c2pa.Context":
    """Return the library's settings with a signer; making one takes longer than signing."""
    import c2pa

    signer = c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, key.chain.encode(), key.key.encode(), None)
    )
    return c2pa.Context(c2pa.Settings.from_dict(dict(_SETTINGS)), signer)


def read_manifest(path: Path, anchors: Anchors) -> Manifest | None:
    """Return the manifest of a file, or that beside it; None if there is none. Raises OSError.

    A file from outside is read where it can do no harm: see `read_watched`.
    """
    sidecar_path = find_sidecar(path)
    sidecar = None if sidecar_path is None else read_beginning(sidecar_path, MAX_SIDECAR_BYTES)
    return _read(lambda: path.open("rb"), path.suffix, anchors, sidecar)


def read_watched(path: Path, anchors: Anchors) -> Manifest | None:
    """Read a manifest in a LimitedProcess, which ends if that takes long."""
    with limit_time(limited_process.limits.seconds_for(path.stat().st_size)):
        return read_manifest(path, anchors)


def find_sidecar(path: Path) -> Path | None:
    """Return the manifest beside a file, under its whole name or without its suffix; None if there is none."""
    candidates = (get_sidecar_path(path), path.with_suffix(SIDECAR_SUFFIX))
    return next((each for each in candidates if each != path and each.is_file()), None)


def read_bytes(data: bytes, suffix: str, anchors: Anchors, sidecar: bytes | None = None) -> Manifest | None:
    """Return the manifest of a file that was read, or the one beside it; None if there is none."""
    return _read(lambda: io.BytesIO(data), suffix, anchors, sidecar)


def _read(open_file: Callable[[], BinaryIO], suffix: str, anchors: Anchors, sidecar: bytes | None) -> Manifest | None:
    manifest = _read_store(open_file, EMBEDDING_FORMATS.get(suffix.lower(), _BOUND_FORMAT), None, anchors)
    if manifest is None and sidecar is not None:
        return _read_store(open_file, _BOUND_FORMAT, sidecar, anchors)
    return manifest


def _read_store(
    open_file: Callable[[], BinaryIO], format: str, sidecar: bytes | None, anchors: Anchors
) -> Manifest | None:
    """Read a manifest as trusted by the workspace's authority, else by others, else by none."""
    import c2pa

    found: dict[str, Any] = {}
    authority: Authority = "unknown"
    is_revoked = False
    judges: list[tuple[Authority, str]] = [("workspace", anchors.own), ("trusted", anchors.others)]
    judges.append(("unknown", anchors.revoked))
    for name, certificates in [judge for judge in judges if judge[1]] or [(authority, "")]:
        try:
            with (
                open_file() as file,
                c2pa.Reader(format, file, sidecar, context=_open_reading_context(certificates)) as reader,
            ):
                found = json.loads(reader.json())
        except c2pa.C2paError as error:
            if _is_absent(error):
                return None
            return Manifest("unreadable", "unknown", problems=(_name_error(error),), is_sidecar=sidecar is not None)
        if certificates and _list_successes(found) >= _SIGNED_BY_TRUSTED:
            authority, is_revoked = name, name == "unknown"
            break
    manifest = _parse_store(found, authority, sidecar is not None)
    return replace(manifest, problems=(*manifest.problems, REVOKED)) if is_revoked else manifest


@cache
def _open_reading_context(certificates: str) -> "c2pa.Context":
    import c2pa

    trust = {"trust": {"user_anchors": certificates}} if certificates else {}
    return c2pa.Context(c2pa.Settings.from_dict({**_SETTINGS, **trust}))


def _is_absent(error: Exception) -> bool:
    """Return whether the library found no manifest, or knows no place for one in such a file."""
    return type(error).__name__ in ("_C2paManifestNotFound", "_C2paNotSupported")


def _name_error(error: Exception) -> str:
    return str(error).partition(":")[0][:80]


def _list_successes(store: Mapping[str, Any]) -> set[str]:
    """Return the codes of what the library found to be right."""
    results = _get_results(store).get("activeManifest") or {}
    return {str(entry.get("code")) for entry in results.get("success") or ()}


def _get_results(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the library found of a store, or of an ingredient: of the manifest, and of those inside it."""
    return found.get("validation_results") or {}


def _list_source_problems(ingredients: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the codes of what was wrong with sources when they were taken, but not about who had signed them."""
    found: list[str] = []
    for ingredient in ingredients:
        failures = (_get_results(ingredient).get("activeManifest") or {}).get("failure") or ()
        entries = [*failures, *(ingredient.get("validation_status") or ())]  # the second by earlier versions
        found += [str(entry.get("code")) for entry in entries if isinstance(entry, Mapping)]
    return tuple(dict.fromkeys(code for code in found if not _is_about_signer(code)))


def _parse_store(store: Mapping[str, Any], authority: Authority, is_sidecar: bool) -> Manifest:
    active = (store.get("manifests") or {}).get(store.get("active_manifest")) or {}
    results = _get_results(store).get("activeManifest") or {}
    deltas = [each.get("validationDeltas") or {} for each in _get_results(store).get("ingredientDeltas") or ()]
    failures = [entry for found in (results, *deltas) for entry in found.get("failure") or ()]
    codes = tuple(dict.fromkeys(str(entry.get("code")) for entry in failures))
    is_changed = not active or any(not _is_about_signer(code) for code in codes)
    assertions = [entry for entry in active.get("assertions") or () if isinstance(entry.get("data"), dict)]
    actions = [
        action
        for entry in assertions
        if str(entry.get("label")).startswith("c2pa.actions")
        for action in entry["data"].get("actions") or ()
        if isinstance(action, dict)
    ]
    types = [str(action["digitalSourceType"]) for action in actions if action.get("digitalSourceType")]
    is_genuine = "claimSignature.validated" in _list_successes(store) and "assertion.hashedURI.mismatch" not in codes
    facts = next((entry["data"] for entry in assertions if is_genuine and entry.get("label") == FACTS_LABEL), {})
    signature, generators = active.get("signature_info") or {}, active.get("claim_generator_info") or []
    generator = " ".join(str(generators[0].get(name, "")) for name in ("name", "version")) if generators else ""
    return Manifest(
        "changed" if is_changed else "unchanged",
        authority,
        str(signature.get("issuer") or signature.get("common_name") or ""),
        generator.strip() or str(active.get("claim_generator") or ""),
        codes,
        tuple(str(action.get("action")) for action in actions),
        types[-1].rpartition("/")[2] if types else "",
        facts,
        tuple(str(each.get("title") or "") for each in active.get("ingredients") or ()),
        is_sidecar,
        _list_source_problems(active.get("ingredients") or ()),
    )


def _is_about_signer(code: str) -> bool:
    """Return whether a failure is about who signed, or when, and not about what was signed."""
    return code.startswith(("signingCredential.", "timeStamp.", "claimSignature.outsideValidity"))
