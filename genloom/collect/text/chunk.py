"""Split long text into chunks at boundaries that depend on the text around them."""

import zlib
from collections.abc import Iterable, Iterator

MIN_CHUNK_CHARS, MAX_CHUNK_CHARS = 2_048, 65_536
TARGET_CHUNKS = 64  # so that a small collection still has several chunks to validate on
LOOKAHEAD_CHARS = 48  # after a boundary, which decide whether it is taken; they have always been read by then


def choose_chunk_chars(total_bytes: int) -> int:
    """Return the longest chunk, in characters, for a collection of this size."""
    return min(MAX_CHUNK_CHARS, max(MIN_CHUNK_CHARS, total_bytes // TARGET_CHUNKS))


def iter_chunks(blocks: Iterable[str], max_chars: int) -> Iterator[str]:
    """Yield chunks of `max_chars`/2 to `max_chars` characters (the last up to 1.5 times), with few in memory.

    Boundaries are between paragraphs, else lines, else words, else anywhere. Of the possible boundaries the one is
    taken whose following characters have the smallest checksum (content-defined chunking): after a difference, two
    copies of a text soon have the same boundaries again, so that their common chunks are found as duplicates.
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
