"""Find the text or the conversation in each row of jsonl, json, csv and parquet files."""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.collect import table_files
from genloom.collect.kept_columns import pick_columns
from genloom.collect.licence import LICENCE_COLUMNS, find_row_licence
from genloom.collect.parquet import BUFFER_BYTES, find_encoded_texts, has_message_type, list_text_columns, open_parquet
from genloom.collect.text import chat_exports, conversations, marked_turns, turn_tables
from genloom.collect.text.text_column import (
    SNIFF_ROWS,
    TEXT_COLUMNS,
    find_late_column,
    find_text_column,
    read_head,
    require_column,
)
from genloom.errors import GenloomError
from genloom.media.text.encoding import TextReader
from genloom.types import Message

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

MAX_JSON_CHARS = 256 << 20  # of a .json file
# Of the list in a .json file that holds an object with facts about it; a canvas has nodes.
LIST_NAMES = frozenset(
    ("data", "rows", "records", "items", "examples", "documents", "entries", "samples", "texts", "train", "instances")
) | {"nodes"}


@dataclass(frozen=True)
class TextRow:
    """A row's text, or the turns of its conversation, or the reason why there is neither (`problem`)."""

    number: int
    text: str = ""
    licence: str = ""
    problem: GenloomError | None = None
    turns: tuple[Message, ...] = ()
    warning: GenloomError | None = None  # why the row may have been read wrongly
    note: GenloomError | None = None  # instead of a row: what was taken from the table
    kept_values: Mapping[str, Any] = field(default_factory=dict)  # values of other columns
    has_markers: bool = False  # the turns stood between the markers of a chat template


def read_jsonl_rows(stream: TextReader, column: str, keep: Sequence[str] = ()) -> Iterator[TextRow]:
    """Return the rows of JSON lines: objects with the text under `column` (or a guessed key), or plain strings.

    A file whose first line is not a whole value, as in indented JSON, is read like a .json file.
    """
    blocks = iter(stream)
    head = next((block for block in blocks if block.strip("\ufeff \t\r\n")), "")
    first_line = head.lstrip("\ufeff \t\r\n").partition("\n")[0].strip()
    if first_line in ("{", "[") or (first_line.startswith("[") and not first_line.endswith("]")):
        return read_json_rows(chain([head], blocks), column, keep, has_lines=True)
    return _iter_rows(table_files.read_jsonl(chain([head], blocks)), column, keep)


def read_json_rows(
    stream: Iterable[str], column: str, keep: Sequence[str] = (), has_lines: bool = False
) -> Iterator[TextRow]:
    """Return the rows of a .json file: one array, an object with an array in it, one document, or JSON lines.

    With `has_lines`, text that is no JSON is read as JSON lines, whatever its first line is.
    """
    parts, length = [], 0
    for block in stream:
        length += len(block)
        if length > MAX_JSON_CHARS:
            raise GenloomError("collect.json_too_large", limit=MAX_JSON_CHARS >> 20)
        parts.append(block)
    content = "".join(parts).lstrip("\ufeff")
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError) as error:
        if has_lines or _is_json_line(content.lstrip().partition("\n")[0]):
            return _iter_rows(table_files.read_jsonl([content]), column, keep)
        raise GenloomError("collect.not_json", reason=str(error)[:80]) from error
    if isinstance(rows, list):
        return _iter_rows(enumerate(rows, 1), column, keep)
    if not isinstance(rows, dict):
        raise GenloomError("collect.json_without_list")
    if _is_document(rows, column):
        return _iter_rows(iter([(1, rows)]), column, keep)
    names = [name for name, value in rows.items() if name.lower() in LIST_NAMES and isinstance(value, list) and value]
    if len(names) != 1:
        raise GenloomError("collect.json_without_list")
    note = TextRow(0, note=GenloomError("collect.list_taken", name=names[0], count=len(rows)))
    return chain([note], _iter_rows(enumerate(rows[names[0]], 1), column, keep))


def _list_objects(rows: Iterable[tuple[int, Any]]) -> list[dict[str, Any]]:
    return [value for _, value in rows if isinstance(value, dict)]


def _describe_turns(columns: turn_tables.TurnColumns) -> GenloomError:
    if columns.id:
        return GenloomError("collect.read_as_turns", id=columns.id, role=columns.role, content=columns.content)
    return GenloomError("collect.turns_without_id", role=columns.role)


