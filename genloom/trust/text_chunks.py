"""Training documents as arrays of characters, a bounded piece at a time, with the way back to their places."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.types import Item

CodePoints = NDArray[np.uint32]

SEPARATOR = 0x110000
"""Stands between documents: one past the last code point of Unicode, so that no match can reach across."""

_SEPARATOR_BYTES = SEPARATOR.to_bytes(4, "little")
_FIRST_CHUNK_CHARS = 2**12


def to_code_points(text: str) -> CodePoints:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@dataclass(frozen=True)
class TextChunk:
    """Many short documents, or a stretch of a long one."""

    code_points: CodePoints
    starts: list[int]  # where each document or stretch begins in `characters`
    items: list[Item]
    offsets: list[int]  # where each begins in its own document
    document_ids: list[int]  # of each document in the stream

    def get_document_id(self, position: int) -> int:
        """The number, in the stream, of the document that holds position `at` of the piece."""
        return self.document_ids[bisect_right(self.starts, position) - 1]

    def locate(self, position: int) -> tuple[Item, int]:
        """The document that holds position `at` of the piece, and the offset in it, in characters."""
        index = bisect_right(self.starts, position) - 1
        return self.items[index], self.offsets[index] + position - self.starts[index]

    def get_text(self, start: int, stop: int) -> str | None:
        """The characters from `start` to `stop`, None where these reach beyond one document."""
        span = self.code_points[start:stop]
        if len(span) < stop - start or (span == SEPARATOR).any():
            return None
        return span.tobytes().decode("utf-32-le", "surrogatepass")


def iter_text_chunks(documents: Iterable[Item], overlap: int, size: int = 2**18) -> Iterator[TextChunk]:
    """Pieces of about `size` characters; stretches of one document overlap, so that any `overlap` of it lie in one.

    The first pieces are small: a search that skips whatever is worse than its best finds a good one there, cheaply.
    """
    chunk_chars = max(_FIRST_CHUNK_CHARS, 4 * overlap)
    encoded_parts: list[bytes] = []
    entries: list[tuple[int, Item, int, int]] = []
    num_chars = 0

    def build_chunk() -> TextChunk:
        starts, items, offsets, document_ids = map(list, zip(*entries, strict=True))
        return TextChunk(
            np.frombuffer(_SEPARATOR_BYTES.join(encoded_parts), np.uint32), starts, items, offsets, document_ids
        )

    for document_id, item in enumerate(documents):
        offset = 0
        while offset == 0 or offset + overlap < len(item.value):
            span = item.value[offset : offset + chunk_chars + overlap]
            encoded_parts.append(span.encode("utf-32-le", "surrogatepass"))
            entries.append((num_chars, item, offset, document_id))
            offset += chunk_chars
            num_chars += len(span) + 1
            if num_chars >= chunk_chars:
                yield build_chunk()
                encoded_parts, entries, num_chars = [], [], 0
                chunk_chars = max(min(2 * chunk_chars, size), 4 * overlap)
    if encoded_parts:
        yield build_chunk()
