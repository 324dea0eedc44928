"""The evidence of a file's origin: its signature, its mark, and the output of this workspace that it is.

No result says that a person made something: a file without a signature and without a mark gives no evidence.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom.api.verified_files import IsRecord, ListedFile, is_intact_record, list_files
from genloom.errors import GenloomError, format_message
from genloom.store import files, output_index
from genloom.text_format import format_count, format_duration

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.limited_process import LimitedProcess
    from genloom.trust.manifests import Manifest
    from genloom.trust.marks import MarkReport

MarkSearch = Literal["full", "fast", "none"]
Progress = Callable[[float, str], None]
_MAX_CHARS, _MAX_LISTED = 200, 20  # that a line shows
_MIN_SECONDS_LEFT = 10.0  # that are told


@dataclass(frozen=True)
class Verification:
    """The evidence of a file's origin."""

    path: Path
    manifest: "Manifest | None" = None
    problem: str = ""  # why its signature could not be read
    output: str = ""  # the id of the output of this workspace that it is
    is_stored: bool = False  # its bytes are those of the stored output
    facts: Mapping[str, Any] = field(default_factory=dict)  # of the output, from the workspace or the signature
    mark: "MarkReport | None" = None  # None: it was not looked for
    mark_problem: str = ""  # why not

    @property
    def signature(self) -> str:
        """The finding about the signature: "unchanged", "changed", "unreadable" or "none"; "unread" if that failed."""
        if self.problem:
            return "unread"
        return self.manifest.state if self.manifest is not None else "none"

    @property
    def is_fine(self) -> bool:
        """Whether there is evidence of a trusted origin, and none against it.

        That is an unchanged file with a trusted signature, or one without a signature that has a mark of this workspace
        or is byte for byte an output of it.
        """
        if self.signature == "unchanged":
            assert self.manifest is not None
            return self.manifest.is_trusted
        return self.signature == "none" and (self.is_stored or (self.mark is not None and self.mark.is_found))

    def list_lines(self) -> list[tuple[str, str]]:
        """Return what is known as pairs of a topic and a sentence."""
        lines = [("signature", self._describe_signature()), ("mark", self._describe_mark())]
        if self.output:
            how = "the bytes are those of the stored output" if self.is_stored else "the signature names it"
            lines.append(("output", f"{self.output} of this workspace ({how})"))
        if self.output or (self.manifest is not None and self.manifest.is_trusted):
            lines += self._list_facts()
        if self.manifest is not None and self.manifest.ingredients:
            titles = ", ".join(map(quote_text, self.manifest.ingredients[:_MAX_LISTED]))
            wrong = ", ".join(self.manifest.source_problems[:_MAX_LISTED])
            note = f" (not as signed when this file was made of it: {clean_text(wrong)})" if wrong else ""
            lines.append(("sources", titles + note))
        return lines

    def _list_facts(self) -> Iterator[tuple[str, str]]:
        """Yield what the workspace, or a trusted signer, says of the output."""
        for topic, name in (("model", "model"), ("digest", "model_digest"), ("made", "created")):
            if self.facts.get(name):
                yield topic, clean_text(self.facts[name])
        outputs, data = (
            [each for each in to_items(self.facts.get(name)) if isinstance(each, Mapping)]
            for name in ("outputs", "data")
        )
        if outputs:
            yield "outputs", ", ".join(clean_text(each.get("output")) for each in outputs[:_MAX_LISTED])
        if data:
            licences = (", ".join(map(clean_text, to_items(each.get("licences")))) for each in data[:_MAX_LISTED])
            names = (clean_text(each.get("name")) for each in data)
            yield "data", ", ".join(f"{name} ({text})" for name, text in zip(names, licences, strict=False))
        if self.facts.get("prompt"):
            yield "prompt", clean_text(self.facts["prompt"])

    def _describe_signature(self) -> str:
        if self.problem:
            return self.problem
        if self.manifest is None:
            return "none"
        manifest = self.manifest
        codes = f" ({clean_text(', '.join(manifest.problems))})" if manifest.problems else ""
        if manifest.state == "unreadable":
            return f"the file or its manifest is damaged{codes}"
        who = {"workspace": "this workspace", "trusted": "trusted", "unknown": "unknown authority"}[manifest.authority]
        if manifest.is_revoked:
            who = "a revoked authority: anyone may have signed in its name"
        change = "content unchanged" if manifest.state == "unchanged" else "changed since"
        return f"signed by {quote_text(manifest.signer)} ({who}), {change}{codes}"

    def _describe_mark(self) -> str:
        if self.mark is None:
            return f"not checked{': ' if self.mark_problem else ''}{self.mark_problem}"
        if not self.mark.is_found and not self.mark.num_tests:
            return format_message("trust.no_mark_to_find")
        if self.mark.is_significant and self.mark.is_revoked:
            return format_message("trust.revoked_mark", p=f"{self.mark.p_value:.2g}", key=self.mark.key)
        if not self.mark.is_found:
            return f"not found (p = {self.mark.p_value:.2g})"
        among = f", {self.mark.num_values} values together" if self.mark.num_values > 1 else ""
        among += f", in the noise of the output {self.mark.output}" if self.mark.output else ""
        return f"found (p = {self.mark.p_value:.2g}, key {self.mark.key}, {self.mark.method}{among})"

    def to_json(self) -> dict[str, Any]:
        """Return what is known as JSON values."""
        manifest = self.manifest
        signed = None
        if manifest is not None:
            signed = {name: value for name, value in vars(manifest).items() if name != "facts"}
        return {
            "file": str(self.path),
            "fine": self.is_fine,
            "signature": self.signature,
            "problem": self.problem,
            "manifest": signed,
            "mark": None if self.mark is None else {**vars(self.mark), "found": self.mark.is_found},
            "mark_problem": self.mark_problem,
            "output": self.output or None,
            "stored": self.is_stored,
            "facts": dict(self.facts),
        }

    def __str__(self) -> str:
        name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(self.path))
        return "\n".join([name, *(f"  {topic:<10} {sentence}" for topic, sentence in self.list_lines())])


