"""Finds the text or the conversation in each row of jsonl, json, csv and parquet files."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from genloom.collect import tables
from genloom.collect.licence import COLUMNS as LICENCE_COLUMNS
from genloom.collect.parquet import opened
from genloom.collect.text import conversations
from genloom.media.text.encoding import Stream
from genloom.types import Message

JSON_AT_MOST = 256 << 20  # characters of one .json
LOOKED_AT = 64  # rows from which the column of text is guessed
USUAL = ("text", "content", "body", "document", "article", "story", "passage", "message", "abstract", "completion")


@dataclass(frozen=True)
class Row:
    """One row's text, or its turns where it is a conversation, or why there is neither (`problem`)."""

    number: int
    text: str = ""
    licence: str = ""
    problem: str = ""
    turns: tuple[Message, ...] = ()


def jsonl(stream: Stream, column: str) -> Iterator[Row]:
    """Rows of JSON lines: objects with the text under `column` (or a guessed key), or plain strings."""
    return _objects(tables.jsonl(stream), column)


def json_array(stream: Stream, column: str) -> Iterator[Row]:
    """Rows of a .json file that holds one array."""
    parts, length = [], 0
    for block in stream:
        length += len(block)
        if length > JSON_AT_MOST:
            raise ValueError(f"it is larger than {JSON_AT_MOST >> 20} MB; save it with one row a line, as .jsonl")
        parts.append(block)
    try:
        rows = json.loads("".join(parts))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({str(error)[:80]})") from error
    if not isinstance(rows, list):
        raise ValueError("it holds settings or other data, no list of texts")
    return _objects(enumerate(rows, 1), column)


def _objects(values: Iterator[tuple[int, Any]], column: str) -> Iterator[Row]:
    head = list(islice(values, LOOKED_AT))
    objects = [value for _, value in head if isinstance(value, dict)]
    key = _column(column, objects) if objects else ""
    if not objects and not any(isinstance(value, str) for _, value in head):
        _tell_first((number, str(value)) for number, value in head if isinstance(value, ValueError))
        raise ValueError("none of its first rows is a JSON object or string")
    for number, value in chain(head, values):
        if isinstance(value, ValueError):
            yield Row(number, problem=str(value))
        elif isinstance(value, str):
            yield Row(number, value)
        else:
            yield _row(number, value if isinstance(value, dict) else {}, key, column)


def _row(number: int, record: Mapping[str, Any], key: str, column: str) -> Row:
    """A row as a conversation, or as the text under `key`; `column` is what the person named, which comes first."""
    if not isinstance(record.get(column), str):
        try:
            turns = conversations.turns_of(record)
        except ValueError as error:
            return Row(number, problem=str(error))
        if turns:
            return Row(number, licence=_licence(record), turns=turns)
    if not isinstance(record.get(key), str):
        return Row(
            number, problem=f"there is no text under {key!r}" if key else "it is no conversation like the others"
        )
    return Row(number, record[key], _licence(record))


def table(stream: Stream, column: str, tabs: bool) -> Iterator[Row]:
    """Rows of a .csv or .tsv whose first row names the columns."""
    records = tables.csv_rows(stream, tabs)
    first = list(islice(records, LOOKED_AT))
    good = [record for _, record in first if isinstance(record, dict)]
    if not good:
        _tell_first((number, record) for number, record in first if isinstance(record, str))
    key = _column(column, good)
    for number, record in chain(first, records):
        if isinstance(record, str):
            yield Row(number, problem=record)
        else:
            yield _row(number, record, key, column)


def parquet(path: Path, column: str) -> Iterator[Row]:
    """Rows of a Parquet file."""
    import pyarrow as pa

    with opened(path) as file:
        texts = [f.name for f in file.schema_arrow if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        lists = [name for name in file.schema_arrow.names if name in conversations.LISTS and name not in texts]
        head = next(file.iter_batches(LOOKED_AT, columns=texts + lists), None) if texts or lists else None
        key = _column(column, head.to_pylist() if head is not None else [])
        named = {key, *conversations.COLUMNS}
        wanted = [name for name in texts + lists if name in named or name.lower() in LICENCE_COLUMNS]
        number = 0
        for batch in file.iter_batches(LOOKED_AT, columns=wanted):
            for record in batch.to_pylist():
                number += 1
                yield _row(number, record, key, column)


def _tell_first(problems: Iterator[tuple[int, str]]) -> None:
    """ValueError for the first of the rows that are broken, if there is one; asked where no row is whole."""
    if first := next(problems, None):
        raise ValueError("none of its first rows can be read: row {}: {}".format(*first))


def _column(wanted: str, records: list[dict[str, Any]]) -> str:
    """The column of the text: the one wanted, else one usually so named, else the one with the longest texts.

    It is "" where all rows are conversations, or none is an object.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    if wanted:
        if wanted not in names:
            raise ValueError(f"it has no column {wanted!r}; it has {', '.join(map(str, names)) or 'none'}")
        return wanted
    records = [record for record in records if not _converses(record)]
    if not records and names:
        return ""
    lengths = {
        name: sum(len(r[name]) for r in records if isinstance(r.get(name), str) and " " in r[name].strip())
        for name in names
    }
    for usual in USUAL:
        for name in names:
            if str(name).lower() == usual and lengths[name]:
                return name
    best = max(lengths, key=lambda name: lengths[name], default="")
    if not best or not lengths[best]:
        raise ValueError(f"no column holds text ({', '.join(map(str, names)) or 'no columns'}); name it with --column")
    return best


def _converses(record: Mapping[str, Any]) -> bool:
    try:
        return bool(conversations.turns_of(record))
    except ValueError:
        return True


def _licence(record: Mapping[str, Any]) -> str:
    for name, value in record.items():
        if str(name).lower() in LICENCE_COLUMNS and isinstance(value, str) and value.strip():
            return value.strip()[:80]
    return ""
