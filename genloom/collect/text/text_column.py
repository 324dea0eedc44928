"""Find the column of the text in rows of data: the one that the user names, or else a guess from the first rows."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from genloom.collect.text import conversations
from genloom.errors import GenloomError

SNIFF_ROWS = 64  # from which the column of text is guessed
MAX_SNIFFED_ROWS = 2048  # as long as none of them holds text
# Han, kana, hangul, and the scripts of Thai, Lao, Khmer, Burmese and Tibetan
UNSPACED_PATTERN = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{4}"
)
WORDS_PATTERN = re.compile(r"[^\W\d_]\S*\s+(?:\S*\s+)?[^\s\w]*[^\W\d_]")  # two, which dates and numbers have not
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


def read_head(rows: Iterator[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Return the first rows: as many as it takes until one holds text."""
    head = part = list(islice(rows, SNIFF_ROWS))
    while part and len(head) < MAX_SNIFFED_ROWS and not any(_holds_text(value) for _, value in part):
        part = list(islice(rows, SNIFF_ROWS))
        head = head + part
    return head


def _holds_text(value: Any) -> bool:
    if not isinstance(value, dict):
        return isinstance(value, str)
    is_text = any(isinstance(each, str) and _is_prose(each) for each in value.values())
    return is_text or bool(conversations.find_columns(value))


def require_column(
    rows: Iterator[tuple[int, Any]], column: str, head: list[dict[str, Any]]
) -> Iterator[tuple[int, Any]]:
    """Yield the rows after the first ones, which have no such column; raise GenloomError if none of these has it."""
    has_column = False
    for number, value in rows:
        has_column |= isinstance(value, dict) and column in value
        yield number, value
    if not has_column:
        raise _describe_missing_column(column, head)


def _describe_missing_column(column: str, records: list[dict[str, Any]]) -> GenloomError:
    names = dict.fromkeys(name for record in records for name in record)
    return GenloomError("collect.no_such_column", column=column, columns=", ".join(map(str, names)) or "none")


def find_text_column(column: str, records: list[dict[str, Any]]) -> str:
    """Return the column of the text: the given one, else the first common name, else the one with the longest texts.

    The result is "" if all rows are conversations, or none is an object.
    """
    pair_columns = {name for record in records for name in conversations.find_columns(record)}
    names = list(dict.fromkeys(name for record in records for name in record))
    if column:
        if column not in names:
            raise _describe_missing_column(column, records)
        return column
    records = [record for record in records if not _is_conversation(record)]
    names = [name for name in names if name not in pair_columns]  # a question without its answer is no text
    if not records and pair_columns:
        return ""
    lengths = {
        name: sum(len(r[name]) for r in records if isinstance(r.get(name), str) and _is_prose(r[name]))
        for name in names
    }
    usual_names = [name for candidate in TEXT_COLUMNS for name in names if str(name).strip().lower() == candidate]
    best_name = next((name for name in usual_names if lengths[name]), None)
    if best_name is None:
        _check_questions([name for name in names if lengths[name]])
    best_name = best_name or max(lengths, key=lambda name: lengths[name], default="")
    if not best_name or not lengths[best_name]:
        for name in usual_names:  # single words, where no column holds more
            if any(isinstance(record.get(name), str) and record[name].strip() for record in records):
                return name
        if pair_columns:
            return ""
        if not names:
            raise GenloomError("collect.no_rows")
        lists = [name for record in records for name, value in record.items() if _is_list_of_objects(value)]
        if lists:
            raise GenloomError("collect.unknown_list", columns=", ".join(map(str, names)), column=lists[0])
        raise GenloomError("collect.no_text_column", columns=", ".join(map(str, names)))
    return best_name


def _check_questions(columns: Sequence[str]) -> None:
    """Raise GenloomError if one of several columns of prose holds questions: none of the others is known to answer."""
    questions = [name for name in columns if name.strip().lower() in conversations.PROMPT_COLUMNS]
    if questions and len(columns) > len(questions):
        others = ", ".join(name for name in columns if name not in questions)
        raise GenloomError("collect.question_without_answer", question=questions[0], columns=others)


def find_late_column(number: int, record: Mapping[str, Any], key: str) -> tuple[str, int] | None:
    """Return the usual name of texts under which a row has one, and its number, if the texts are those of another."""
    if key.strip().lower() in TEXT_COLUMNS:
        return None
    names = (name for name in record if isinstance(name, str) and name.strip().lower() in TEXT_COLUMNS)
    return next(((name, number) for name in names if isinstance(record[name], str) and _is_prose(record[name])), None)


def _is_prose(value: str) -> bool:
    """Return whether a value holds several words, which some scripts write without spaces."""
    return WORDS_PATTERN.search(value) is not None or UNSPACED_PATTERN.search(value) is not None


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _is_conversation(record: Mapping[str, Any]) -> bool:
    try:
        return bool(conversations.parse_turns(record))
    except GenloomError:
        return True
