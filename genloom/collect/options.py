"""Options of a collection, its progress events and its report."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError

SCRUB_KINDS = ("email", "phone", "card", "iban", "ip", "name")
MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class Options:
    """How to collect; the defaults suit a folder of one's own work.

    medium: the medium of the sources, "" for that of most files.
    licence: the licence of every document, "" to search for it ("unknown" if there is no licence).
    column: the column or key of the text or the caption in csv, jsonl and parquet files, "" to guess it.
    size: the longer side of a picture in pixels, to which larger ones are scaled down.
    background: the colour behind the transparent parts of a picture.
    scrub: kinds of personal data to mask, from SCRUB_KINDS.
    near_duplicates: the similarity from which two documents count as one: for texts the Jaccard similarity of their
        word 5-grams, for pictures 1 minus the difference of their thumbnails. Less similar texts that share half of
        their content are kept, and placed in one split. 0 removes only exact copies, and compares nothing else.
    min_quality, languages: drop documents with a lower score, or in other languages than these (ISO 639-1 codes).
    val, test: shares of the data, by bytes. seed: another seed chooses other documents for them.
    chunk_chars: the longest chunk of a long document in characters, 0 to choose it by the size of the collection.
    workers: the number of processes, 0 to choose it.
    """

    medium: str = ""
    licence: str = ""
    size: int = 512
    background: str = "white"
    column: str = ""
    scrub: tuple[str, ...] = ()
    near_duplicates: float = 0.8
    min_quality: float = 0.0
    languages: tuple[str, ...] = ()
    val: float = 0.05
    test: float = 0.05
    seed: int = 0
    chunk_chars: int = 0
    workers: int = 0

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.scrub if kind not in SCRUB_KINDS]:
            raise GenloomError(
                "collect.unknown_scrub", value=", ".join(map(repr, unknown)), known=", ".join(SCRUB_KINDS)
            )
        if unknown := [code for code in self.languages if not (2 <= len(code) <= 3 and code.islower())]:
            raise GenloomError("collect.bad_languages", value=", ".join(map(repr, unknown)))
        if self.near_duplicates and not 0.6 <= self.near_duplicates <= 1:
            raise GenloomError("collect.bad_near_duplicates", value=self.near_duplicates)
        if not 0 <= self.min_quality <= 1:
            raise GenloomError("collect.bad_min_quality", value=self.min_quality)
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test <= 0.5):  # rejects NaN too
            raise GenloomError("collect.bad_held_out_share", val=self.val, test=self.test)
        if not 0 <= self.seed <= MAX_SEED:
            raise GenloomError("collect.bad_seed", value=self.seed, max_seed=MAX_SEED)
        if self.chunk_chars and self.chunk_chars < 256:
            raise GenloomError("collect.bad_chunk_chars", value=self.chunk_chars)
        if not 16 <= self.size <= 4096:
            raise GenloomError("collect.bad_size", value=self.size)
        if self.workers < 0:
            raise GenloomError("collect.bad_workers", value=self.workers)


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
            "notes": [{"source": n.source, "reason": n.reason, "skipped": n.is_skipped} for n in self.notes],
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
