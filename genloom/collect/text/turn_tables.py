"""Tables with a turn of a conversation in each row: who speaks, what, and in which conversation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
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
    *("conversation", "dialog", "dialogue", "thread", "chat", "session_id", "message_tree_id"),
)
MESSAGE_COLUMNS, PARENT_COLUMNS = ("message_id", "id"), ("parent_id", "parent_message_id")  # of answers to a message
RANK_COLUMN = "rank"  # of the answers to one message; 0 is the best
KEY_COLUMNS = (*ID_COLUMNS, *MESSAGE_COLUMNS, *PARENT_COLUMNS, RANK_COLUMN)

MAX_OPEN_ROWS = 10_000  # of conversations that may go on


@dataclass(frozen=True)
class TurnColumns:
    """The columns of the conversation ("" if none says it), the role and the content of each row."""

    id: str
    role: str
    content: str
    message: str = ""  # with `parent`, where a message may have several answers
    parent: str = ""
    rank: str = ""


def find_turn_columns(records: Sequence[Mapping[str, Any]]) -> TurnColumns | None:
    """Return the columns of a table whose rows are turns; None for any other table."""
    spelling = {str(name).strip().lower(): name for record in records for name in record}
    id, role, content = (_find_name(spelling, names) for names in (ID_COLUMNS, ROLE_COLUMNS, CONTENT_COLUMNS))
    if not role or not content:
        return None
    roles = {ROLE_ALIASES.get(str(record.get(role)).strip().lower()) for record in records}
    if not {"user", "assistant"} <= roles <= {"system", "user", "assistant"}:
        return None
    message, parent = (_find_name(spelling, names) for names in (MESSAGE_COLUMNS, PARENT_COLUMNS))
    tree = (message, parent, _find_name(spelling, (RANK_COLUMN,))) if message and parent else ()
    return TurnColumns(id, role, content, *tree)


@dataclass
class _Conversation:
    number: int  # of its first row
    first: Mapping[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[tuple[str, str, float]] = field(default_factory=list)  # of a tree: id, parent and rank of each message
    problem: GenloomError | None = None

    def add(self, row: Mapping[str, Any], columns: TurnColumns) -> None:
        if isinstance(row, table_files.RepairedRow):
            self.problem = self.problem or row.problem
        self.messages.append({"role": row.get(columns.role), "content": row.get(columns.content)})
        if columns.parent:
            rank = row.get(columns.rank)
            is_ranked = isinstance(rank, int | float) or (isinstance(rank, str) and rank.isdigit())
            node = str(row.get(columns.message)), str(row.get(columns.parent))
            self.nodes.append((*node, float(rank) if is_ranked else inf))

    def list_branch(self) -> list[int]:
        """List the messages of a tree that follow one another, of several answers the best, else the first."""
        ids, answers = {id for id, _, _ in self.nodes}, dict[str, list[int]]()
        for index, (_, parent, _) in enumerate(self.nodes):
            answers.setdefault(parent if parent in ids else "", []).append(index)
        branch, parent = list[int](), ""
        while following := [index for index in answers.pop(parent, ()) if index not in branch]:
            branch.append(min(following, key=lambda index: self.nodes[index][2]))
            parent = self.nodes[branch[-1]][0]
        return branch

    def build_rows(self) -> Iterator[tuple[int, Any]]:
        """Yield the row with the messages, and after it, of a tree, how many are not among them."""
        yield self.number, self.build_row()
        if num_others := len(self.nodes) - len(self.list_branch()):
            yield self.number, GenloomError("collect.other_answers", count=num_others)

    def build_row(self) -> dict[str, Any]:
        messages = [self.messages[index] for index in self.list_branch()] if self.nodes else self.messages
        row = {**self.first, "messages": messages}
        if self.problem is None:
            return row
        repaired = table_files.RepairedRow(row)
        repaired.problem = self.problem
        return repaired


def group_turns(rows: Iterable[tuple[int, Any]], columns: TurnColumns) -> Iterator[tuple[int, Any]]:
    """Yield a row with `messages` for the rows of each conversation, and what is no row as it is.

    The rows of several conversations may alternate, as in the log of a chat server: a conversation ends where none of
    the next `MAX_OPEN_ROWS` rows goes on with it. A row that comes later is an error in its place.
    """
    open_conversations: dict[str, _Conversation] = {}  # the one that got a row last is the last
    ended: set[int] = set()
    num_rows = 0
    for row_number, row in rows:
        if not isinstance(row, dict):
            yield row_number, row
            continue
        key = str(row.get(columns.id))
        if hash(key) in ended:
            yield row_number, GenloomError("collect.late_turn", id=columns.id, value=key[:80])
            continue
        conversation = open_conversations.pop(key, None) or _Conversation(row_number, row)
        conversation.add(row, columns)
        open_conversations[key] = conversation
        num_rows += 1
        while num_rows > MAX_OPEN_ROWS and len(open_conversations) > 1:
            oldest = next(iter(open_conversations))
            ended_conversation = open_conversations.pop(oldest)
            ended.add(hash(oldest))
            num_rows -= len(ended_conversation.messages)
            yield from ended_conversation.build_rows()
    for conversation in sorted(open_conversations.values(), key=lambda each: each.number):
        yield from conversation.build_rows()


def _find_name(spelling: Mapping[str, str], names: Sequence[str]) -> str:
    return next((spelling[name] for name in names if name in spelling), "")
