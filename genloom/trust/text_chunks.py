"""Training documents as chunks of code points of bounded size, with the document and offset of every position."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genloom.types import Item

CodePoints = NDArray[np.uint32]

SEPARATOR = 0x110000
"""Separates documents: one past the last code point of Unicode, so that no match can span two documents."""

_SEPARATOR_BYTES = SEPARATOR.to_bytes(4, "little")
_FIRST_CHUNK_CHARS = 2**12


def to_code_points(text: str) -> CodePoints:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@dataclass(frozen=True)
class TextChunk:
    """Several short documents, or a part of a long one."""

    code_points: CodePoints
    starts: list[int]  # where each document or part begins in `code_points`
    items: list[Item]
    offsets: list[int]  # where each part begins in its document
    document_ids: list[int]  # index in the stream of each document

    def get_document_id(self, position: int) -> int:
        """Return the index in the stream of the document at a position of the chunk."""
        return self.document_ids[bisect_right(self.starts, position) - 1]

    def locate(self, position: int) -> tuple[Item, int]:
        """Return the document at a position of the chunk, and the offset in it, in characters."""
        index = bisect_right(self.starts, position) - 1
        return self.items[index], self.offsets[index] + position - self.starts[index]

    def get_text(self, start: int, stop: int) -> str | None:
        """Return the text from `start` to `stop`, or None if it spans several documents."""
        span = self.code_points[start:stop]
        if len(span) < stop - start or (span == SEPARATOR).any():
            return None
        return span.tobytes().decode("utf-32-le", "surrogatepass")


def iter_text_chunks(documents: Iterable[Item], overlap: int, size: int = 2**18) -> Iterator[TextChunk]:
    """Yield chunks of about `size` characters; parts of a document overlap by at least `overlap` characters.

    The first chunks are small: a search that prunes by its best match finds a good one there at low cost.
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
