"""The index of a folder of documents: one SQLite file with passages, their places, words (FTS5) and vectors.

A change of files is one transaction, so that a process that dies at any moment leaves a complete index. A passage is
stored once, however many files have it, by the digest of its content; so are its words and its vector.

Shape letters: N passages, D width.
"""

import json
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genloom.assistant.knowledge.passages import Passage
from genloom.assistant.knowledge.sentences import list_tokens
from genloom.errors import GenloomError

FILE_NAME = "index.sqlite"
FORMAT = 1  # of the tables; an index of another one is built again from nothing
VECTOR_TYPE = np.float16
_BUSY_SECONDS = 20.0  # that a reader waits for a writer, and the reverse
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE files (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, path TEXT NOT NULL, digest TEXT NOT NULL,
    size INTEGER NOT NULL, changed INTEGER NOT NULL, notes TEXT NOT NULL
);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, heading TEXT NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL
);
CREATE TABLE places (
    file INTEGER NOT NULL, passage INTEGER NOT NULL, number INTEGER NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, page INTEGER NOT NULL, last_page INTEGER NOT NULL, page_noun TEXT NOT NULL,
    line INTEGER NOT NULL, last_line INTEGER NOT NULL, row INTEGER NOT NULL, sheet TEXT NOT NULL,
    PRIMARY KEY (file, number)
) WITHOUT ROWID;
CREATE INDEX places_of_passages ON places (passage);
CREATE VIRTUAL TABLE words USING fts5(heading, text, content='', tokenize='ascii');
CREATE VIRTUAL TABLE word_counts USING fts5vocab('words', 'row');
"""
_SELECT_VECTORS = "SELECT id, vector FROM passages WHERE id IN (SELECT passage FROM places) ORDER BY id"
_TABLES = ("word_counts", "words", "places", "passages", "files", "facts")


@dataclass(frozen=True)
class StoredFile:
    """A file as it was when it was read."""

    name: str
    path: str
    digest: str  # SHA-256
    size: int
    changed: int  # the time of its last change, in nanoseconds
    notes: tuple[str, ...] = ()  # what of it was not read
    id: int = 0


@dataclass(frozen=True)
class Place:
    """Where a passage stands."""

    file: str
    path: str
    digest: str  # of the file
    start: int
    end: int
    page: int = 0
    last_page: int = 0
    page_noun: str = ""
    line: int = 0
    last_line: int = 0
    row: int = 0
    sheet: str = ""

    def __str__(self) -> str:
        """The file and the page, row or lines, as people cite them."""
        if self.page:
            pages = f"{self.page}" if self.page == self.last_page else f"{self.page}–{self.last_page}"
            return f"{self.file}, {self.page_noun}{'s' if self.page != self.last_page else ''} {pages}"
        if self.row:
            return f"{self.file}, {f'sheet {self.sheet}, ' if self.sheet else ''}row {self.row}"
        if self.line:
            is_one = self.line == self.last_line
            return f"{self.file}, line{'' if is_one else 's'} {self.line}{'' if is_one else f'–{self.last_line}'}"
        return self.file


@dataclass(frozen=True)
class StoredPassage:
    """A passage in the index, with all its places."""

    id: str
    heading: str
    text: str
    places: tuple[Place, ...]

    @property
    def place(self) -> Place:
        return self.places[0]


class KnowledgeIndex:
    """An open index. Use `open_index`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection = path, connection
        self._vectors: tuple[tuple[int, int], np.ndarray, np.ndarray] | None = None

    def close(self) -> None:
        self._connection.close()

    # Facts and files

    def read_facts(self) -> dict[str, Any]:
        """Return the facts about the index: its encoder, its sources, when it changed."""
        return {name: json.loads(value) for name, value in self._read("SELECT name, value FROM facts")}

    def write_facts(self, **facts: Any) -> None:
        """Write facts that differ from those that are stored."""
        stored = self.read_facts()
        changed = [(name, json.dumps(value)) for name, value in facts.items() if stored.get(name) != value]
        if changed:
            with self._transaction() as connection:
                connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", changed)

    def list_files(self) -> dict[str, StoredFile]:
        """Return the files by name."""
        rows = self._read("SELECT id, name, path, digest, size, changed, notes FROM files ORDER BY name")
        return {
            name: StoredFile(name, path, digest, size, changed, tuple(json.loads(notes)), id)
            for id, name, path, digest, size, changed, notes in rows
        }

    def count_passages(self) -> int:
        return self._read("SELECT COUNT(DISTINCT passage) FROM places")[0][0]

    def find_known(self, digests: Iterable[str]) -> set[str]:
        """Return which of these passages are stored, with their vectors."""
        chosen = list(dict.fromkeys(digests))
        known: set[str] = set()
        for first in range(0, len(chosen), 500):
            part = chosen[first : first + 500]
            marks = ", ".join("?" * len(part))
            known |= {row[0] for row in self._read(f"SELECT digest FROM passages WHERE digest IN ({marks})", part)}
        return known

    # Changes

    def clear(self) -> None:
        """Remove everything, also tables of another format, and create them."""
        with self._transaction() as connection:
            for table in _TABLES:
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in filter(str.strip, _SCHEMA.split(";\n")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {FORMAT}")

    def add_passages(self, passages: Sequence[Passage], vectors: np.ndarray) -> None:
        """Store passages with their vectors, before the files that have them: no search finds them until then."""
        with self._transaction() as connection:
            for passage, vector in zip(passages, vectors, strict=True):
                self._insert_passage(connection, passage, vector)

    def replace_files(self, read: Sequence[tuple[StoredFile, Sequence[Passage]]], removed: Sequence[str] = ()) -> None:
        """Store files whose passages are stored, in place of what was there, and remove others: all or nothing."""
        with self._transaction() as connection:
            for name in [*removed, *(file.name for file, _ in read)]:
                self._delete_file(connection, name)
            for file, passages in read:
                self._insert_file(connection, file, passages)

    def delete_orphans(self) -> None:
        """Delete the passages that no file has any more, or not yet after a process died."""
        statement = "SELECT id, heading, text FROM passages WHERE id NOT IN (SELECT passage FROM places)"
        orphans = self._read(statement)
        if not orphans:
            return
        with self._transaction() as connection:
            for passage_id, heading, text in orphans:
                connection.execute(
                    "INSERT INTO words (words, rowid, heading, text) VALUES ('delete', ?, ?, ?)",
                    (passage_id, *_render_words(heading, text)),
                )
                connection.execute("DELETE FROM passages WHERE id = ?", (passage_id,))

    def touch_file(self, file: StoredFile) -> None:
        """Note that a file has another time or path, and the same content."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE files SET path = ?, size = ?, changed = ? WHERE name = ?",
                (file.path, file.size, file.changed, file.name),
            )

    def _delete_file(self, connection: sqlite3.Connection, name: str) -> None:
        row = connection.execute("SELECT id FROM files WHERE name = ?", (name,)).fetchone()
        if row is not None:
            connection.execute("DELETE FROM places WHERE file = ?", row)
            connection.execute("DELETE FROM files WHERE id = ?", row)

    def _insert_file(self, connection: sqlite3.Connection, file: StoredFile, passages: Sequence[Passage]) -> None:
        cursor = connection.execute(
            "INSERT INTO files (name, path, digest, size, changed, notes) VALUES (?, ?, ?, ?, ?, ?)",
            (file.name, file.path, file.digest, file.size, file.changed, json.dumps(file.notes)),
        )
        for number, passage in enumerate(passages):
            row = connection.execute("SELECT id FROM passages WHERE digest = ?", (passage.digest,)).fetchone()
            connection.execute(
                "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(cursor.lastrowid, row[0], number, passage.start, passage.end),
                    *(passage.page, passage.last_page, passage.page_noun, passage.line, passage.last_line),
                    *(passage.row, passage.sheet),
                ),
            )

    def _insert_passage(self, connection: sqlite3.Connection, passage: Passage, vector: np.ndarray) -> None:
        data = vector.astype(VECTOR_TYPE).tobytes()
        cursor = connection.execute(
            "INSERT INTO passages (digest, heading, text, vector) VALUES (?, ?, ?, ?)",
            (passage.digest, passage.heading, passage.text, data),
        )
        assert cursor.lastrowid is not None, "a row was inserted"
        connection.execute(
            "INSERT INTO words (rowid, heading, text) VALUES (?, ?, ?)",
            (cursor.lastrowid, *_render_words(passage.heading, passage.text)),
        )

    # Searches

    def count_matches(self, tokens: Iterable[str]) -> dict[str, int]:
        """Return in how many passages each word occurs; those without any are left out."""
        found = {}
        for token in tokens:
            if rows := self._read("SELECT doc FROM word_counts WHERE term = ?", (token,)):
                found[token] = rows[0][0]
        return found

    def rank_by_words(self, tokens: Sequence[str], limit: int, heading_weight: float) -> list[tuple[int, float]]:
        """Return the passages with the highest BM25 of these words, best first."""
        if not tokens:
            return []
        query = " OR ".join(f'"{token}"' for token in tokens)
        rows = self._read(
            "SELECT rowid, bm25(words, ?, 1.0) FROM words WHERE words MATCH ? ORDER BY 2 LIMIT ?",
            (heading_weight, query, limit),
        )
        return [(id, -score) for id, score in rows]

    def load_vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of all passages (N, int64) and their vectors (N D, float32); kept until the index changes."""
        state = (self._read("PRAGMA data_version")[0][0], self._connection.total_changes)
        if self._vectors is None or self._vectors[0] != state:
            rows = self._read(_SELECT_VECTORS)
            ids_N = np.array([row[0] for row in rows], np.int64)
            stored = np.frombuffer(b"".join(row[1] for row in rows), VECTOR_TYPE)
            vectors_ND = stored.reshape(len(rows), -1).astype(np.float32) if rows else np.zeros((0, 1), np.float32)
            self._vectors = state, ids_N, vectors_ND
        return self._vectors[1:]

    def get_passages(self, ids: Sequence[int]) -> list[StoredPassage]:
        """Return passages by their row ids, in the order given."""
        return [self._get_passage(id) for id in ids]

    def select_placed(self, ids: Sequence[int]) -> set[int]:
        """Return which of these passages a file has."""
        marks = ", ".join("?" * len(ids))
        return {row[0] for row in self._read(f"SELECT passage FROM places WHERE passage IN ({marks})", ids)}

    def _get_passage(self, id: int) -> StoredPassage:
        ((digest, heading, text),) = self._read("SELECT digest, heading, text FROM passages WHERE id = ?", (id,))
        rows = self._read(
            "SELECT files.name, files.path, files.digest, first, last, page, last_page, page_noun, line, last_line, "
            "row, sheet FROM places JOIN files ON files.id = places.file WHERE passage = ? ORDER BY files.name, number",
            (id,),
        )
        return StoredPassage(digest, heading, text, tuple(Place(*row) for row in rows))

    def check(self) -> None:
        """Raise GenloomError (knowledge.damaged) if the file is not as it was written."""
        rows = self._read("PRAGMA quick_check(1)")
        if rows[0][0] != "ok":
            raise GenloomError("knowledge.damaged", path=self.path, reason=rows[0][0], name=self.path.parent.name)

    def _read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with _translate_errors(self.path):
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """Run the statements of the block as one change, which is on the disk at its end, or none."""
        with _translate_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def open_index(folder: Path, is_new: bool = False) -> KnowledgeIndex:
    """Open the index in a folder of the workspace; create it with `is_new` if it is not there.

    Raises
    ------
    GenloomError
        knowledge.damaged: it is no index, or not as it was written.
    """
    path = folder / FILE_NAME
    if is_new:
        folder.mkdir(parents=True, exist_ok=True)
    with _translate_errors(path):
        mode = "rwc" if is_new else "rw"
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            index = KnowledgeIndex(path, connection)
            if connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                index.clear()
        except BaseException:
            connection.close()
            raise
    return index


@contextmanager
def _translate_errors(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise GenloomError("knowledge.busy", name=path.parent.name) from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            raise GenloomError("knowledge.not_writable", path=path, reason=str(error)) from error
        if "no such module" in str(error):
            raise GenloomError("knowledge.library_missing") from error
        raise GenloomError("knowledge.damaged", path=path, reason=str(error), name=path.parent.name) from error
    except sqlite3.DatabaseError as error:
        raise GenloomError("knowledge.damaged", path=path, reason=str(error), name=path.parent.name) from error


def _render_words(heading: str, text: str) -> tuple[str, str]:
    """Return what the words of a passage are found by: a function of its texts, as the deletion needs it again."""
    return " ".join(list_tokens(heading)), " ".join(list_tokens(text))