def _join_turns(
    rows: Iterator[tuple[int, Any]], column: str
) -> Generator[TextRow, None, tuple[list[tuple[int, Any]], Iterator[tuple[int, Any]]]]:
    """Return the first rows and the others; if each is a turn of a conversation, note it, and join those with an id."""
    head = read_head(rows)
    if turn_columns := None if column else turn_tables.find_turn_columns(_list_objects(head)):
        yield TextRow(0, note=_describe_turns(turn_columns))
        if turn_columns.id:
            rows = turn_tables.group_turns(chain(head, rows), turn_columns)
            head = read_head(rows)
    return head, rows


def _is_json_line(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict | str)
    except (ValueError, RecursionError):
        return False


def _is_document(record: Mapping[str, Any], column: str) -> bool:
    """Return whether an object is a document of its own: a conversation, or a text under its usual name."""
    names = (column,) if column else tuple(name for name in record if name.strip().lower() in TEXT_COLUMNS)
    return any(isinstance(record.get(name), str) for name in names) or bool(conversations.find_columns(record))


def _iter_rows(values: Iterator[tuple[int, Any]], column: str, keep: Sequence[str]) -> Iterator[TextRow]:
    head, values = yield from _join_turns(values, column)
    objects = _list_objects(head)
    if column and objects and not any(column in record for record in objects):
        key, values = column, require_column(values, column, objects)
    else:
        key = find_text_column(column, objects) if objects else ""
    if not objects and not any(isinstance(value, str) for _, value in head):
        _raise_first_problem((number, value) for number, value in head if isinstance(value, GenloomError))
        raise GenloomError("collect.no_json_objects")
    yield from _note_columns(objects, key, column)
    num_branches = 0
    late_column: tuple[str, int] | None = None
    for number, value in chain(head, values):
        if isinstance(value, dict) and key and not column and not late_column:
            late_column = find_late_column(number, value, key)
        num_branches += chat_exports.count_other_branches(value) if isinstance(value, dict) else 0
        if isinstance(value, GenloomError):
            yield TextRow(number, problem=value)
        elif isinstance(value, str):
            yield from parse_text(TextRow(number, value))
        else:
            yield from parse_text(_parse_row(number, value if isinstance(value, dict) else {}, key, column, keep))
    if num_branches:
        yield TextRow(0, note=GenloomError("collect.branches_left_out", count=num_branches))
    if late_column:
        name, number = late_column
        yield TextRow(0, note=GenloomError("collect.late_column", column=name, number=number, key=key))


def _parse_row(number: int, record: Mapping[str, Any], key: str, column: str, keep: Sequence[str]) -> TextRow:
    """Return a row as a conversation, or as the text under `key`; a `column` given by the user takes precedence."""
    try:
        kept_values = pick_columns(record, keep)
        turns = () if isinstance(record.get(column), str) else conversations.parse_turns(record)
    except GenloomError as error:
        return TextRow(number, problem=error)
    if turns:
        key = conversations.find_unread_reasoning(record)
        warning = GenloomError("collect.reasoning_unread", key=key) if key else None
        licence = find_row_licence(record)
        return TextRow(number, licence=licence, turns=turns, kept_values=kept_values, warning=warning)
    if not isinstance(record.get(key), str):
        problem = GenloomError("collect.row_without_text", column=key) if key else GenloomError("collect.row_not_talk")
        return TextRow(number, problem=problem)
    return TextRow(number, record[key], find_row_licence(record), kept_values=kept_values)


def parse_text(row: TextRow) -> Iterator[TextRow]:
    """Yield the conversations that the text of a row consists of; else the row, with a warning of its chat markers."""
    if row.turns or not (marker := marked_turns.find_marker(row.text)):
        yield row
        return
    conversations_found = marked_turns.parse_marked_turns(row.text)
    for turns in conversations_found:
        yield replace(row, text="", turns=turns, has_markers=True)
    if not conversations_found:
        yield replace(row, warning=row.warning or GenloomError("collect.markers_as_text", marker=marker))


def read_csv_rows(
    stream: TextReader, column: str, is_tab_separated: bool, keep: Sequence[str] = ()
) -> Iterator[TextRow]:
    """Yield the rows of a .csv or .tsv whose first row names the columns."""
    head_rows, records = yield from _join_turns(table_files.read_csv(stream, is_tab_separated), column)
    valid_records = _list_objects(head_rows)
    if not valid_records:
        _raise_first_problem((number, record) for number, record in head_rows if isinstance(record, GenloomError))
    key = find_text_column(column, valid_records)
    yield from _note_columns(valid_records, key, column)
    for number, record in chain(head_rows, records):
        if isinstance(record, GenloomError):
            yield TextRow(number, problem=record)
        else:
            row = _parse_row(number, record, key, column, keep)
            is_repaired = isinstance(record, table_files.RepairedRow) and not row.problem
            yield from parse_text(replace(row, warning=record.problem) if is_repaired else row)


