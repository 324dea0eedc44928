"""Turns files into raw documents, long ones in pieces, each with its source and licence."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from genloom.collect import builtin, licence
from genloom.collect.options import Note, Options
from genloom.collect.sources import Found
from genloom.collect.text import rows
from genloom.collect.text.cut import pieces
from genloom.media import text
from genloom.media.text import encoding, extract
from genloom.types import Message

REASONS_AT_MOST = 5  # named of each file


@dataclass(frozen=True)
class Raw:
    """A document before it is cleaned. `source` ends in ":12" for a row and "#3" for a piece, counted from 1."""

    text: str
    source: str
    licence: str
    turns: tuple[Message, ...] = ()  # of a conversation, which is never cut; `text` is empty then

    @property
    def alone(self) -> bool:
        """Whether it is all of its file."""
        return not self.source.rpartition("/")[2].rpartition(":")[1]

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.text) + sum(len(turn.content) for turn in self.turns)


def read(found: Found, options: Options) -> Iterator[Raw | Note]:
    """The documents of a file in pieces of about `piece_characters`; bad input yields a Note and never raises."""
    try:
        yield from _read(found, options, options.piece_characters)
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Note(found.name, f"it could not be read ({getattr(error, 'strerror', None) or error})")
    except (ValueError, RecursionError, MemoryError) as error:
        yield Note(found.name, str(error) or type(error).__name__)


def _read(found: Found, options: Options, limit: int) -> Iterator[Raw | Note]:
    if found.format == "builtin":
        own = options.licence or builtin.LICENCE
        yield from _cut([builtin.shakespeare()], found.name, own, limit)
    elif found.format == "document":
        taken, _ = text.read(found.path)
        yield from _cut([taken.text], found.name, _licence(found, options, taken.licence), limit)
    elif found.format == "parquet":
        yield from _rows(rows.parquet(found.path, options.column), found, options, limit)
    else:
        stream = encoding.stream(found.path)
        if found.format == "markup":
            taken = extract.guarded(extract.html, _whole(stream))
            yield from _cut([taken.text], found.name, _licence(found, options, taken.licence), limit)
        elif found.format == "text":
            yield from _text(stream, found, options, limit)
        else:
            yield from _rows(_table(stream, found, options), found, options, limit)
        if stream.mended:
            reason = f"{stream.mended} bytes were not {stream.encoding.upper()} and were read as Windows-1252"
            yield Note(found.name, reason, skipped=False)


def _table(stream: encoding.Stream, found: Found, options: Options) -> Iterator[rows.Row]:
    if found.format == "jsonl":
        return rows.jsonl(stream, options.column)
    if found.format == "json":
        return rows.json_array(stream, options.column)
    return rows.table(stream, options.column, tabs=".tsv" in found.path.name.lower())


def _text(stream: encoding.Stream, found: Found, options: Options, limit: int) -> Iterator[Raw]:
    blocks = iter(stream)
    head = next(blocks, "")

    def all_blocks() -> Iterator[str]:
        yield head
        yield from blocks

    yield from _cut(all_blocks(), found.name, _licence(found, options, licence.in_head(head)), limit)


def _rows(read_rows: Iterable[rows.Row], found: Found, options: Options, limit: int) -> Iterator[Raw | Note]:
    inherited = _licence(found, options, "")
    broken, good = 0, 0
    reasons: dict[str, int] = {}  # with the first row that each befell
    for row in read_rows:
        if row.problem:
            broken += 1
            if len(reasons) < REASONS_AT_MOST:
                reasons.setdefault(row.problem, row.number)
            continue
        good += 1
        own, source = (
            options.licence or (licence.named(row.licence) if row.licence else inherited),
            f"{found.name}:{row.number}",
        )
        if row.turns:
            yield Raw("", source, own, row.turns)
        else:
            yield from _cut([row.text], source, own, limit)
    if broken:
        rows_word = "1 row was" if broken == 1 else f"{broken} rows were"
        named = "; then ".join(f"row {number}: {problem}" for problem, number in reasons.items())
        yield Note(found.name, f"{rows_word} left out; the first is {named}", skipped=good == 0)


def _cut(blocks: Iterable[str], source: str, own: str, limit: int) -> Iterator[Raw]:
    cut = pieces(blocks, limit)
    first, second = next(cut, None), next(cut, None)
    if first is None:
        return
    if second is None:
        yield Raw(first, source, own)
        return
    yield Raw(first, f"{source}#1", own)
    yield Raw(second, f"{source}#2", own)
    for number, piece in enumerate(cut, 3):
        yield Raw(piece, f"{source}#{number}", own)


def _licence(found: Found, options: Options, own: str) -> str:
    """Given by the user, else said by the file, else by a LICENSE file beside it, else unknown."""
    if options.licence:
        return options.licence
    if own:
        return licence.named(own)
    return licence.beside(found.path.parent, found.root) or licence.UNKNOWN


def _whole(stream: encoding.Stream) -> str:
    parts, length = [], 0
    for block in stream:
        length += len(block)
        if length > extract.TEXT_AT_MOST:
            raise ValueError(f"the page is larger than {extract.TEXT_AT_MOST >> 20} MB")
        parts.append(block)
    return "".join(parts)
