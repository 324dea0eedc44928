"""Options of a collection, its progress events and its report."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.settings import find_invalid_option, option

MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class Options:
    """Options of a collection, for all media; the defaults suit a folder of a person's own work.

    A preparation adds the options of its medium in a subclass, `Config`, which may also change defaults.
    """

    medium: str = option("", "Medium of the sources. [default: that of most files]")
    licence: str = option("", 'Licence of everything collected. [default: as found, else "unknown"]')
    column: str = option("", "Column or key of the text or caption, in csv, jsonl and parquet. [default: guessed]")
    keep: tuple[str, ...] = option((), "Column or key to keep with each document: numbers, text or arrays. Repeatable.")
    near_duplicates: float = option(
        0.8,
        "Similarity from which a document is a duplicate; 0 removes exact copies only.",
        is_valid=lambda value: value == 0 or 0.6 <= value <= 1,
        requirement="0 (off) or from 0.6 to 1",
    )
    val: float = option(0.05, "Share held out for validation during training, by bytes.")
    test: float = option(0.05, "Share held out for the final test, by bytes.")
    seed: int = option(0, "Seed that chooses the documents of the splits.", minimum=0, maximum=MAX_SEED)
    workers: int = option(0, "Number of processes. [default: by the number of cores]", minimum=0, maximum=1024)

    def __post_init__(self) -> None:
        if (invalid := find_invalid_option(self)) is not None:
            name, requirement, value = invalid
            value = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            raise GenloomError("collect.bad_option", option=to_flag(name), requirement=requirement, value=value)
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test <= 0.5):  # rejects NaN too
            raise GenloomError("collect.bad_held_out_share", val=self.val, test=self.test)

    @property
    def has_uncompared_twins(self) -> bool:
        """Whether near-duplicates of held-out documents may be in training, for which the medium is else searched."""
        default = next(field.default for field in fields(self) if field.name == "near_duplicates")
        return not self.near_duplicates and default != 0 and self.val + self.test > 0


def to_flag(name: str) -> str:
    """Return the flag of an option."""
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Note:
    """A message to the user about one source: why it was skipped, or a problem in it."""

    source: str
    reason: str
    is_skipped: bool = True
    code: str = ""  # of the message, "" where it has none

    @classmethod
    def from_error(cls, source: str, error: Exception, is_skipped: bool = True) -> "Note":
        """Return a note with the text of an error, and its code if it has one."""
        reason = str(error) or type(error).__name__
        return cls(source, reason, is_skipped, error.code if isinstance(error, GenloomError) else "")


@dataclass
class Report:
    """The counts of a collection."""

    name: str = ""
    medium: str = ""
    digest: str = ""
    folder: Path = field(default_factory=Path)
    files: int = 0
    documents_read: int = 0  # before any was removed
    documents_kept: int = 0
    bytes_read: int = 0
    bytes_kept: int = 0
    drop_counts: Counter[str] = field(default_factory=Counter)  # reason → documents
    licences: Counter[str] = field(default_factory=Counter)  # licence → documents
    counters: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # the medium's own counts
    medium_metadata: dict[str, Any] = field(default_factory=dict)  # the medium's own part of the manifest
    splits: dict[str, dict[str, int]] = field(default_factory=dict)  # split → documents, bytes
    num_overlapping: int = 0  # kept documents that share much of their content with other kept documents
    is_split_by_group: bool = True  # whether each group of overlapping documents is in one split
    notes: list[Note] = field(default_factory=list)
    notes_left_out: int = 0
    files_skipped: int = 0

    def add_note(self, note: Note, max_notes: int = 1000) -> None:
        """Add a note; beyond `max_notes` only count it, so that the manifest stays readable."""
        self.files_skipped += note.is_skipped
        if len(self.notes) < max_notes:
            self.notes.append(note)
        else:
            self.notes_left_out += 1

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the manifest and of --json."""
        return {
            "documents": {
                "read": self.documents_read,
                "kept": self.documents_kept,
                "removed": dict(self.drop_counts.most_common()),
            },
            "bytes": {"read": self.bytes_read, "kept": self.bytes_kept},
            "sources": {"read": self.files - self.files_skipped, "skipped": self.files_skipped},
            "splits": self.splits,
            "alike": {"documents": self.num_overlapping, "in_one_split": self.is_split_by_group},
            "licences": dict(self.licences.most_common()),
            **self.medium_metadata,
            "notes": [
                {"source": note.source, "reason": note.reason, "skipped": note.is_skipped, "code": note.code}
                for note in self.notes
            ],
            "notes_left_out": self.notes_left_out,
        }


@dataclass(frozen=True)
class CollectProgress:
    """The state of a collection; the last event has the stage "done" and carries the report."""

    stage: str  # "reading" | "writing" | "done"
    bytes_done: int  # bytes of the sources that were processed, out of `total_bytes`
    total_bytes: int
    documents_read: int = 0
    documents_kept: int = 0
    files_skipped: int = 0
    report: Report | None = None
