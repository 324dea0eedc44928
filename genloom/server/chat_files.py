"""Files of conversations: exports of other programs are read with all branches, and ours are written."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.collect.text import chat_exports
from genloom.server.conversations import MAX_TITLE_CHARS
from genloom.server.errors import APIError
from genloom.server.turns import Turn

MAX_JSON_BYTES = 512 << 20
FORMAT = "genloom conversation 1"


@dataclass(frozen=True)
class ImportedTree:
    """A conversation: its turns as id, parent, role and content, parents first."""

    title: str
    system: str
    turns: Sequence[tuple[str, str, str, str]]
    current: str


def read_export(path: Path) -> tuple[list[ImportedTree], Mapping[str, int]]:
    """Return the conversations of an export, and how many others could not be read, by reason."""
    trees, skipped = [], Counter[str]()
    for record in iter_records(path):
        tree = read_tree(record) if isinstance(record, Mapping) else None
        if tree is None:
            skipped["not a conversation"] += 1
        elif not tree.turns:
            skipped["no text"] += 1
        else:
            trees.append(tree)
    if not trees:
        raise APIError("studio.no_conversations", param="file")
    return trees, skipped


def iter_records(path: Path) -> Iterator[Any]:
    """Yield what may be conversations, of a JSON file or an archive of them."""
    members = chat_exports.find_members(path)
    if members:
        for member in members:
            yield from parse("".join(chat_exports.iter_blocks(path, member, MAX_JSON_BYTES)))
        return
    if path.stat().st_size > MAX_JSON_BYTES:
        raise APIError("studio.export_too_large", status=413, limit=MAX_JSON_BYTES)
    yield from parse(path.read_bytes().decode("utf-8-sig", "replace"))


def parse(text: str) -> list[Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise APIError("studio.no_conversations", param="file") from None
    return content if isinstance(content, list) else [content]


def read_tree(record: Mapping[str, Any]) -> ImportedTree | None:
    """Return a conversation with all its branches; None for another kind of record."""
    if record.get("format") == FORMAT and isinstance(record.get("turns"), list):
        turns = [turn for turn in record["turns"] if isinstance(turn, Mapping)]
        rows = [
            (
                str(turn.get("id") or ""),
                str(turn.get("parent") or ""),
                str(turn.get("role") or ""),
                str(turn.get("content") or ""),
            )
            for turn in turns
        ]
        tree = arrange_turns(rows, str(record.get("current") or ""))
        return ImportedTree(clean_title(record.get("title")), str(record.get("system") or ""), *tree)
    nodes = chat_exports.list_nodes(record)
    if nodes is None:
        return None
    rows, current = nodes
    title = record.get("title")
    if title is None and isinstance(record.get("chat"), Mapping):
        title = record["chat"].get("title")
    return ImportedTree(clean_title(title), "", *arrange_turns(rows, current))


def arrange_turns(
    rows: Sequence[tuple[str, str, str, str]], current: str
) -> tuple[list[tuple[str, str, str, str]], str]:
    """Return turns parents first, in which questions and answers alternate, and the last turn of the open branch.

    Turns without text are left out, and one after another of the same role continues it.
    """
    by_id = {id: (parent, role, content) for id, parent, role, content in rows}
    children: dict[str, list[str]] = {}
    for id, (parent, _, _) in by_id.items():
        children.setdefault(parent if parent in by_id and parent != id else "", []).append(id)
    turns: dict[str, list[str]] = {}
    place: dict[str, str] = {"": ""}  # of every node: the turn that holds its text, or that of the nearest above
    waiting = [(id, "") for id in reversed(children.get("", []))]
    while waiting:
        id, above = waiting.pop()
        if id in place:
            continue
        _, role, content = by_id[id]
        is_question_first = above == "" and role != "user"
        if role not in ("user", "assistant") or not content.strip() or is_question_first:
            place[id] = above
        elif above and turns[above][1] == role:
            only_child = len(children.get(id, [])) <= 1
            turns[above][2] += f"\n\n{content}" if only_child else ""
            place[id] = above
        else:
            turns[id] = [above, role, content]
            place[id] = id
        waiting += [(child, place[id]) for child in reversed(children.get(id, []))]
    ordered = [(id, parent, role, content) for id, (parent, role, content) in turns.items()]
    return ordered, place.get(current, "")


def clean_title(title: Any) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in str(title or "")).split())
    return text if len(text) <= MAX_TITLE_CHARS else text[: MAX_TITLE_CHARS - 1] + "…"


def write_json(conversation: Mapping[str, Any], turns: Sequence[Turn]) -> str:
    """Return a conversation with all branches."""
    names = ("id", "parent", "role", "content", "created", "model", "output")
    content = {
        "format": FORMAT,
        "title": conversation["title"],
        "system": conversation["system"],
        "created": conversation["created"],
        "current": conversation["leaf"],
        "turns": [{name: getattr(turn, name) or None for name in names} for turn in turns],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write_markdown(conversation: Mapping[str, Any], branch: Sequence[Turn]) -> str:
    """Return the branch that is shown, to be read."""
    parts = [f"# {conversation['title']}"]
    if conversation["system"]:
        parts.append(f"> {conversation['system']}".replace("\n", "\n> "))
    for turn in branch:
        heading = "You" if turn.role == "user" else turn.model or "Answer"
        parts.append(f"## {heading}\n\n{turn.content}")
    return "\n\n".join(parts) + "\n"
