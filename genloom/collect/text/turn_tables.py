"""Tables with a turn of a conversation in each row: who speaks, what, and in which conversation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genloom.collect import table_files
from genloom.collect.text.conversations import ROLE_ALIASES
from genloom.errors import GenloomError

ROLE_COLUMNS = ("role", "from", "speaker", "author", "sender")
CONTENT_COLUMNS = ("content", "value", "message", "text", "utterance")
ID_COLUMNS = (
    *(
        f"{name}{end}"
        for name in ("conversation", "conv", "dialog", "dialogue", "thread", "chat")
        for end in ("_id", "id")
    ),
    *("conversation", "dialog", "dialogue", "thread", "chat", "session_id"),
)


@dataclass(frozen=True)
class TurnColumns:
    """The columns of the conversation ("" if none says it), the role and the content of each row."""

    id: str
    role: str
    content: str


def find_turn_columns(records: Sequence[Mapping[str, Any]]) -> TurnColumns | None:
    """Return the columns of a table whose rows are turns; None for any other table."""
    spelling = {str(name).strip().lower(): name for record in records for name in record}
    id, role, content = (_find_name(spelling, names) for names in (ID_COLUMNS, ROLE_COLUMNS, CONTENT_COLUMNS))
    if not role or not content:
        return None
    roles = {ROLE_ALIASES.get(str(record.get(role)).strip().lower()) for record in records}
    return TurnColumns(id, role, content) if {"user", "assistant"} <= roles <= {"system", "user", "assistant"} else None


def group_turns(rows: Iterable[tuple[int, Any]], columns: TurnColumns) -> Iterator[tuple[int, Any]]:
    """Yield a row with `messages` for each series of rows of one conversation, and what is no row as it is."""
    number, first, messages = 0, {}, list[dict[str, Any]]()
    problem: GenloomError | None = None
    for row_number, row in rows:
        if not isinstance(row, dict):
            yield row_number, row
            continue
        if messages and row.get(columns.id) != first.get(columns.id):
            yield number, _build_row(first, messages, problem)
            messages, problem = [], None
        if not messages:
            number, first = row_number, row
        if isinstance(row, table_files.RepairedRow):
            problem = problem or row.problem
        messages.append({"role": row.get(columns.role), "content": row.get(columns.content)})
    if messages:
        yield number, _build_row(first, messages, problem)


def _build_row(
    first: Mapping[str, Any], messages: list[dict[str, Any]], problem: GenloomError | None
) -> dict[str, Any]:
    row = {**first, "messages": messages}
    if problem is None:
        return row
    repaired = table_files.RepairedRow(row)
    repaired.problem = problem
    return repaired


def _find_name(spelling: Mapping[str, str], names: Sequence[str]) -> str:
    return next((spelling[name] for name in names if name in spelling), "")
