"""Read the records of jsonl and csv files one at a time, however large the file."""

import csv
import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any

from genloom.errors import GenloomError
from genloom.media.text.encoding import TextReader
from genloom.media.text.sheets import is_error

MAX_LINE_CHARS = 32 << 20
MAX_CELL_LINES = 100_000
SNIFF_ROWS = 64  # buffered before the first is returned
DELIMITERS = ",;\t|"
MAX_NAME_CHARS = 64  # of a column
COMMON_NAMES = frozenset(
    (
        "id",
        "text",
        "content",
        "title",
        "body",
        "name",
        "author",
        "date",
        "url",
        "label",
        "caption",
        "file_name",
        "source",
        "question",
        "answer",
        "prompt",
        "response",
        "instruction",
        "frage",
        "antwort",
    )
)
MAX_TITLE_LINES = 5  # above the names of the columns
_DELIMITER_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_NUMBER = re.compile(r"\s*[-+]?\d[\d.,:/ -]*\s*")
_SENTENCE = re.compile(r".* .*[.!?…]\s*|.*[。！？]\s*", re.DOTALL)


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


def read_jsonl(stream: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each line; a GenloomError instead of a value says what is wrong with it."""
    for number, line in enumerate(iter_lines(stream, MAX_LINE_CHARS), 1):
        if line is None:
            yield number, _too_long_error()
        elif line := line.strip("\ufeff \t\r"):  # files that were joined have byte order marks inside
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, GenloomError("collect.not_json", reason=describe_json_fault(error, is_line=True))


def describe_json_fault(error: Exception, is_line: bool = False) -> str:
    """Return what is wrong with a JSON text, and where; a text of one line has columns alone."""
    if not isinstance(error, json.JSONDecodeError):
        return str(error)[:80]
    line = "" if is_line else f"line {error.lineno}, "
    return f"{error.msg[:80]}, {line}column {error.colno}"


class RepairedRow(dict[str, Any]):
    """A row that could only be read by a guess; `problem` says which."""

    problem: GenloomError


def read_csv(stream: TextReader, is_tab_separated: bool) -> Iterator[tuple[int, dict[str, str] | GenloomError]]:
    """Yield the number and the row of a .csv or .tsv whose first row names the columns; or an error, as above.

    A first row that holds data makes the columns be called "column 1" and so on.
    """
    csv.field_size_limit(MAX_LINE_CHARS)
    lines = _LineSource(iter_lines(stream, MAX_LINE_CHARS))
    first = lines.next_line(skip_blank=True)
    if first is None:
        if lines.has_ended:
            return iter(())
        stream.close()
        raise GenloomError("collect.csv_header_too_long", limit=MAX_LINE_CHARS >> 20)
    delimiter = "\t" if is_tab_separated else _guess_delimiter(first)
    if declaration := _DELIMITER_LINE.fullmatch(first):  # which Excel writes and reads
        delimiter = declaration[1]
        first = lines.next_line(skip_blank=True) or ""
    first_number = lines.number
    names, _ = _read_row(first, lines, delimiter, 0)
    names = [name.strip() for name in names or ()]
    if len(list(filter(None, names))) == 1 and (header := _find_header_below(names, lines, is_tab_separated)):
        delimiter, names = header
        title = (first_number, GenloomError("collect.title_row"))
        return chain([title], _iter_records(lines, _make_unique(names), delimiter))
    if _holds_data(names):
        head = list(
            islice(_iter_records(lines, [f"column {n}" for n in range(1, len(names) + 1)], delimiter), SNIFF_ROWS)
        )
        first_row = dict(zip(_name_columns(names, head), names, strict=True))
        new_names = dict(zip((f"column {n}" for n in range(1, len(names) + 1)), first_row, strict=True))
        rename = partial(_rename_columns, new_names)
        rest = _iter_records(lines, list(first_row), delimiter)
        return chain(
            [(first_number, _with_problem(first_row, GenloomError("collect.no_header")))], map(rename, head), rest
        )
    return _iter_records(lines, _make_unique(names), delimiter)


def _iter_records(
    lines: "_LineSource", names: list[str], delimiter: str
) -> Iterator[tuple[int, dict[str, str] | GenloomError]]:
    while not lines.has_ended:
        line = lines.next_line()
        if line is None:
            if not lines.has_ended:
                yield lines.number, _too_long_error()
            continue
        if not line:
            continue
        if '"' in line:
            cells, is_repaired = _read_row(line, lines, delimiter, len(names))
        else:
            cells, is_repaired = line.split(delimiter), False
        if cells and len(names) == 1 and len(cells) > 1:  # a table of one column has nothing to delimit
            cells = [line]
        if cells is None:
            yield lines.number, _too_long_error()
        elif len(cells) == len(names):
            errors = [cell for cell in cells if is_error(cell)] if "#" in line or "Err:" in line else []
            if errors:
                cells = ["" if cell in errors else cell for cell in cells]
            row = dict(zip(names, cells, strict=True))
            if errors:
                row = _with_problem(row, GenloomError("collect.error_in_cell", value=errors[0]))
            elif is_repaired:
                row = _with_problem(row, GenloomError("collect.stray_quote"))
            elif any("\n" in cell and _looks_like_rows(cell, delimiter, len(names)) for cell in cells):
                row = _with_problem(row, GenloomError("collect.rows_in_cell"))
            yield lines.number, row
        elif cells:
            yield lines.number, GenloomError("collect.row_width", count=len(cells), expected=len(names))


class _LineSource:
    """Lines with their numbers, some of which can be put back."""

    def __init__(self, lines: Iterator[str | None]) -> None:
        self._lines, self._returned, self.number, self.has_ended = lines, deque[str | None](), 0, False

    def next_line(self, skip_blank: bool = False) -> str | None:
        """Return the next line; None for one that is too long, and at the end, when `has_ended` is true."""
        while True:
            try:
                line = self._returned.popleft() if self._returned else next(self._lines)
            except StopIteration:
                self.has_ended = True
                return None
            self.number += 1
            if line is None or line.strip() or not skip_blank:
                return line

    def put_back(self, lines: list[str | None]) -> None:
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)
        self.has_ended = self.has_ended and not lines


def _read_row(line: str, lines: _LineSource, delimiter: str, num_columns: int) -> tuple[list[str] | None, bool]:
    """Return the cells of the row that begins with this line, and whether its quotation marks do not fit.

    There are none for a row with a line that is too long.
    A mark that is never closed, or closed in the middle of a cell, is a character of its line alone: else it would
    swallow the rows up to the next one.
    """
    parts: list[str] = [line]
    taken: list[str | None] = []
    while True:
        try:
            cells = next(csv.reader(_add_line_ends(parts), delimiter=delimiter, strict=True))
            return (None if None in taken else cells), False
        except csv.Error as error:
            is_open = "unexpected end" in str(error)
        except StopIteration:
            return [], False
        num_marks, num_chars = sum(part.count('"') for part in parts), sum(map(len, parts))
        while is_open:
            next_line = lines.next_line()
            if lines.has_ended:
                is_open = False
                break
            taken.append(next_line)
            next_line = next_line or ""
            parts.append(next_line)
            num_marks += next_line.count('"')
            num_chars += len(next_line)
            if num_chars > MAX_LINE_CHARS or len(parts) > MAX_CELL_LINES:
                is_open = False
            elif '"' in next_line and num_marks % 2 == 0:
                break
        if not is_open:
            break
    lines.put_back(taken)
    cells = line.split(delimiter)
    if num_columns and len(cells) != num_columns:
        lenient_cells = next(csv.reader([line], delimiter=delimiter), [])
        cells = lenient_cells if len(lenient_cells) == num_columns else cells
    return cells, True


def _add_line_ends(lines: list[str]) -> list[str]:
    """Return the lines with their ends, as the module csv expects them."""
    return [f"{line}\n" for line in lines[:-1]] + [lines[-1]]


def _guess_delimiter(line: str) -> str:
    """Return the delimiter that the line has most of outside quotation marks."""
    bare_line = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=lambda delimiter: bare_line.count(delimiter))


def _find_header_below(names: list[str], lines: _LineSource, is_tab_separated: bool) -> tuple[str, list[str]] | None:
    """Return the delimiter and the cells of the names of the columns below a title; None if the title is the name."""
    taken: list[str | None] = []
    if not any(name.lower() in COMMON_NAMES for name in names):
        while len(taken) < MAX_TITLE_LINES and (line := lines.next_line()) is not None:
            taken.append(line)
            delimiter = "\t" if is_tab_separated else _guess_delimiter(line)
            cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
            if len(list(filter(None, cells))) > 1:
                if any(cell.lower() in COMMON_NAMES for cell in cells):
                    return delimiter, cells
                break
    lines.put_back(taken)
    return None


def _holds_data(cells: list[str]) -> bool:
    """Return whether a first row holds data rather than names: a number, a sentence, or a long text."""
    if any(cell.lower() in COMMON_NAMES for cell in cells):
        return False
    return any(_NUMBER.fullmatch(cell) or len(cell) > MAX_NAME_CHARS or _SENTENCE.fullmatch(cell) for cell in cells)


def _name_columns(first_row: list[str], head: list[tuple[int, Any]]) -> list[str]:
    """Return names for columns without: question and answer, if that is what two columns hold, or their numbers."""
    rows = [first_row, *(list(row.values()) for _, row in head if isinstance(row, dict))]
    if len(first_row) == 2 and sum(row[0].rstrip().endswith(("?", "？")) for row in rows) >= 0.8 * len(rows):
        return ["question", "answer"]
    return [f"column {n}" for n in range(1, len(first_row) + 1)]


def _rename_columns(new_names: dict[str, str], numbered: tuple[int, Any]) -> tuple[int, Any]:
    number, row = numbered
    if not isinstance(row, dict):
        return numbered
    renamed = {new_names[name]: value for name, value in row.items()}
    if isinstance(row, RepairedRow):
        return number, _with_problem(renamed, row.problem)
    return number, renamed


def _make_unique(names: list[str]) -> list[str]:
    """Return the names, a repeated one with its number."""
    counts: Counter[str] = Counter()
    unique = []
    for name in names:
        counts[name] += 1
        unique.append(name if counts[name] == 1 else f"{name} {counts[name]}")
    return unique


def _looks_like_rows(cell: str, delimiter: str, num_columns: int) -> bool:
    """Return whether each full line in a cell would be a row of its own, as after a mark that was closed by chance."""
    inner_lines = [line for line in cell.split("\n")[1:-1] if line.strip()]
    return len(inner_lines) >= 2 and all(line.count(delimiter) == num_columns - 1 for line in inner_lines)


def _with_problem(row: dict[str, str], problem: GenloomError) -> RepairedRow:
    repaired = RepairedRow(row)
    repaired.problem = problem
    return repaired


def _too_long_error() -> GenloomError:
    return GenloomError("collect.row_too_long", limit=MAX_LINE_CHARS >> 20)
