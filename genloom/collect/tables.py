"""Reads the records of jsonl and csv files one at a time, however large the file."""

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from genloom.media.text.encoding import Stream

LINE_AT_MOST = 32 << 20  # characters of one row
HEAD = 64  # rows looked at before the first is told


def lines(blocks: Iterable[str], at_most: int = LINE_AT_MOST) -> Iterator[str | None]:
    """The lines of a stream without their ends; None for one longer than `at_most`, which is not held in memory."""
    rest, skipping = "", False
    for block in blocks:
        first, newline, remainder = block.partition("\n")
        if not newline:
            rest = "" if skipping else rest + block
        else:
            if skipping:
                skipping = False
                yield None
            else:
                yield rest + first
            *whole, rest = remainder.split("\n")
            yield from whole
        if len(rest) > at_most:
            rest, skipping = "", True
    if skipping:
        yield None
    elif rest:
        yield rest


def jsonl(stream: Stream) -> Iterator[tuple[int, Any]]:
    """The value of each line with its number; a ValueError in its place says why there is none."""
    for number, line in enumerate(lines(stream, LINE_AT_MOST), 1):
        if line is None:
            yield number, ValueError(_too_long())
        elif line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, ValueError(f"it is not JSON ({str(error)[:80]})")


def csv_rows(stream: Stream, tabs: bool) -> Iterator[tuple[int, dict[str, str] | str]]:
    """The rows of a .csv or .tsv whose first row names the columns; a str in place of a row says what is wrong."""
    overlong: list[int] = []  # lines, of which the reader is given an empty one

    def kept() -> Iterator[str]:
        for number, line in enumerate(lines(stream, LINE_AT_MOST), 1):
            if line is None:
                overlong.append(number)
            yield f"{line or ''}\n"

    source = kept()
    head = list(islice(source, HEAD))
    try:
        dialect = csv.excel_tab if tabs else csv.Sniffer().sniff("".join(head[:1]), ",;\t|")
        delimiter = dialect.delimiter
    except csv.Error:
        delimiter = ","
    csv.field_size_limit(LINE_AT_MOST)
    reader = csv.reader(chain(head, source), delimiter=delimiter)
    names = [name.strip() for name in next(reader, [])]
    if overlong and overlong[0] <= reader.line_num:
        raise ValueError(f"its first row, which should name the columns, cannot be read: {_too_long()}")
    return _records(reader, names, overlong)


def _records(reader: Any, names: list[str], overlong: list[int]) -> Iterator[tuple[int, dict[str, str] | str]]:
    while True:
        before = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, f"it is not CSV ({error})"
            continue
        if any(before < line <= reader.line_num for line in overlong):
            overlong[:] = [line for line in overlong if line > reader.line_num]
            yield reader.line_num, _too_long()
        elif len(cells) == len(names):
            yield reader.line_num, dict(zip(names, cells, strict=True))
        elif cells:
            yield reader.line_num, f"it has {len(cells)} columns where the first row names {len(names)}"


def _too_long() -> str:
    return f"it is longer than {LINE_AT_MOST >> 20} MB"
