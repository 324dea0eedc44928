"""Find the text or the conversation in each row of jsonl, json, csv and parquet files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from genloom.collect import table_files
from genloom.collect.kept import pick_kept
from genloom.collect.licence import LICENCE_COLUMNS
from genloom.collect.parquet import open_parquet
from genloom.collect.text import conversations
from genloom.errors import GenloomError
from genloom.media.text.encoding import TextReader
from genloom.types import Message

MAX_JSON_CHARS = 256 << 20  # of a .json file
SNIFF_ROWS = 64  # from which the column of text is guessed
TEXT_COLUMNS = (
    "text",
    "content",
    "body",
    "document",
    "article",
    "story",
    "passage",
    "message",
    "abstract",
    "completion",
)


@dataclass(frozen=True)
class TextRow:
    """A row's text, or the turns of its conversation, or the reason why there is neither (`problem`)."""

    number: int
    text: str = ""
    licence: str = ""
    problem: GenloomError | None = None
    turns: tuple[Message, ...] = ()
    warning: GenloomError | None = None  # why the row may have been read wrongly
    kept: Mapping[str, Any] = field(default_factory=dict)  # values of other columns


def read_jsonl_rows(stream: TextReader, column: str, keep: Sequence[str] = ()) -> Iterator[TextRow]:
    """Return the rows of JSON lines: objects with the text under `column` (or a guessed key), or plain strings."""
    return _iter_rows(table_files.read_jsonl(stream), column, keep)


def read_json_rows(stream: TextReader, column: str, keep: Sequence[str] = ()) -> Iterator[TextRow]:
    """Return the rows of a .json file that holds one array."""
    parts, length = [], 0
    for block in stream:
        length += len(block)
        if length > MAX_JSON_CHARS:
            raise GenloomError("collect.json_too_large", limit=MAX_JSON_CHARS >> 20)
        parts.append(block)
    try:
        rows = json.loads("".join(parts))
    except (ValueError, RecursionError) as error:
        raise GenloomError("collect.not_json", reason=str(error)[:80]) from error
    if not isinstance(rows, list):
        raise GenloomError("collect.json_without_list")
    return _iter_rows(enumerate(rows, 1), column, keep)


def _iter_rows(values: Iterator[tuple[int, Any]], column: str, keep: Sequence[str]) -> Iterator[TextRow]:
    head = list(islice(values, SNIFF_ROWS))
    objects = [value for _, value in head if isinstance(value, dict)]
    key = _find_text_column(column, objects) if objects else ""
    if not objects and not any(isinstance(value, str) for _, value in head):
        _raise_first_problem((number, value) for number, value in head if isinstance(value, GenloomError))
        raise GenloomError("collect.no_json_objects")
    for number, value in chain(head, values):
        if isinstance(value, GenloomError):
            yield TextRow(number, problem=value)
        elif isinstance(value, str):
            yield TextRow(number, value)
        else:
            yield _parse_row(number, value if isinstance(value, dict) else {}, key, column, keep)


def _parse_row(number: int, record: Mapping[str, Any], key: str, column: str, keep: Sequence[str]) -> TextRow:
    """Return a row as a conversation, or as the text under `key`; a `column` given by the user takes precedence."""
    try:
        kept = pick_kept(record, keep)
        turns = () if isinstance(record.get(column), str) else conversations.parse_turns(record)
    except GenloomError as error:
        return TextRow(number, problem=error)
    if turns:
        return TextRow(number, licence=_find_licence(record), turns=turns, kept=kept)
    if not isinstance(record.get(key), str):
        problem = GenloomError("collect.row_without_text", column=key) if key else GenloomError("collect.row_not_talk")
        return TextRow(number, problem=problem)
    return TextRow(number, record[key], _find_licence(record), kept=kept)


def read_csv_rows(
    stream: TextReader, column: str, is_tab_separated: bool, keep: Sequence[str] = ()
) -> Iterator[TextRow]:
    """Yield the rows of a .csv or .tsv whose first row names the columns."""
    records = table_files.read_csv(stream, is_tab_separated)
    head_rows = list(islice(records, SNIFF_ROWS))
    valid_records = [record for _, record in head_rows if isinstance(record, dict)]
    if not valid_records:
        _raise_first_problem((number, record) for number, record in head_rows if isinstance(record, GenloomError))
    key = _find_text_column(column, valid_records)
    for number, record in chain(head_rows, records):
        if isinstance(record, GenloomError):
            yield TextRow(number, problem=record)
        else:
            yield _parse_row(number, record, key, column, keep)


def read_parquet_rows(path: Path, column: str, keep: Sequence[str] = ()) -> Iterator[TextRow]:
    """Yield the rows of a Parquet file."""
    import pyarrow as pa

    with open_parquet(path) as file:
        text_columns = [
            f.name for f in file.schema_arrow if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
        ]
        list_columns = [
            name for name in file.schema_arrow.names if name in conversations.LIST_COLUMNS and name not in text_columns
        ]
        head = (
            next(file.iter_batches(SNIFF_ROWS, columns=text_columns + list_columns), None)
            if text_columns or list_columns
            else None
        )
        key = _find_text_column(column, head.to_pylist() if head is not None else [])
        used_columns = {key, *conversations.CONVERSATION_COLUMNS}
        columns = [
            name for name in text_columns + list_columns if name in used_columns or name.lower() in LICENCE_COLUMNS
        ]
        columns += [name for name in file.schema_arrow.names if name in keep and name not in columns]
        number = 0
        for batch in file.iter_batches(SNIFF_ROWS, columns=columns):
            for record in batch.to_pylist():
                number += 1
                yield _parse_row(number, record, key, column, keep)


def _raise_first_problem(problems: Iterator[tuple[int, GenloomError]]) -> None:
    """Raise GenloomError for the first broken row, if there is one; for files without a valid row."""
    if first := next(problems, None):
        number, problem = first
        raise GenloomError("collect.no_valid_row", number=number, reason=problem, cause=problem.code)


def _find_text_column(column: str, records: list[dict[str, Any]]) -> str:
    """Return the column of the text: the given one, else the first common name, else the one with the longest texts.

    The result is "" if all rows are conversations, or none is an object.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    if column:
        if column not in names:
            raise GenloomError("collect.no_such_column", column=column, columns=", ".join(map(str, names)) or "none")
        return column
    records = [record for record in records if not _is_conversation(record)]
    if not records and names:
        return ""
    lengths = {
        name: sum(len(r[name]) for r in records if isinstance(r.get(name), str) and " " in r[name].strip())
        for name in names
    }
    for candidate in TEXT_COLUMNS:
        for name in names:
            if str(name).lower() == candidate and lengths[name]:
                return name
    best_name = max(lengths, key=lambda name: lengths[name], default="")
    if not best_name or not lengths[best_name]:
        raise GenloomError("collect.no_text_column", columns=", ".join(map(str, names)) or "no columns")
    return best_name


def _is_conversation(record: Mapping[str, Any]) -> bool:
    try:
        return bool(conversations.parse_turns(record))
    except GenloomError:
        return True


def _find_licence(record: Mapping[str, Any]) -> str:
    for name, value in record.items():
        if str(name).lower() in LICENCE_COLUMNS and isinstance(value, str) and value.strip():
            return value.strip()[:80]
    return ""
