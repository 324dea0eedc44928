"""Read the records of jsonl and csv files one at a time, however large the file."""

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from genloom.errors import GenloomError
from genloom.media.text.encoding import TextReader

MAX_LINE_CHARS = 32 << 20
SNIFF_ROWS = 64  # buffered before the first is returned


def iter_lines(blocks: Iterable[str], max_chars: int = MAX_LINE_CHARS) -> Iterator[str | None]:
    """Yield the lines of a stream without their ends; None for one longer than `max_chars`, which is not buffered."""
    buffer, is_skipping = "", False
    for block in blocks:
        first, newline, remainder = block.partition("\n")
        if not newline:
            buffer = "" if is_skipping else buffer + block
        else:
            if is_skipping:
                is_skipping = False
                yield None
            else:
                yield buffer + first
            *complete_lines, buffer = remainder.split("\n")
            yield from complete_lines
        if len(buffer) > max_chars:
            buffer, is_skipping = "", True
    if is_skipping:
        yield None
    elif buffer:
        yield buffer


def read_jsonl(stream: TextReader) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each line; a GenloomError instead of a value says what is wrong with it."""
    for number, line in enumerate(iter_lines(stream, MAX_LINE_CHARS), 1):
        if line is None:
            yield number, _too_long_error()
        elif line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, GenloomError("collect.not_json", reason=str(error)[:80])


def read_csv(stream: TextReader, is_tab_separated: bool) -> Iterator[tuple[int, dict[str, str] | GenloomError]]:
    """Yield the number and the row of a .csv or .tsv whose first row names the columns; or an error, as above."""
    overlong_lines: list[int] = []  # for which the reader gets an empty line

    def iter_bounded_lines() -> Iterator[str]:
        for number, line in enumerate(iter_lines(stream, MAX_LINE_CHARS), 1):
            if line is None:
                overlong_lines.append(number)
            yield f"{line or ''}\n"

    source = iter_bounded_lines()
    head = list(islice(source, SNIFF_ROWS))
    try:
        dialect = csv.excel_tab if is_tab_separated else csv.Sniffer().sniff("".join(head[:1]), ",;\t|")
        delimiter = dialect.delimiter
    except csv.Error:
        delimiter = ","
    csv.field_size_limit(MAX_LINE_CHARS)
    reader = csv.reader(chain(head, source), delimiter=delimiter)
    names = [name.strip() for name in next(reader, [])]
    if overlong_lines and overlong_lines[0] <= reader.line_num:
        raise GenloomError("collect.csv_header_too_long", limit=MAX_LINE_CHARS >> 20)
    return _iter_records(reader, names, overlong_lines)


def _iter_records(
    reader: Any, names: list[str], overlong_lines: list[int]
) -> Iterator[tuple[int, dict[str, str] | GenloomError]]:
    while True:
        previous_line = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, GenloomError("collect.row_not_csv", reason=error)
            continue
        if any(previous_line < line <= reader.line_num for line in overlong_lines):
            overlong_lines[:] = [line for line in overlong_lines if line > reader.line_num]
            yield reader.line_num, _too_long_error()
        elif len(cells) == len(names):
            yield reader.line_num, dict(zip(names, cells, strict=True))
        elif cells:
            yield reader.line_num, GenloomError("collect.row_width", count=len(cells), expected=len(names))


def _too_long_error() -> GenloomError:
    return GenloomError("collect.row_too_long", limit=MAX_LINE_CHARS >> 20)
