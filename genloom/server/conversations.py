"""Conversations as trees: an edited question or another answer is a sibling, and nothing is overwritten.

The branch that was open last is also a file of `conversations/`, which the command line reads and continues; what it
adds there joins the tree.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.access import LOCAL_USER_ID, User, build_unknown_id_error
from genloom.server.errors import APIError
from genloom.server.library import format_now
from genloom.server.sqlite import Database
from genloom.server.turns import Turn, insert_turn, parse_turn
from genloom.store import recycle_bin
from genloom.store.clock import get_now
from genloom.store.conversation import Conversation as StoredConversation
from genloom.store.conversation import read_conversation
from genloom.store.names import is_timed_id, make_timed_id
from genloom.types import Message

MAX_TITLE_CHARS = 60
_MATCHES_WORDS = """
    (instr(lower(title), lower(?)) > 0 OR id IN (
        SELECT conversation FROM turns WHERE number IN (SELECT rowid FROM turn_words WHERE turn_words MATCH ?)
    ))
"""


class Conversations:
    """The conversations of a workspace."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self._workspace, self._database = workspace, database
        self._folder = workspace.folder / "conversations"

    # Reading

    def get(self, id: str, user: User) -> dict[str, Any]:
        """Return a conversation; 404 for an unknown one or another's."""
        row = self._database.read_one("SELECT * FROM conversations WHERE id = ?", (id,))
        if row is None or not user.owns(row["owner"]):
            raise build_unknown_id_error("conversation", id)
        return self._complete([dict(row)])[0]

    def find(
        self,
        user: User,
        *,
        q: str = "",
        folder: str = "",
        tag: str = "",
        is_starred: bool = False,
        is_removed: bool = False,
        before: str = "",
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """Return conversations, last changed first; `q` is searched in titles and all turns of all branches."""
        self.pull()
        conditions, params = [f"removed IS {'NOT ' if is_removed else ''}NULL"], []
        changed, _, id = before.partition(" ")
        words = re.findall(r"\w+", q)
        for condition, values in (
            ("owner = ?", [] if user.is_local else [user.id]),
            ("folder = ?", [folder] if folder else []),
            ("id IN (SELECT conversation FROM conversation_tags WHERE tag = ?)", [tag] if tag else []),
            ("is_starred = ?", [1] if is_starred else []),
            ("(changed, id) < (?, ?)", [changed, id] if id else []),
            (_MATCHES_WORDS, [q, _match_words(words)] if words else []),
        ):
            if values:
                conditions.append(condition)
                params += values
        rows = self._database.read(
            f"SELECT * FROM conversations WHERE {' AND '.join(conditions)} ORDER BY changed DESC, id DESC LIMIT ?",
            [*params, limit],
        )
        found = self._complete([dict(row) for row in rows])
        for conversation in found:
            conversation["excerpt"] = self._find_excerpt(conversation["id"], words) if words else ""
        return found

    def list_turns(self, id: str) -> list[Turn]:
        """Return all turns of a conversation, in the order they were added."""
        rows = self._database.read("SELECT * FROM turns WHERE conversation = ? ORDER BY number", (id,))
        return [parse_turn(row) for row in rows]

    def get_turn(self, conversation: str, id: str) -> Turn:
        row = self._database.read_one("SELECT * FROM turns WHERE conversation = ? AND id = ?", (conversation, id))
        if row is None:
            raise build_unknown_id_error("turn", id)
        return parse_turn(row)

    def list_branch(self, conversation: str, leaf: str | None) -> list[Turn]:
        """Return the turns from the first to this one."""
        by_id = {turn.id: turn for turn in self.list_turns(conversation)}
        branch = []
        while leaf:
            turn = by_id[leaf]
            branch.append(turn)
            leaf = turn.parent
        return branch[::-1]

    def find_answer(self, job: str) -> Turn | None:
        """Return the answer that a job gave; None before."""
        row = self._database.read_one("SELECT * FROM turns WHERE job = ? AND role = 'assistant'", (job,))
        return None if row is None else parse_turn(row)

    def find_by_outputs(self, outputs: Sequence[str]) -> dict[str, str]:
        """Return the conversation of each output that is part of one."""
        rows = self._database.read(
            "SELECT output, conversation FROM turns WHERE output IN (SELECT value FROM json_each(?))",
            (json.dumps(list(outputs)),),
        )
        return {row["output"]: row["conversation"] for row in rows}

    def list_outputs(self) -> list[str]:
        """Return all outputs that are part of a conversation."""
        return [row["output"] for row in self._database.read("SELECT output FROM turns WHERE output != ''")]

    def list_names(self, user: User) -> tuple[dict[str, int], dict[str, int]]:
        """Return the folders and the tags of a user's conversations, each with their number."""
        owner = "" if user.is_local else user.id
        folders = self._database.read(
            "SELECT folder AS name, COUNT(*) AS count FROM conversations"
            " WHERE folder != '' AND removed IS NULL AND (? = '' OR owner = ?) GROUP BY folder ORDER BY folder",
            (owner, owner),
        )
        tags = self._database.read(
            "SELECT tag AS name, COUNT(*) AS count FROM conversation_tags JOIN conversations ON id = conversation"
            " WHERE removed IS NULL AND (? = '' OR owner = ?) GROUP BY tag ORDER BY tag",
            (owner, owner),
        )
        return {row["name"]: row["count"] for row in folders}, {row["name"]: row["count"] for row in tags}

    # Changing

    def create(self, user: User, *, title: str = "", model: str = "", system: str = "", **more: Any) -> str:
        """Create a conversation without turns, and return its id."""
        moment, offset = get_now(), 0
        with self._database.transaction() as connection:
            while True:
                id = make_timed_id(moment, offset)
                row = connection.execute("SELECT 1 FROM conversations WHERE id = ?", (id,)).fetchone()
                if row is None and not (self._folder / f"{id}.json").exists():
                    break
                offset += 1
            now = moment.isoformat(timespec="microseconds")
            values = (id, user.id, title, model, system, now, now, more.get("folder", ""), more.get("knowledge", ""))
            connection.execute(
                "INSERT INTO conversations (id, owner, title, model, system, created, changed, folder, knowledge,"
                " params) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, json.dumps(more.get("params") or {})),
            )
        return id

    def change(self, id: str, changes: Mapping[str, Any]) -> None:
        """Set title, model, system, folder, is_starred, leaf, knowledge, params or tags."""
        names = ("title", "model", "system", "folder", "is_starred", "leaf", "knowledge")
        columns = {name: changes[name] for name in names if changes.get(name) is not None}
        if changes.get("params") is not None:
            columns["params"] = json.dumps(changes["params"])
        if columns.get("leaf"):
            self.get_turn(id, columns["leaf"])
        with self._database.transaction() as connection:
            for name, value in columns.items():
                connection.execute(f"UPDATE conversations SET {name} = ? WHERE id = ?", (value, id))
            if (tags := changes.get("tags")) is not None:
                connection.execute("DELETE FROM conversation_tags WHERE conversation = ?", (id,))
                rows = [(id, tag.strip()) for tag in dict.fromkeys(tags) if tag.strip()]
                connection.executemany("INSERT OR IGNORE INTO conversation_tags VALUES (?, ?)", rows)
        self.push(id)

    def add_turn(self, conversation: str, parent: str, role: str, content: str, **more: Any) -> Turn:
        """Add a turn after another one, and show the branch that ends with it. A job answers once."""
        turn = Turn(secrets.token_hex(8), conversation, parent, role, content, format_now(), **more)
        if parent and self.get_turn(conversation, parent).role == role:
            raise APIError("studio.roles_alternate", param="parent", role=role)
        if not parent and role != "user":
            raise APIError("studio.roles_alternate", param="parent", role=role)
        with self._database.transaction() as connection:
            insert_turn(connection, turn)
            connection.execute(
                "UPDATE conversations SET changed = ?, leaf = ?, model = CASE WHEN ? != '' THEN ? ELSE model END"
                " WHERE id = ?",
                (turn.created, turn.id, turn.model, turn.model, conversation),
            )
        self.push(conversation)
        return turn

    def set_removed(self, id: str, removed: str | None) -> None:
        self._database.write("UPDATE conversations SET removed = ? WHERE id = ?", (removed, id))

    def remove(self, id: str) -> None:
        """Move a conversation to the bin, with its file."""
        self.push(id)
        if (self._folder / f"{id}.json").exists():
            self._workspace.remove("conversations", id)
        self.set_removed(id, format_now())

    def restore(self, id: str) -> None:
        entry = next((e for e in reversed(self._workspace.bin) if e.kind == "conversations" and e.name == id), None)
        if entry is not None:
            self._workspace.restore(entry.id)
        self._database.write("UPDATE conversations SET removed = NULL WHERE id = ?", (id,))

    def purge(self) -> None:
        """Delete the conversations in the bin for good."""
        with self._database.transaction() as connection:
            ids = [row["id"] for row in connection.execute("SELECT id FROM conversations WHERE removed IS NOT NULL")]
            for id in ids:
                connection.execute(
                    "DELETE FROM turn_words WHERE rowid IN (SELECT number FROM turns WHERE conversation = ?)", (id,)
                )
                for statement in (
                    "DELETE FROM turns WHERE conversation = ?",
                    "DELETE FROM conversation_tags WHERE conversation = ?",
                    "DELETE FROM conversations WHERE id = ?",
                ):
                    connection.execute(statement, (id,))

    def add_tree(
        self, user: User, title: str, turns: Sequence[tuple[str, str, str, str]], current: str, **more: Any
    ) -> str:
        """Add an imported conversation: turns as id, parent, role and content, parents first."""
        id = self.create(user, title=title[:MAX_TITLE_CHARS], **more)
        ids = {old: secrets.token_hex(8) for old, _, _, _ in turns}
        with self._database.transaction() as connection:
            for old, parent, role, content in turns:
                insert_turn(connection, Turn(ids[old], id, ids.get(parent, ""), role, content, format_now()))
            leaf = ids.get(current) or next(reversed(ids.values()), None)
            connection.execute("UPDATE conversations SET leaf = ? WHERE id = ?", (leaf, id))
        self.push(id)
        return id

    # The files of the command line

    def push(self, id: str) -> None:
        """Write the open branch of a conversation to its file; turns that the command line wrote there are kept."""
        self._keep_turns_of_file(id)
        row = self._database.read_one("SELECT * FROM conversations WHERE id = ?", (id,))
        branch = self.list_branch(id, row["leaf"]) if row is not None and row["removed"] is None else []
        if row is None or not branch:
            return
        stored = StoredConversation(
            row["system"],
            tuple(Message(turn.role, turn.content) for turn in branch),
            tuple(turn.output for turn in branch),
            row["title"],
            row["model"],
            id,
            row["created"],
        )
        self._workspace.store.save_conversation(stored)
        self._database.write("UPDATE conversations SET file_time = ? WHERE id = ?", (self._read_time(id), id))

    def _keep_turns_of_file(self, id: str) -> None:
        """Add what another program wrote to the file of a conversation since it was read; the leaf stays."""
        row = self._database.read_one("SELECT * FROM conversations WHERE id = ?", (id,))
        has_file = (self._folder / f"{id}.json").is_file()
        if row and row["removed"] is None and row["file_time"] and has_file and self._read_time(id) != row["file_time"]:
            self._merge(id, self._read_time(id))
            kept = ("leaf", "title", "model", "system", "changed")
            sets = ", ".join(f"{name} = :{name}" for name in kept)
            self._database.write(f"UPDATE conversations SET {sets} WHERE id = :id", dict(row))

    def pull(self) -> None:
        """Read what the command line added or removed."""
        known = {row["id"]: row for row in self._database.read("SELECT id, file_time, removed FROM conversations")}
        times = {path.stem: path.stat().st_mtime_ns for path in self._folder.glob("*.json") if is_timed_id(path.stem)}
        for id, time in times.items():
            if id not in known or known[id]["file_time"] != time or known[id]["removed"] is not None:
                self._merge(id, time)
        gone = [id for id, row in known.items() if row["file_time"] and row["removed"] is None and id not in times]
        if gone:
            entries = {e.name: e for e in recycle_bin.list_entries(self._workspace.folder) if e.kind == "conversations"}
            for id in gone:
                self.set_removed(id, entries[id].removed if id in entries else format_now())

    def _merge(self, id: str, time: int) -> None:
        """Add the turns of a file that are not in the tree yet; its last turn becomes the leaf."""
        try:
            stored = read_conversation(self._folder / f"{id}.json")
        except (OSError, GenloomError):
            return  # damaged, which `genloom doctor` reports
        existing = {(turn.parent, turn.role, turn.content, turn.output): turn.id for turn in self.list_turns(id)}
        parent = ""
        with self._database.transaction() as connection:
            values = (id, LOCAL_USER_ID, stored.title, stored.model, stored.system, stored.created, stored.changed)
            connection.execute(
                "INSERT OR IGNORE INTO conversations (id, owner, title, model, system, created, changed, folder,"
                " params) VALUES (?, ?, ?, ?, ?, ?, ?, '', '{}')",
                values,
            )
            for message, output in zip(stored.messages, stored.outputs, strict=True):
                key = (parent, message.role, message.content, output)
                if key not in existing:
                    model = stored.model if output else ""
                    turn = Turn(secrets.token_hex(8), id, *key[:3], stored.changed, model, output)
                    insert_turn(connection, turn)
                    existing[key] = turn.id
                parent = existing[key]
            connection.execute(
                "UPDATE conversations SET leaf = ?, title = ?, model = ?, system = ?, changed = ?, file_time = ?,"
                " removed = NULL WHERE id = ?",
                (parent or None, stored.title, stored.model, stored.system, stored.changed, time, id),
            )

    def _read_time(self, id: str) -> int:
        return (self._folder / f"{id}.json").stat().st_mtime_ns

    def _complete(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add tags, the number of turns and a title to conversations."""
        ids = [row["id"] for row in rows]
        holes = ", ".join("?" for _ in ids)
        tags: dict[str, list[str]] = {}
        for row in self._database.read(f"SELECT * FROM conversation_tags WHERE conversation IN ({holes})", ids):
            tags.setdefault(row["conversation"], []).append(row["tag"])
        facts = self._database.read(
            "SELECT conversation, COUNT(*) AS count, MIN(number) AS first FROM turns"
            f" WHERE conversation IN ({holes}) GROUP BY conversation",
            ids,
        )
        first = {row["conversation"]: row["first"] for row in facts}
        counts = {row["conversation"]: row["count"] for row in facts}
        holes = ", ".join("?" for _ in first)
        first_questions = {
            row["conversation"]: row["beginning"]
            for row in self._database.read(
                f"SELECT conversation, substr(content, 1, 200) AS beginning FROM turns WHERE number IN ({holes})",
                list(first.values()),
            )
        }
        for row in rows:
            question = " ".join(first_questions.get(row["id"], "").split())
            shown = question if len(question) <= MAX_TITLE_CHARS else question[: MAX_TITLE_CHARS - 1] + "…"
            row |= {
                "tags": sorted(tags.get(row["id"], ())),
                "turns": counts.get(row["id"], 0),
                "title": row["title"] or shown,
                "is_starred": bool(row["is_starred"]),
                "params": json.loads(row["params"]),
            }
        return rows

    def _find_excerpt(self, id: str, words: Sequence[str]) -> str:
        """Return where a search found the words in a conversation; "" if only its title has them."""
        query = _match_words(words)
        row = self._database.read_one(
            "SELECT snippet(turn_words, 0, '', '', '…', 12) AS excerpt FROM turn_words WHERE turn_words MATCH ?"
            " AND rowid IN (SELECT number FROM turns WHERE conversation = ?) LIMIT 1",
            (query, id),
        )
        return row["excerpt"] if row is not None else ""


def _match_words(words: Sequence[str]) -> str:
    """Return the query for all words, each of which may be the beginning of one."""
    return " ".join(f'"{word}"*' for word in words[:20])
