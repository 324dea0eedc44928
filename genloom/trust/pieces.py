"""Training documents as arrays of characters, a bounded piece at a time, with the way back to their places."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.types import Item

Characters = NDArray[np.uint32]

BETWEEN = 0x110000
"""Stands between documents: one past the last code point of Unicode, so that no match can reach across."""

_BETWEEN_BYTES = BETWEEN.to_bytes(4, "little")
_FIRST = 2**12


def characters(text: str) -> Characters:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@dataclass(frozen=True)
class Piece:
    """Many short documents, or a stretch of a long one."""

    characters: Characters
    begins: list[int]  # where each document or stretch begins in `characters`
    items: list[Item]
    offsets: list[int]  # where each begins in its own document
    numbers: list[int]  # of each document in the stream

    def number(self, at: int) -> int:
        """The number, in the stream, of the document that holds position `at` of the piece."""
        return self.numbers[bisect_right(self.begins, at) - 1]

    def place(self, at: int) -> tuple[Item, int]:
        """The document that holds position `at` of the piece, and the offset in it, in characters."""
        index = bisect_right(self.begins, at) - 1
        return self.items[index], self.offsets[index] + at - self.begins[index]

    def text(self, start: int, stop: int) -> str | None:
        """The characters from `start` to `stop`, None where these reach beyond one document."""
        stretch = self.characters[start:stop]
        if len(stretch) < stop - start or (stretch == BETWEEN).any():
            return None
        return stretch.tobytes().decode("utf-32-le", "surrogatepass")


def pieces(documents: Iterable[Item], overlap: int, size: int = 2**18) -> Iterator[Piece]:
    """Pieces of about `size` characters; stretches of one document overlap, so that any `overlap` of it lie in one.

    The first pieces are small: a search that skips whatever is worse than its best finds a good one there, cheaply.
    """
    growing = max(_FIRST, 4 * overlap)
    held: list[bytes] = []
    places: list[tuple[int, Item, int, int]] = []
    filled = 0

    def piece() -> Piece:
        begins, items, offsets, numbers = map(list, zip(*places, strict=True))
        return Piece(np.frombuffer(_BETWEEN_BYTES.join(held), np.uint32), begins, items, offsets, numbers)

    for number, item in enumerate(documents):
        offset = 0
        while offset == 0 or offset + overlap < len(item.value):
            stretch = item.value[offset : offset + growing + overlap]
            held.append(stretch.encode("utf-32-le", "surrogatepass"))
            places.append((filled, item, offset, number))
            offset += growing
            filled += len(stretch) + 1
            if filled >= growing:
                yield piece()
                held, places, filled = [], [], 0
                growing = max(min(2 * growing, size), 4 * overlap)
    if held:
        yield piece()
