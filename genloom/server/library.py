"""People's own arrangements, in studio.sqlite of the workspace: tags, stars, folders, conversations, acts in the arena.

It is as durable as the ledger and belongs into every backup of the workspace; nothing of it can be derived.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from genloom.server.sqlite import Database
from genloom.store.clock import get_now

FILE_NAME = "studio.sqlite"
_STEPS = (
    """
    CREATE TABLE output_marks (
        output TEXT PRIMARY KEY, folder TEXT NOT NULL DEFAULT '', is_starred INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX output_marks_by_folder ON output_marks (folder) WHERE folder != '';
    CREATE TABLE output_tags (output TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (tag, output)) WITHOUT ROWID;
    CREATE INDEX output_tags_by_output ON output_tags (output);

    CREATE TABLE captions (
        digest TEXT NOT NULL, document TEXT NOT NULL, caption TEXT NOT NULL, PRIMARY KEY (digest, document)
    ) WITHOUT ROWID;

    CREATE TABLE conversations (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL, model TEXT NOT NULL, system TEXT NOT NULL,
        created TEXT NOT NULL, changed TEXT NOT NULL, folder TEXT NOT NULL, is_starred INTEGER NOT NULL DEFAULT 0,
        leaf TEXT, params TEXT NOT NULL, removed TEXT, file_time INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX conversations_by_time ON conversations (changed, id);
    CREATE TABLE conversation_tags (
        conversation TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (tag, conversation)
    ) WITHOUT ROWID;
    CREATE TABLE turns (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, conversation TEXT NOT NULL, parent TEXT,
        role TEXT NOT NULL, content TEXT NOT NULL, created TEXT NOT NULL, model TEXT NOT NULL, output TEXT NOT NULL,
        job TEXT NOT NULL, attachments TEXT NOT NULL
    );
    CREATE INDEX turns_by_conversation ON turns (conversation, number);
    CREATE UNIQUE INDEX turns_by_job ON turns (job) WHERE job != '' AND role = 'assistant';
    CREATE INDEX turns_by_output ON turns (output) WHERE output != '';
    CREATE VIRTUAL TABLE turn_words USING fts5 (content, tokenize="unicode61 remove_diacritics 2", prefix='2 3');

    CREATE TABLE arena_acts (
        number INTEGER PRIMARY KEY, owner TEXT NOT NULL, session TEXT NOT NULL, pair TEXT NOT NULL,
        event TEXT NOT NULL
    );
    CREATE INDEX arena_acts_by_session ON arena_acts (session, owner)
    """,
    """
    ALTER TABLE conversations ADD COLUMN knowledge TEXT NOT NULL DEFAULT '';
    ALTER TABLE turns ADD COLUMN context TEXT NOT NULL DEFAULT '{}'
    """,
)


def open_library(workspace: Path) -> Database:
    return Database(workspace / FILE_NAME, _STEPS)


class Marks:
    """Tags, stars and folders of outputs, edited captions, and the acts of raters in the arena."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, outputs: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the tags, the star and the folder of each output that has any."""
        ids = list(outputs)
        marks: dict[str, dict[str, Any]] = {}
        holes = ", ".join("?" for _ in ids)
        for row in self._database.read(f"SELECT * FROM output_marks WHERE output IN ({holes})", ids):
            marks[row["output"]] = {"folder": row["folder"], "is_starred": bool(row["is_starred"]), "tags": []}
        for row in self._database.read(f"SELECT * FROM output_tags WHERE output IN ({holes}) ORDER BY tag", ids):
            default: dict[str, Any] = {"folder": "", "is_starred": False, "tags": []}
            marks.setdefault(row["output"], default)["tags"].append(row["tag"])
        return marks

    def change(
        self,
        output: str,
        *,
        tags: Sequence[str] | None = None,
        is_starred: bool | None = None,
        folder: str | None = None,
    ) -> None:
        """Set what is not None."""
        with self._database.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO output_marks (output) VALUES (?)", (output,))
            for column, value in (("is_starred", is_starred), ("folder", folder)):
                if value is not None:
                    connection.execute(f"UPDATE output_marks SET {column} = ? WHERE output = ?", (value, output))
            if tags is not None:
                connection.execute("DELETE FROM output_tags WHERE output = ?", (output,))
                rows = [(output, tag.strip()) for tag in dict.fromkeys(tags) if tag.strip()]
                connection.executemany("INSERT OR IGNORE INTO output_tags VALUES (?, ?)", rows)

    def find_outputs(self, *, tag: str = "", folder: str = "", is_starred: bool | None = None) -> list[str]:
        """Return the outputs with all of these."""
        parts, params = [], []
        if tag:
            parts.append("SELECT output FROM output_tags WHERE tag = ?")
            params.append(tag)
        if folder:
            parts.append("SELECT output FROM output_marks WHERE folder = ?")
            params.append(folder)
        if is_starred:
            parts.append("SELECT output FROM output_marks WHERE is_starred")
        return [row["output"] for row in self._database.read(" INTERSECT ".join(parts), params)]

    def list_tagged(self) -> list[str]:
        """List the outputs that have a tag, of all users."""
        return [row["output"] for row in self._database.read("SELECT DISTINCT output FROM output_tags")]

    def count_tags(self, outputs: Iterable[str]) -> dict[str, int]:
        """Return how many of these outputs have each tag."""
        rows = self._database.read(
            "SELECT tag, COUNT(*) AS count FROM output_tags WHERE output IN (SELECT value FROM json_each(?))"
            " GROUP BY tag ORDER BY count DESC",
            (json.dumps(list(outputs)),),
        )
        return {row["tag"]: row["count"] for row in rows}

    # Captions that are edited, until a new version of the data set has them

    def set_caption(self, digest: str, document: str, caption: str) -> None:
        self._database.write("INSERT OR REPLACE INTO captions VALUES (?, ?, ?)", (digest, document, caption))

    def get_captions(self, digest: str) -> dict[str, str]:
        """Return the edited captions of a version of a data set, by the id of the document."""
        rows = self._database.read("SELECT document, caption FROM captions WHERE digest = ?", (digest,))
        return {row["document"]: row["caption"] for row in rows}

    def remove_captions(self, digest: str) -> None:
        self._database.write("DELETE FROM captions WHERE digest = ?", (digest,))

    # Acts in the arena, which can be taken back one by one

    def add_act(self, owner: str, session: str, pair: str, event: str) -> None:
        """Record a choice before it is in the ledger under `event`, or with "" a skip."""
        self._database.write(
            "INSERT INTO arena_acts (owner, session, pair, event) VALUES (?, ?, ?, ?)", (owner, session, pair, event)
        )

    def list_acts(self, owner: str, session: str) -> list[tuple[str, str]]:
        """Return the pairs in the order they were decided, each with its event."""
        rows = self._database.read(
            "SELECT pair, event FROM arena_acts WHERE owner = ? AND session = ? ORDER BY number", (owner, session)
        )
        return [(row["pair"], row["event"]) for row in rows]

    def remove_last_act(self, owner: str, session: str) -> None:
        self._database.write(
            "DELETE FROM arena_acts WHERE number ="
            " (SELECT MAX(number) FROM arena_acts WHERE owner = ? AND session = ?)",
            (owner, session),
        )


def format_now() -> str:
    return get_now().isoformat(timespec="microseconds")
