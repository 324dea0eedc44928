"""Tables of texts and labels, read from .csv, .tsv and .jsonl files in any encoding, and written again with columns."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.collect import table_files
from genloom.errors import GenloomError, format_message, format_suggestion
from genloom.media.text import encoding
from genloom.store.files import write_atomic
from genloom.text_format import format_count

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
MAX_FILE_BYTES = 256 << 20
MAX_ROWS = 200_000
MAX_TOTAL_CHARS = 128 << 20
MAX_FAULTS_SHOWN = 4
TEXT_COLUMNS = ("text", "body", "content", "message", "mail", "email", "review", "comment", "document")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "group")


@dataclass(frozen=True)
class Fault:
    """A fault of a line of a table, whose row was left out, or read by a guess."""

    line: int
    reason: str
    is_skipped: bool


@dataclass(frozen=True)
class Table:
    """Rows with the same columns, and the lines that could not be read, or only by a guess."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    encoding: str
    faults: tuple[Fault, ...] = ()

    @property
    def num_skipped(self) -> int:
        """The number of lines whose rows were left out."""
        return sum(fault.is_skipped for fault in self.faults)

    def list_notes(self) -> list[str]:
        """Return what a person should know: which lines were left out or read by a guess, and why."""
        notes = []
        for is_skipped, verdict in ((True, "left out"), (False, "read by a guess")):
            faults = [fault for fault in self.faults if fault.is_skipped == is_skipped]
            if not faults:
                continue
            shown = "; ".join(f"line {fault.line:,}: {fault.reason}" for fault in faults[:MAX_FAULTS_SHOWN])
            more = len(faults) - MAX_FAULTS_SHOWN
            others = f"; and {format_count(more, 'other')}" if more > 0 else ""
            notes.append(f"{format_count(len(faults), 'row')} of {self.path.name} {verdict}: {shown}{others}")
        return notes

    def choose_column(self, name: str, usual: Sequence[str], what: str) -> str:
        """Return the column of this name, else the first usual one, else the only one or the one with the most text.

        Raise GenloomError (tasks.no_such_column) with the names for a name that is not there.
        """
        if name:
            if name not in self.columns:
                hint = format_suggestion(name, self.columns)
                known = ", ".join(self.columns)
                raise GenloomError("tasks.no_such_column", path=self.path, column=name, columns=known, hint=hint)
            return name
        by_fold = {column.strip().casefold(): column for column in reversed(self.columns)}
        if found := next((by_fold[each] for each in usual if each in by_fold), ""):
            return found
        if what == "texts" and self.columns:
            return max(self.columns, key=lambda column: sum(len(row[column]) for row in self.rows[:200]))
        raise GenloomError("tasks.column_needed", path=self.path, what=what, columns=", ".join(self.columns))

    def list_values(self, column: str) -> list[str]:
        """Return the values of a column."""
        return [row[column] for row in self.rows]


def read_text_table(path: Path) -> Table:
    """Return the rows of a file; raise GenloomError for one that is no table, empty or too large."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise GenloomError("tasks.not_a_table", path=path, known=", ".join(SUFFIXES))
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise GenloomError("tasks.table_too_large", path=path, limit=f"{MAX_FILE_BYTES >> 20} MB")
        reader = encoding.open_text(path)
    except OSError as error:
        raise GenloomError("media.unreadable_file", path=path, reason=error.strerror) from error
    except GenloomError as error:
        if error.code.startswith("tasks."):
            raise
        raise GenloomError("media.unreadable", path=path, reason=error) from error
    is_lines = suffix in (".jsonl", ".ndjson")
    found = table_files.read_jsonl(reader) if is_lines else table_files.read_csv(reader, suffix == ".tsv")
    rows, faults, size = list[dict[str, str]](), list[Fault](), 0
    with closing(reader):
        for row in _iter_rows(found):
            if isinstance(row, Fault):
                faults.append(row)
                continue
            rows.append(row)
            size += sum(map(len, row.values()))
            if len(rows) > MAX_ROWS or size > MAX_TOTAL_CHARS:
                limit = f"{MAX_ROWS:,} rows of {MAX_TOTAL_CHARS >> 20} MB"
                raise GenloomError("tasks.table_too_large", path=path, limit=limit)
    columns = tuple(dict.fromkeys(name for row in rows[:1000] for name in row))
    if not rows or not columns:
        if skipped := [fault for fault in faults if fault.is_skipped]:
            first = skipped[0]
            raise GenloomError("tasks.unreadable_table", path=path, line=first.line, reason=first.reason)
        raise GenloomError("tasks.empty_table", path=path)
    full_rows = tuple({name: row.get(name, "") for name in columns} for row in rows)
    return Table(path, columns, full_rows, reader.encoding, tuple(faults))


def _iter_rows(found: Iterator[tuple[int, Any]]) -> Iterator[dict[str, str] | Fault]:
    """Yield the rows as texts by column, and what is wrong with a line beside or instead of its row."""
    for line, row in found:
        if isinstance(row, table_files.RepairedRow):
            yield Fault(line, str(row.problem), is_skipped=False)
        if isinstance(row, dict):
            yield {str(name): value if isinstance(value, str) else _to_text(value) for name, value in row.items()}
        elif not isinstance(row, GenloomError):
            yield Fault(line, format_message("tasks.row_no_object", kind=type(row).__name__), is_skipped=True)
        elif row.code != "collect.title_row":
            yield Fault(line, str(row), is_skipped=True)


def _to_text(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def render_csv(columns: Sequence[str], rows: Sequence[dict[str, str]]) -> str:
    """Return rows as CSV with a header."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(columns), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    """Write rows as a CSV file, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render_csv(columns, rows))


def read_glossary_pairs(path: Path, source: str, target: str) -> list[tuple[str, str]]:
    """Return the terms of a glossary and their translations.

    The columns are named by the codes of the languages ("en", "fr") or "source" and "target"; else the first two count.
    """
    table = read_text_table(path)
    if skipped := [fault for fault in table.faults if fault.is_skipped]:
        raise GenloomError("tasks.glossary_line", path=path, line=skipped[0].line, reason=skipped[0].reason)
    if len(table.columns) < 2:
        raise GenloomError("tasks.glossary_columns", path=path, columns=", ".join(table.columns))
    by_fold = {column.strip().casefold(): column for column in table.columns}
    for names in ((source, target), ("source", "target"), ("term", "translation")):
        if all(name in by_fold for name in names):
            first, second = (by_fold[name] for name in names)
            break
    else:
        first, second = table.columns[:2]
        is_header = first.startswith("column ") or table.columns[0] in ("", None)
        head = [] if is_header else [(first, second)]  # a file without names of columns: its first row is a pair, too
        return [*head, *((row[first], row[second]) for row in table.rows)]
    return [(row[first], row[second]) for row in table.rows]