def clean_text(value: object) -> str:
    """Return a text from a file as one line of bounded length, which cannot pass for a line of ours."""
    text = " ".join(str(value).split())
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)  # also those that turn a line
    return text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + "…"


def quote_text(value: object) -> str:
    """Return a name from a file in quotation marks, so that nothing in it passes for a statement of ours."""
    return json.dumps(clean_text(value), ensure_ascii=False)


def to_items(value: object) -> list[Any]:
    """Return a list from a file; [] for a value that is none."""
    return value if isinstance(value, list) else []


def verify(workspace: "Workspace", path: str | Path, *, marks: MarkSearch = "full") -> Verification:
    """Return what a file says of its origin: its signature, its mark, and which output of this workspace it is.

    The manifest may be in the file or beside it. A signature is judged by the authorities of this workspace and the
    certificates that it trusts (`genloom keys trust FILE`). Files from outside are read with limits of memory and time.

    Parameters
    ----------
    marks
        Search for marks of this workspace: "full", "fast" (without the probabilities of models, and without cut, scaled
        or mirrored pictures) or "none".

    Raises
    ------
    GenloomError
        core.unreadable_file: there is no such file; trust.extra_missing: the extra `trust` is not installed.
    """
    (verification,) = iter_verify(workspace, [files.expand_home(path)], marks=marks)
    return verification


def iter_verify(
    workspace: "Workspace",
    paths: Iterable[str | Path],
    *,
    marks: MarkSearch = "full",
    progress: Progress | None = None,
) -> Iterator[Verification]:
    """Yield what each file says of its origin; of a folder, every file in it. See `verify`.

    Records in the folder `outputs` of the workspace are left out, as manifests beside their files are: they are no
    outputs. `progress` is called before each file with the share that is done, and a note.
    """
    from genloom.limited_process import LimitedProcess

    is_record = partial(is_intact_record, workspace.folder / "outputs")
    with LimitedProcess() as process, output_index.open_index(workspace.folder) as find_output:
        verifier = _Verifier(workspace, marks, find_output)
        for each in _tell_progress(list(paths), is_record, progress):
            if each.problem:
                yield Verification(each.path, problem=each.problem)
                continue
            try:
                yield verifier.verify(each.path, process)
            except GenloomError as error:
                if each.is_named or error.code != "core.unreadable_file":
                    raise
                yield Verification(each.path, problem=format_message("trust.unread", reason=error))


def _tell_progress(paths: Sequence[str | Path], is_record: IsRecord, progress: Progress | None) -> Iterator[ListedFile]:
    """Yield the files, and tell before each how many are done; files are counted first, and not kept in memory."""
    if progress is None:
        yield from list_files(paths, is_record)
        return
    total, started = sum(1 for _ in list_files(paths, is_record)), time.monotonic()
    for number, each in enumerate(list_files(paths, is_record)):
        left = (time.monotonic() - started) * (total - number) / number if number else 0.0
        note = f"{number:,} of {format_count(total, 'file')}"
        note += f", {format_duration(left)} left" if left > _MIN_SECONDS_LEFT else ""
        progress(min(number / max(total, 1), 1.0), f"{note}: {clean_text(each.path)}")
        yield each


