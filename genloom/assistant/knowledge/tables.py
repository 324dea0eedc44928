"""Rows of tables as texts: each a document of its own, with all its columns."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.collect import table_files
from genloom.collect.parquet import open_parquet
from genloom.collect.sources import SourceFile
from genloom.collect.text.files import get_inner_suffix
from genloom.collect.text.text_column import TEXT_COLUMNS
from genloom.errors import GenloomError, format_message
from genloom.media.text import encoding, extract, sheets

MAX_JSON_CHARS = 64 << 20
MAX_CELL_CHARS = 1 << 20
SHORT_CHARS = 80  # of the values that stand on one line with their name
_TABLE_FORMATS = ("jsonl", "json", "csv", "sheets", "parquet")
_BATCH_ROWS = 64

Row = tuple[str, int, str]  # sheet, number from 1, text


@dataclass(frozen=True)
class RowProblem:
    """A fault of a row, or of the whole table (number 0)."""

    error: GenloomError
    number: int = 0  # of the line in a text file, else of the row; from 1


def is_table(file: SourceFile) -> bool:
    """Return whether a file holds rows."""
    return file.format in _TABLE_FORMATS


def iter_rows(file: SourceFile, column: str | None = None) -> Iterator[Row | RowProblem]:
    """Yield the rows of a file as texts, or what is wrong with one: all columns, or the one that is named.

    The column "" is one with a usual name of texts, if there is one.

    Raise GenloomError if the file is not what its name says.
    """
    if file.format == "sheets":
        yield from _iter_sheets(file.path, column)
    elif file.format == "parquet":
        with open_parquet(file.path) as table:
            records = (record for batch in table.iter_batches(_BATCH_ROWS) for record in batch.to_pylist())
            yield from _render_records("", enumerate(records, 1), column)
    else:
        stream = encoding.open_text(file.path)
        if file.format == "csv":
            is_tab_separated = get_inner_suffix(file.path) == ".tsv"
            yield from _render_records("", table_files.read_csv(stream, is_tab_separated), column)
        elif file.format == "jsonl":
            yield from _render_records("", table_files.read_jsonl(stream), column)
        else:
            yield from _render_records("", enumerate(_read_json(stream), 1), column)


def _iter_sheets(path: Path, column: str | None) -> Iterator[Row | RowProblem]:
    tables, problems = extract.run_extractor(sheets.read_sheets, path)
    yield from map(RowProblem, problems)
    for table in tables:
        yield from map(RowProblem, table.problems)
        stream = encoding.TextReader("utf-8", iter([table.text]))
        name = table.name if len(tables) > 1 else ""
        yield from _render_records(name, table_files.read_csv(stream, is_tab_separated=False), column)


def _read_json(stream: Iterable[str]) -> list[Any]:
    """Return the elements of a list, else the one value that the file holds."""
    parts, length = [], 0
    for block in stream:
        length += len(block)
        if length > MAX_JSON_CHARS:
            raise GenloomError("collect.json_too_large", limit=MAX_JSON_CHARS >> 20)
        parts.append(block)
    try:
        value = json.loads("".join(parts).lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise GenloomError("collect.not_json", reason=table_files.describe_json_fault(error)) from error
    lists = [each for each in value.values() if isinstance(each, list)] if isinstance(value, dict) else []
    if isinstance(value, list):
        return value
    return lists[0] if len(lists) == 1 and all(isinstance(each, dict) for each in lists[0]) else [value]


def _render_records(sheet: str, records: Iterable[tuple[int, Any]], column: str | None) -> Iterator[Row | RowProblem]:
    for number, record in records:
        if isinstance(record, GenloomError):
            yield RowProblem(record, number)
            continue
        try:
            text = render_value(_pick_column(record, column))
        except GenloomError as error:
            yield RowProblem(error, number)
            continue
        if isinstance(record, table_files.RepairedRow):
            yield RowProblem(record.problem, number)
        if text:
            yield sheet, number, text


def _pick_column(record: Any, column: str | None) -> Any:
    """Return the value of a column of a row; the whole row without one."""
    if column and not isinstance(record, Mapping):
        raise GenloomError("knowledge.no_column", column=column, columns=format_message("knowledge.no_columns"))
    if column is None or not isinstance(record, Mapping):
        return record
    if column:
        if column not in record:
            raise GenloomError("knowledge.no_column", column=column, columns=", ".join(map(str, record)))
        return record[column]
    name = next((name for usual in TEXT_COLUMNS for name in record if str(name).strip().lower() == usual), None)
    return record if name is None else record[name]


def render_value(value: Any, depth: int = 0) -> str:
    """Return a value of a table as a text: a mapping line by line, with the names of its values."""
    match value:
        case None:
            return ""
        case str():
            return value[:MAX_CELL_CHARS].strip()
        case bool() | int() | float():
            return str(value)
        case Mapping() if depth < 4:
            pairs = [(str(name), render_value(inner, depth + 1)) for name, inner in value.items()]
            if len(pairs) == 1:
                return pairs[0][1]
            if {"role", "content"} <= value.keys():  # a turn of a conversation
                return f"{value['role']}: {render_value(value['content'], depth + 1)}"
            return "\n".join(_join_pair(name, text) for name, text in pairs if text)
        case list() | tuple() if depth < 4:
            parts = [render_value(inner, depth + 1) for inner in value[:1000]]
            return ("\n" if any("\n" in part or len(part) > SHORT_CHARS for part in parts) else ", ").join(parts)
        case _:
            return str(value)[:SHORT_CHARS]


def _join_pair(name: str, text: str) -> str:
    """Return a value with its name; a long text has a paragraph of its own."""
    return f"{name}: {text}" if len(text) <= SHORT_CHARS and "\n" not in text else f"{name}:\n{text}\n"
