"""Data sets: what was collected, and its documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.argument_types import check_arguments
from genloom.api.notebook import render_table
from genloom.store.dataset import Dataset as StoredDataset
from genloom.store.dataset import Split
from genloom.store.recycle_bin import count_bytes
from genloom.text_format import format_count
from genloom.types import Item

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace

_SPLITS: tuple[Split, ...] = ("train", "val", "test")


@check_arguments
@dataclass(frozen=True)
class Dataset:
    """A version of a data set in a workspace."""

    workspace: "Workspace"
    stored: StoredDataset

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def digest(self) -> str:
        """SHA-256 over the content; equal data sets have equal digests."""
        return self.stored.digest

    @property
    def medium(self) -> str:
        return self.stored.medium

    @property
    def folder(self) -> Path:
        return self.stored.folder

    @property
    def report(self) -> dict[str, Any]:
        """Counts of documents read, kept and removed, their licences, and notes on files that could not be read."""
        return dict(self.stored.manifest)

    @property
    def card(self) -> str:
        """The card for people, in Markdown."""
        return (self.folder / "CARD.md").read_text(encoding="utf-8")

    def documents(self, split: Split = "train") -> Iterator[Item]:
        """Yield the documents of a split ("train", "val" or "test"), each with its source and licence."""
        return self.stored.iter_documents(split)

    def train(self, **options: Any) -> "Model":
        """Train a model on this data set; see `Workspace.train`."""
        return self.workspace.train(self.name, **options)

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of data sets."""
        versions = [folder for folder in self.folder.parent.iterdir() if (folder / "manifest.json").is_file()]
        return {
            "name": self.name,
            "digest": self.digest,
            "created": self.stored.created,
            "medium": self.medium,
            "documents": len(self),
            "bytes": sum(self.stored.count_bytes(split) for split in _SPLITS),
            "licences": self.stored.manifest.get("licences", {}),
            "versions": len(versions),
            "disk_bytes": sum(map(count_bytes, versions)),
        }

    def __len__(self) -> int:
        return sum(self.stored.count_documents(split) for split in _SPLITS)

    def __repr__(self) -> str:
        return f"<Dataset {self.name}: {format_count(len(self), 'document')} of medium {self.medium}>"

    def _repr_html_(self) -> str:
        return render_table([self.to_record()])
