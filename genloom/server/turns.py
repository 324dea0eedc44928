"""Turns of conversations, and their rows in the database of the server."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Turn:
    """A question or an answer; `parent` is the turn before it, "" for the first."""

    id: str
    conversation: str
    parent: str
    role: str
    content: str
    created: str
    model: str = ""
    output: str = ""
    job: str = ""
    attachments: Sequence[str] = field(default_factory=tuple)
    context: Mapping[str, Any] = field(default_factory=dict)  # what an answer was given from, and what supports it


def insert_turn(connection: Any, turn: Turn) -> None:
    """Add a turn, and its words to those that are searched."""
    values = {
        **vars(turn),
        "attachments": json.dumps(list(turn.attachments)),
        "context": json.dumps(dict(turn.context)),
        "parent": turn.parent or None,
    }
    names = tuple(values)
    cursor = connection.execute(
        f"INSERT INTO turns ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})", values
    )
    connection.execute("INSERT INTO turn_words (rowid, content) VALUES (?, ?)", (cursor.lastrowid, turn.content))


def parse_turn(row: Any) -> Turn:
    """Return the turn of a row of the table."""
    values: dict[str, Any] = {name: value for name, value in dict(row).items() if name != "number"}
    parsed = {name: json.loads(values[name]) for name in ("attachments", "context")}
    arguments: dict[str, Any] = {**values, **parsed, "parent": values["parent"] or ""}
    return Turn(**arguments)
