"""Cuts long text into pieces at borders that the text itself determines."""

import zlib
from collections.abc import Iterable, Iterator

SMALLEST, LARGEST = 2_048, 65_536
PIECES_WANTED = 64  # so that a small collection still has several pieces to validate on
LOOKED_AT = 48  # characters after a border that decide whether it is cut; they have always been read by then


def piece_length(total_bytes: int) -> int:
    """The longest piece, in characters, for a collection of this size."""
    return min(LARGEST, max(SMALLEST, total_bytes // PIECES_WANTED))


def pieces(blocks: Iterable[str], limit: int) -> Iterator[str]:
    """Pieces of `limit`/2 to `limit` characters (the last one up to 1.5 `limit`), never more than a few in memory.

    Cuts fall between paragraphs, else lines, else words, else anywhere. Of the borders in reach the one is taken
    whose following characters have the smallest checksum (content-defined chunking): two copies of a text that differ
    at some place are cut alike again soon after it, so that their common pieces are found as duplicates.
    """
    waiting = ""
    for block in blocks:
        waiting += block
        start = 0
        while len(waiting) - start >= 1.5 * limit:
            end = _border(waiting, start + limit // 2, start + limit, min(LOOKED_AT, limit // 2))
            yield waiting[start:end]
            start = end
        waiting = waiting[start:]
    if waiting:
        yield waiting


def _border(text: str, first: int, last: int, ahead: int) -> int:
    for mark in ("\n\n", "\n", " "):
        best, at = 1 << 32, 0
        found = text.find(mark, first, last)
        while found >= 0:
            found += len(mark)
            checksum = zlib.crc32(text[found : found + ahead].encode("utf-8", "replace"))
            if checksum < best:
                best, at = checksum, found
            found = text.find(mark, found, last)
        if at:
            return at
    return last
