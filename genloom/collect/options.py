"""What a collection can be asked for, and what it tells while it runs and at its end."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRUB_KINDS = ("email", "phone", "card", "iban", "ip", "name")
MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class Options:
    """How to collect; the defaults suit a folder of one's own work.

    medium: what the sources hold, "" for what most of the files are.
    licence: the licence of everything collected (else it is looked for, else "unknown").
    column: the column or key that holds the text or the caption in csv, jsonl and parquet (else it is guessed).
    size: pixels of the longer side of a picture, which larger ones are brought down to.
    background: the colour that shows where a picture is transparent.
    scrub: kinds of personal data to blank out, out of SCRUBS.
    near_duplicates: how alike two documents are that count as one, of texts the share of common word 5-grams
        (Jaccard), of pictures 1 less what thumbnails differ by. Texts less alike, of which half is in others, are kept
        and placed in one split with those. 0 removes only exact copies, and compares nothing else.
    min_quality, languages: drop documents of a lower score, or in other languages than these (ISO 639-1 codes).
    val, test: shares of the data, by bytes. seed: another one chooses other documents for them.
    chunk_chars: the longest piece of a long document, 0 to choose by the size of the collection.
    workers: processes, 0 to choose.
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
        if invalid_values := [kind for kind in self.scrub if kind not in SCRUB_KINDS]:
            raise ValueError(
                f"--scrub: {', '.join(map(repr, invalid_values))} is not known; choose out of {', '.join(SCRUB_KINDS)}"
            )
        if invalid_values := [code for code in self.languages if not (2 <= len(code) <= 3 and code.islower())]:
            raise ValueError(
                f"--languages: {', '.join(map(repr, invalid_values))} is no code of a language; write en, de, fr …"
            )
        if self.near_duplicates and not 0.6 <= self.near_duplicates <= 1:
            raise ValueError(f"--near-duplicates {self.near_duplicates} must be 0 (off) or between 0.6 and 1")
        if not 0 <= self.min_quality <= 1:
            raise ValueError(f"--min-quality {self.min_quality} must be between 0 and 1")
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test <= 0.5):  # which is true of no number too
            raise ValueError(f"--val {self.val} and --test {self.test} must not be negative nor exceed half together")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"A seed is a whole number from 0 to {MAX_SEED}, got {self.seed}.")
        if self.chunk_chars and self.chunk_chars < 256:
            raise ValueError(f"--chunk-chars {self.chunk_chars} must be 0 (chosen) or at least 256")
        if not 16 <= self.size <= 4096:
            raise ValueError(f"--size {self.size} must be from 16 to 4096 pixels")
        if self.workers < 0:
            raise ValueError(f"--workers {self.workers} must be 0 (chosen) or more")


@dataclass(frozen=True)
class Note:
    """Something the user should know of one source: why it was skipped, or what was amiss in it."""

    source: str
    reason: str
    is_skipped: bool = True


@dataclass
class Report:
    """The counts of a collection."""

    name: str = ""
    medium: str = ""
    digest: str = ""
    folder: Path = field(default_factory=Path)
    files: int = 0
    documents_read: int = 0  # read, before anything was removed
    documents_kept: int = 0
    bytes_read: int = 0
    bytes_kept: int = 0
    drop_counts: Counter[str] = field(default_factory=Counter)  # reason → documents
    licences: Counter[str] = field(default_factory=Counter)  # licence → documents
    counters: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # the medium's own counts
    medium_metadata: dict[str, Any] = field(default_factory=dict)  # those, as the manifest holds them
    splits: dict[str, dict[str, int]] = field(default_factory=dict)  # split → documents, bytes
    num_overlapping: int = 0  # documents kept that hold much of one another's text
    is_split_by_group: bool = True  # whether those stand in one split
    notes: list[Note] = field(default_factory=list)
    notes_left_out: int = 0
    files_skipped: int = 0

    def add_note(self, note: Note, max_notes: int = 1000) -> None:
        """Keeps the note; beyond `at_most` they are only counted, so that a manifest stays readable."""
        self.files_skipped += note.is_skipped
        if len(self.notes) < max_notes:
            self.notes.append(note)
        else:
            self.notes_left_out += 1

    def to_dict(self) -> dict[str, Any]:
        """What the manifest holds and --json prints."""
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
            "notes": [vars(note) for note in self.notes],
            "notes_left_out": self.notes_left_out,
        }


@dataclass(frozen=True)
class CollectProgress:
    """Where a collection stands; the last one has stage "done" and carries the report."""

    stage: str  # "reading" | "writing" | "done"
    bytes_done: int  # bytes of the sources worked through, of `total`
    total_bytes: int
    documents_read: int = 0
    documents_kept: int = 0
    files_skipped: int = 0  # files
    report: Report | None = None
