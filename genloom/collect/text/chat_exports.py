"""Conversations in the exports of chat programs: a tree each, since an edited question or a repeated answer branches.

    ChatGPT       {"mapping": {id: {"message": …, "parent": id}}, "current_node": id}, in conversations.json of a .zip
    Open WebUI    {"chat": {"history": {"messages": {id: {"role": …, "content": …, "parentId": id}}, "currentId": id}}}

Only the branch that was open last is read; how many others there are is counted.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError

ARCHIVE_SUFFIX = ".zip"
_MEMBER = re.compile(r"(.*/)?conversations(-\d+)?\.json")
_WITHOUT_TEXT = frozenset(  # of ChatGPT: what the model thought, and what it was told of the person
    ("thoughts", "reasoning_recap", "user_editable_context", "model_editable_context")
)
_THOUGHTS = re.compile(r"<details type=\"reasoning\".*?</details>", re.DOTALL)  # of Open WebUI


@dataclass(frozen=True)
class _Tree:
    nodes: Mapping[str, Mapping[str, Any]]
    parent_name: str  # of the field
    current: str

    def list_branch(self) -> list[Mapping[str, Any]]:
        """List the nodes from the first to the current one."""
        branch, node, seen = [], self.current, set[str]()
        while isinstance(node, str) and node in self.nodes and node not in seen:
            seen.add(node)
            branch.append(self.nodes[node])
            node = self.nodes[node].get(self.parent_name)
        return branch[::-1]

    def count_other_branches(self) -> int:
        parents = {node.get(self.parent_name) for node in self.nodes.values()}
        return sum(id not in parents and id != self.current for id in self.nodes)


def find_column(record: Mapping[str, Any]) -> str:
    """Return the field that holds the conversation of an export; "" for any other record."""
    return next((name for name in ("mapping", "chat") if isinstance(record.get(name), dict) and _find_tree(record)), "")


def count_other_branches(record: Mapping[str, Any]) -> int:
    """Return how many branches of a conversation are not read; 0 for other records."""
    tree = _find_tree(record)
    return tree.count_other_branches() if tree else 0


def list_entries(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the messages of an export as objects with `role` and `content`; those of one role in a row are joined."""
    tree = _find_tree(record)
    assert tree is not None, "it is an export"
    is_chatgpt = tree.parent_name == "parent"
    nodes = tree.list_branch()
    entries = [entry for node in nodes if (entry := _read_message(node) if is_chatgpt else _read_node(node))]
    system = "" if is_chatgpt else _get_table(record["chat"], "params").get("system")
    joined = [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []
    for entry in entries:
        last = joined[-1] if joined else {"role": None, "content": None}
        if last["role"] == entry["role"] and isinstance(last["content"], str) and isinstance(entry["content"], str):
            last["content"] += f"\n\n{entry['content']}"
        else:
            joined.append(entry)
    return joined


def list_nodes(record: Mapping[str, Any]) -> tuple[list[tuple[str, str, str, str]], str] | None:
    """Return all messages of an export, of every branch, as id, parent, role and text, and the id of the current one.

    A message without text has "", so that the tree stays whole. None for a record that is no export.
    """
    tree = _find_tree(record)
    if tree is None:
        return None
    read = _read_message if tree.parent_name == "parent" else _read_node
    rows = []
    for id, node in tree.nodes.items():
        entry = read(node) or {"role": "", "content": ""}
        content = entry["content"] if isinstance(entry["content"], str) else ""
        rows.append((id, str(node.get(tree.parent_name) or ""), str(entry["role"]), content))
    return rows, tree.current


def find_members(path: Path) -> list[str]:
    """List the files of conversations in an archive; none if it is no export."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(name for name in archive.namelist() if _MEMBER.fullmatch(name))
    except (OSError, zipfile.BadZipFile):
        return []


def iter_blocks(path: Path, member: str, max_bytes: int) -> Iterator[str]:
    """Yield the text of a file of conversations in an archive."""
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(member).file_size > max_bytes:
            raise GenloomError("collect.json_too_large", limit=max_bytes >> 20)
        yield archive.read(member).decode("utf-8-sig", "replace")


def _find_tree(record: Mapping[str, Any]) -> _Tree | None:
    if history := _get_table(_get_table(record, "chat"), "history"):
        nodes, parent_name, current = history.get("messages"), "parentId", history.get("currentId")
    else:
        nodes, parent_name, current = record.get("mapping"), "parent", record.get("current_node")
    if not isinstance(nodes, dict) or not nodes or not all(isinstance(node, dict) for node in nodes.values()):
        return None
    if not all(isinstance(node.get(parent_name, 0), str | None) for node in nodes.values()):
        return None
    return _Tree(nodes, parent_name, current if isinstance(current, str) and current in nodes else list(nodes)[-1])


def _get_table(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object under a name; an empty one in place of anything else."""
    return value if isinstance(value := record.get(name), dict) else {}


def _read_message(node: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the message of a node of ChatGPT; None if it has none that a person saw."""
    if not (message := _get_table(node, "message")):
        return None
    content, author = _get_table(message, "content"), _get_table(message, "author")
    is_hidden = _get_table(message, "metadata").get("is_visually_hidden_from_conversation")
    if is_hidden or str(content.get("content_type")) in _WITHOUT_TEXT:
        return None
    role = author.get("role") if message.get("recipient", "all") == "all" else "tool call"
    parts = content.get("parts")
    if not isinstance(parts, list):  # a program, or what it printed
        return {"role": role, "content": None}
    pieces = [part for part in parts if part != ""]
    if all(isinstance(piece, str) for piece in pieces):
        return {"role": role, "content": "\n\n".join(pieces)} if pieces else None
    return {"role": role, "content": pieces}  # with pictures, which are refused as in other lists of messages


def _read_node(node: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the message of a node of Open WebUI; None if it is empty."""
    content, files = node.get("content"), node.get("files")
    if isinstance(files, list) and any(isinstance(file, dict) and file.get("type") == "image" for file in files):
        return {"role": node.get("role"), "content": files}
    if isinstance(content, str):
        content = _THOUGHTS.sub("", content).strip()
    return {"role": node.get("role"), "content": content} if content else None
