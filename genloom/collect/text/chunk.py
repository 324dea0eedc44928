"""Cuts long text into pieces at borders that the text itself determines."""

import zlib
from collections.abc import Iterable, Iterator

MIN_CHUNK_CHARS, MAX_CHUNK_CHARS = 2_048, 65_536
TARGET_CHUNKS = 64  # so that a small collection still has several pieces to validate on
LOOKAHEAD_CHARS = 48  # characters after a border that decide whether it is cut; they have always been read by then


def choose_chunk_chars(total_bytes: int) -> int:
    """The longest piece, in characters, for a collection of this size."""
    return min(MAX_CHUNK_CHARS, max(MIN_CHUNK_CHARS, total_bytes // TARGET_CHUNKS))


def iter_chunks(blocks: Iterable[str], max_chars: int) -> Iterator[str]:
    """Pieces of `limit`/2 to `limit` characters (the last one up to 1.5 `limit`), never more than a few in memory.

    Cuts fall between paragraphs, else lines, else words, else anywhere. Of the borders in reach the one is taken
    whose following characters have the smallest checksum (content-defined chunking): two copies of a text that differ
    at some place are cut alike again soon after it, so that their common pieces are found as duplicates.
    """
    buffer = ""
    for block in blocks:
        buffer += block
        start = 0
        while len(buffer) - start >= 1.5 * max_chars:
            end = _find_boundary(
                buffer, start + max_chars // 2, start + max_chars, min(LOOKAHEAD_CHARS, max_chars // 2)
            )
            yield buffer[start:end]
            start = end
        buffer = buffer[start:]
    if buffer:
        yield buffer


def _find_boundary(text: str, first: int, last: int, lookahead: int) -> int:
    for separator in ("\n\n", "\n", " "):
        lowest_checksum, boundary = 1 << 32, 0
        position = text.find(separator, first, last)
        while position >= 0:
            position += len(separator)
            checksum = zlib.crc32(text[position : position + lookahead].encode("utf-8", "replace"))
            if checksum < lowest_checksum:
                lowest_checksum, boundary = checksum, position
            position = text.find(separator, position, last)
        if boundary:
            return boundary
    return last
