"""Documents packed into rows of one length, with what counts in each and where one ends and the next begins.

Shape letters: B rows, L length, N symbols of all documents, P pieces of documents, R rows of an epoch.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genloom.codecs import roles
from genloom.store.files import replaced
from genloom.types import Batch, Codec, Item, Tokens


def symbols_of(codec: Codec, item: Item) -> tuple[np.ndarray, np.ndarray]:
    """A document's ids (N, int64) and which of them count in the loss (N, bool).

    Of a conversation what the assistant writes counts; of plain text all but the symbol that begins it.
    """
    if turns := item.meta.get("turns"):
        return roles.written(codec, turns, reply=False)  # ty: ignore[invalid-argument-type]  it says if it has none
    space = codec.space
    assert isinstance(space, Tokens)
    ids = np.concatenate([[space.start], codec.encode(item.value), [space.stop]]).astype(np.int64)
    return ids, np.arange(len(ids)) > 0


@dataclass(frozen=True)
class Documents:
    """Encoded documents one after the other, mapped from disk; document i is symbols ends[i - 1] to ends[i]."""

    ids: np.ndarray  # N, int32
    counts: np.ndarray  # N, bool
    ends: np.ndarray

    @staticmethod
    def of(found: Iterable[tuple[np.ndarray, np.ndarray]]) -> "Documents":
        every = list(found)
        ids, counts = (np.concatenate([pair[i] for pair in every]) if every else np.zeros(0) for i in (0, 1))
        ends = np.cumsum([len(ids) for ids, _ in every], dtype=np.int64)
        return Documents(ids.astype(np.int32), counts.astype(bool), ends)

    @staticmethod
    def read(folder: Path) -> "Documents":
        ids, counts = (
            mapped(folder / name, kind) for name, kind in (("documents.ids", np.int32), ("documents.counts", bool))
        )
        return Documents(ids, counts, np.fromfile(folder / "documents.ends", np.int64))


def mapped(path: Path, kind: type) -> np.ndarray:
    return np.memmap(path, kind, mode="r") if path.stat().st_size else np.zeros(0, kind)


def write_documents(found: Iterable[tuple[np.ndarray, np.ndarray]], folder: Path) -> None:
    """Write documents for `Documents.read`, one in memory at a time; the file of ends comes last."""
    ends, end = [], 0
    with (
        replaced(folder / "documents.ids") as ids_draft,
        replaced(folder / "documents.counts") as counts_draft,
        open(ids_draft, "wb") as ids_file,
        open(counts_draft, "wb") as counts_file,
    ):
        for ids, counts in found:
            ids_file.write(ids.astype(np.int32).tobytes())
            counts_file.write(counts.astype(bool).tobytes())
            end += len(ids)
            ends.append(end)
    with replaced(folder / "documents.ends") as draft:
        np.array(ends, np.int64).tofile(draft)


@dataclass(frozen=True)
class Piece:
    """What of a document stands in a row: symbols `begin` to `end` of all."""

    begin: int
    end: int


def pieces(documents: Documents, length: int) -> Iterator[Piece]:
    """Documents whole, or where they are longer than a row, cut; nothing that counts is lost.

    Each piece of a cut document begins with the last symbol of the one before, which is given there and not predicted.
    A piece in which nothing is predicted teaches nothing and is left out.
    """
    begin = 0
    for end in documents.ends.tolist():
        for first in range(begin, max(end - 1, begin), length - 1):
            last = min(first + length, end)
            if documents.counts[first + 1 : last].any():
                yield Piece(first, last)
        begin = end


def fitted(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Rows of at most `length` symbols, as few as can be found fast: best fit, the largest first.

    Each row lists the numbers of its pieces. At most 22 % more rows than the best packing has (Johnson 1974).
    """
    rows: list[list[int]] = []
    with_room: dict[int, list[int]] = {}
    rooms: list[int] = []  # the keys of `with_room`, in order
    for number in sorted(range(len(sizes)), key=lambda n: -sizes[n]):
        at = bisect_left(rooms, sizes[number])
        if at == len(rooms):
            rows.append([])
            row, room = len(rows) - 1, length
        else:
            room = rooms[at]
            row = with_room[room].pop()
            if not with_room[room]:
                del with_room[room], rooms[at]
        rows[row].append(number)
        left = room - sizes[number]
        if left not in with_room:
            with_room[left] = []
            insort(rooms, left)
        with_room[left].append(row)
    return rows


class Packed:
    """Batches of packed rows; each epoch visits every row once, in an order drawn from (seed, epoch).

    A step's batch is a function of the step. With `alone`, each row holds one piece, padded on the right, for networks
    that cannot tell documents within a row apart.
    """

    def __init__(self, documents: Documents, rows: int, length: int, stop: int, seed: int = 0, alone: bool = False):
        self.documents, self.rows, self.length, self.stop, self.seed = documents, rows, length, stop, seed
        self.pieces = list(pieces(documents, length))
        if not self.pieces:
            raise ValueError(
                "There is no training text to learn from: every document is empty. Collect more, then train."
            )
        sizes = [piece.end - piece.begin for piece in self.pieces]
        self.packs = [[n] for n in range(len(sizes))] if alone else fitted(sizes, length)
        self.alone = alone
        self.order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))  # of the epoch used last

    @property
    def cut(self) -> int:
        """Documents longer than a row."""
        return int((np.diff(self.documents.ends, prepend=0) > self.length).sum())

    @property
    def filled(self) -> float:
        """The share of the rows' positions that hold documents."""
        return sum(piece.end - piece.begin for piece in self.pieces) / (len(self.packs) * self.length)

    def __call__(self, step: int) -> Batch:
        x_BL = np.full((self.rows, self.length), self.stop, np.int64)
        counts_BL = np.zeros((self.rows, self.length), bool)
        segments_BL = np.zeros((self.rows, self.length), np.int64)
        lengths_B = np.zeros(self.rows, np.int64)
        for row, index in enumerate(range(step * self.rows, (step + 1) * self.rows)):
            lengths_B[row] = self.fill(self.packs[self.row(index)], x_BL[row], counts_BL[row], segments_BL[row])
        x, counts, segments, lengths = map(torch.from_numpy, (x_BL, counts_BL, segments_BL, lengths_B))
        if self.alone:
            return Batch(x, mask=counts, lengths=lengths)
        return Batch(x, mask=counts, segments=segments)

    def row(self, index: int) -> int:
        """The row that is read at `index` of all epochs' rows."""
        epoch, place = divmod(index, len(self.packs))
        if self.order[0] != epoch:
            chance = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            self.order = epoch, chance.permutation(len(self.packs))
        return int(self.order[1][place])

    def fill(self, pack: list[int], x_L: np.ndarray, counts_L: np.ndarray, segments_L: np.ndarray) -> int:
        """Write the pieces of a row one after the other, what is left being of no document; return how much is used."""
        at = 0
        segments_L[:] = len(pack)
        for number, piece in enumerate(self.pieces[n] for n in pack):
            size = piece.end - piece.begin
            x_L[at : at + size] = self.documents.ids[piece.begin : piece.end]
            counts_L[at + 1 : at + size] = self.documents.counts[piece.begin + 1 : piece.end]
            segments_L[at : at + size] = number
            at += size
        return at