@dataclass(frozen=True)
class _Verifier:
    """The parts that verifications of files in one workspace share."""

    workspace: "Workspace"
    marks: MarkSearch
    find_output: Callable[[str], str]  # by the digest of its file

    @cached_property
    def _anchors(self) -> Any:
        from genloom.trust import signing

        if not signing.is_available():
            raise GenloomError("trust.extra_missing")
        return signing.read_anchors(self.workspace.folder)

    def verify(self, path: Path, process: "LimitedProcess") -> Verification:
        from genloom.limited_process import LimitExceeded
        from genloom.settings import build_unreadable_error
        from genloom.trust.manifests import read_watched

        anchors = self._anchors
        try:
            state = read_state(path)
            digest = files.hash_file(path)
        except OSError as error:
            raise build_unreadable_error(path, "this file", error) from error
        manifest, problem = None, ""
        try:
            manifest = process.call(read_watched, path, anchors)
        except LimitExceeded as error:
            problem = format_message("trust.time_limit") if error.is_time else format_message("trust.memory_limit")
        except (OSError, MemoryError) as error:
            problem = format_message("trust.unread", reason=str(error) or type(error).__name__)
        if manifest is not None and manifest.is_revoked:
            manifest = self._restore_own(path, manifest, digest)
        facts: Mapping[str, Any] = manifest.facts if manifest is not None else {}
        record = self._find_record(manifest, digest)
        is_stored = record is not None and record["sha256"] == digest
        if record is not None and (is_stored or (manifest is not None and manifest.state == "unchanged")):
            from genloom.trust.outgoing import SignaturePreferences, collect_facts

            facts = collect_facts(self.workspace.store, record, SignaturePreferences(include_prompt=True))
        output = str(record["id"]) if record is not None else ""
        found = Verification(path, manifest, problem, output, is_stored, facts, *self._find_mark(path, record))
        return found if is_in_state(path, state) else Verification(path, problem=format_message("trust.file_changed"))

    def _restore_own(self, path: Path, manifest: "Manifest", digest: str) -> "Manifest":
        """Return a manifest by a revoked key as one of this workspace if the workspace itself signed it."""
        from genloom.trust.manifests import MAX_SIDECAR_BYTES, REVOKED, find_sidecar
        from genloom.trust.revocation import has_signed

        sidecar = find_sidecar(path) if manifest.is_sidecar else None
        if sidecar is not None:
            digest = hashlib.sha256(files.read_beginning(sidecar, MAX_SIDECAR_BYTES)).hexdigest()
        if not has_signed(self.workspace.folder, digest):
            return manifest
        problems = tuple(code for code in manifest.problems if code != REVOKED)
        return replace(manifest, authority="workspace", problems=problems)

    def _find_record(self, manifest: "Manifest | None", digest: str) -> Mapping[str, Any] | None:
        """Return the record of the output that a signature of this workspace names, or that has these bytes."""
        claimed = manifest.facts.get("output") if manifest is not None and manifest.authority == "workspace" else None
        store = self.workspace.store
        id = str(claimed) if claimed and store.has_output(str(claimed)) else self.find_output(digest)
        try:
            return store.get_output(id)[1] if id else None
        except GenloomError:  # it is damaged; `genloom doctor` tells how
            return None

    def _find_mark(self, path: Path, record: Mapping[str, Any] | None) -> "tuple[MarkReport | None, str]":
        """Return the evidence for a mark, and why none was looked for."""
        from genloom.rate.outputs import find_medium_name, open_values

        if self.marks == "none":
            return None, ""
        try:
            name, values = open_values(path)
            if record is not None and find_medium_name(Path(str(record["file"])), record) != name:
                record = None  # the file is a picture of a tune, for example
            is_fast = self.marks == "fast"
            if len(values) != 1:
                from genloom.trust.batch_marks import find_batch_mark

                return find_batch_mark(self.workspace.store, name, values, is_fast), ""
            from genloom.trust.marks import find_mark

            return find_mark(self.workspace.store, name, values[0], record, is_fast), ""
        except GenloomError as error:
            return None, str(error)


def read_state(path: Path) -> tuple[int, ...]:
    """Return what of a file changes when something is written to it, or when another file takes its name."""
    state = path.stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def is_in_state(path: Path, state: tuple[int, ...]) -> bool:
    """Return whether a file is still as `read_state` found it."""
    try:
        return read_state(path) == state
    except OSError:  # it is gone
        return False
