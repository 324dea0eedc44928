"""Writes documents to Parquet parts, placing them in train, val and test on the way."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from genloom.collect import moves
from genloom.collect.files import Files
from genloom.collect.options import Options
from genloom.collect.overlap import Kinship
from genloom.collect.preparation import Document, Preparation
from genloom.collect.split import (
    SMALL_BYTES,
    SMALL_DOCUMENTS,
    Group,
    Row,
    by_border,
    by_rank,
    enough,
    place,
    sums,
    together,
)


class Parts:
    """The files part-00000.parquet and on in `folder`; a context, left after `finish`.

    Columns id, text, source, licence, split, bytes and those of the medium, in the order of adding; in a large
    collection what was to be held back comes last, in files of its own. `splits` counts.
    """

    def __init__(self, folder: Path, options: Options, preparation: Preparation) -> None:
        self._folder = folder
        self._options = options
        self._first: list[Document] | None = []  # until the collection turns out not to be small
        self._first_bytes = 0
        self._files = Files(folder, "part", preparation)
        # Of a large collection documents may have to move when all are known, and it is these few that do.
        self._held = Files(folder, "part-held", preparation)
        self._number = 0
        self.splits = sums([], [])

    def __enter__(self) -> "Parts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for files in (self._files, self._held):
            files.close(whole=error is None)

    def finish(self, kinship: Kinship) -> bool:
        """Writes what is left; whether the documents that `kinship` names as alike could be placed together."""
        if self._first is not None:
            splits, united = self._ranked(self._first, kinship)
            self._decide_first(splits, self._files)
            return united
        for files in (self._files, self._held):
            files.close(whole=True)
        if not len(kinship.tied):
            return True
        self.splits, united = moves.unite([self._files, self._held], kinship, self._options, self.splits)
        return united

    def add(self, documents: Sequence[Document]) -> None:
        """Takes documents in; they are on disk after `finish`."""
        if self._first is not None:
            self._first.extend(documents)
            self._first_bytes += sum(document.size for document in documents)
            if len(self._first) > SMALL_DOCUMENTS or self._first_bytes > SMALL_BYTES:
                self._decide_first([self._border(document) for document in self._first], self._held)
            return
        for document in documents:
            self._put(document, self._border(document), self._held)

    def _border(self, document: Document) -> str:
        return by_border(place(document.digest, self._options.seed), self._options.val, self._options.test)

    def _ranked(self, documents: Sequence[Document], kinship: Kinship) -> tuple[list[str], bool]:
        """The splits of all documents of a small collection, and whether those that are alike stand together."""

        def rank(groups: Sequence[Group]) -> list[str]:
            places = [place(group.digest, self._options.seed) for group in groups]
            sizes, barred = [group.size for group in groups], [group.barred for group in groups]
            return by_rank(places, sizes, self._options.val, self._options.test, barred)

        rows = [Row(number, document.digest, document.size) for number, document in enumerate(documents)]
        sizes = [row.size for row in rows]
        alone = rank([Group(row.digest, row.size) for row in rows])
        splits = together(rows, kinship, rank)
        united = enough(sums(sizes, alone), sums(sizes, splits))
        return (splits if united else alone), united

    def _decide_first(self, splits: Sequence[str], held: Files) -> None:
        first, self._first = self._first or [], None
        for document, split in zip(first, splits, strict=True):
            self._put(document, split, held)

    def _put(self, document: Document, split: str, held: Files) -> None:
        files = self._files if split == "train" else held
        files.add(document, split, self._number)
        self._number += 1
        self.splits[split]["documents"] += 1
        self.splits[split]["bytes"] += document.size