def read_parquet_rows(path: Path, column: str, keep: Sequence[str] = ()) -> Iterator[TextRow]:
    """Yield the rows of a Parquet file."""
    with open_parquet(path, BUFFER_BYTES) as file:
        encoded_columns = find_encoded_texts(file)
        text_columns = list_text_columns(file.schema_arrow) + encoded_columns
        list_names = {*conversations.LIST_COLUMNS, *conversations.ANSWER_COLUMNS, "prompt", "history", "label"}
        list_names |= {*turn_tables.KEY_COLUMNS, *LICENCE_COLUMNS, *conversations.SYSTEM_CONTENT_COLUMNS}
        list_names |= {"input", conversations.PREFERRED_COLUMN}
        message_columns = [f.name for f in file.schema_arrow if has_message_type(f.type, conversations.ROLE_KEYS)]
        list_columns = [
            f.name
            for f in file.schema_arrow
            if f.name not in text_columns and (f.name.strip().lower() in list_names or f.name in message_columns)
        ]
        if not text_columns and not list_columns:
            raise GenloomError("collect.no_text_column", columns=", ".join(file.schema_arrow.names) or "no columns")
        head_batches = file.iter_batches(SNIFF_ROWS, columns=text_columns + list_columns)
        head_rows = enumerate(record for batch in head_batches for record in _read_records(batch, encoded_columns))
        head_records = _list_objects(read_head(head_rows))
        turn_columns = None if column else turn_tables.find_turn_columns(head_records)
        if turn_columns:
            yield TextRow(0, note=_describe_turns(turn_columns))
        if turn_columns and turn_columns.id:
            batches = file.iter_batches(SNIFF_ROWS)
            records = enumerate((row for batch in batches for row in _read_records(batch, encoded_columns)), 1)
            for number, record in turn_tables.group_turns(records, turn_columns):
                if isinstance(record, GenloomError):
                    yield TextRow(number, problem=record)
                else:
                    yield from parse_text(_parse_row(number, record, "", column, keep))
            return
        key = find_text_column(column, head_records)
        yield from _note_columns(head_records, key, column)
        used_columns = {*conversations.CONVERSATION_COLUMNS, *LICENCE_COLUMNS, "history", "label"}
        columns = [
            name
            for name in text_columns + list_columns
            if name == key or name in message_columns or name.strip().lower() in used_columns
        ]
        columns += [name for name in file.schema_arrow.names if name in keep and name not in columns]
        number = 0
        for batch in file.iter_batches(SNIFF_ROWS, columns=columns):
            for record in _read_records(batch, encoded_columns):
                number += 1
                yield from parse_text(_parse_row(number, record, key, column, keep))


def _read_records(batch: "pa.RecordBatch", encoded_columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a batch, with the texts of columns of bytes; bytes that are no UTF-8 become U+FFFD."""
    records = batch.to_pylist()
    for record in records:
        for name in encoded_columns:
            if isinstance(record.get(name), bytes):
                record[name] = record[name].decode(errors="replace")
    return records


def _raise_first_problem(problems: Iterator[tuple[int, GenloomError]]) -> None:
    """Raise GenloomError for the first broken row, if there is one; for files without a valid row."""
    if first := next(problems, None):
        number, problem = first
        raise GenloomError("collect.no_valid_row", number=number, reason=problem, cause=problem.code)


def _note_columns(records: list[Any], key: str, column: str) -> Iterator[TextRow]:
    """Yield a note on the columns that were taken without being named by the user."""
    if column:
        return
    if names := next((names for record in records if (names := conversations.find_columns(record))), ()):
        if len(names) == 2:
            yield TextRow(0, note=GenloomError("collect.read_as_pairs", prompt=names[0], answer=names[1]))
        else:
            yield TextRow(0, note=GenloomError("collect.read_as_conversations", column=names[0]))
    elif key and (num_columns := len(set().union(*records))) > 1:
        if str(key).strip().lower() in TEXT_COLUMNS:
            yield TextRow(0, note=GenloomError("collect.column_taken", column=key, count=num_columns))
        else:
            yield TextRow(0, note=GenloomError("collect.column_guessed", column=key, count=num_columns))
