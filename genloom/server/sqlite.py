"""SQLite files of the server: one connection that threads share, durable commits, schemas that grow by steps."""

import sqlite3
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genloom.server.errors import APIError
from genloom.store.files import translate_errors

_WAIT_SECONDS = 30.0  # for another process to finish writing
Params = Sequence[Any] | Mapping[str, Any]


class Database:
    """A SQLite file. What a transaction wrote is on the disk when it ends, whatever is killed afterwards.

    `steps` are scripts of SQL: a file that has the first N of them gets the others when it is opened. A derived file
    can be built again from others: a damaged one, or one of other steps, is replaced by an empty one.
    """

    def __init__(self, path: Path, steps: Sequence[str], *, is_derived: bool = False) -> None:
        self.path, self._steps, self._is_derived = path, steps, is_derived
        self._lock = threading.RLock()
        with translate_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            if not is_derived:
                raise APIError("studio.database_damaged", status=500, path=path, reason=error) from error
            for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                file.unlink(missing_ok=True)
            self._connection = self._open()

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Yield the connection in an exclusive transaction, which an error rolls back."""
        with self._lock, self._translate_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def write(self, statement: str, params: Params = ()) -> int:
        """Run one statement in a transaction of its own, and return how many rows it changed."""
        with self.transaction() as connection:
            return connection.execute(statement, params).rowcount

    def read(self, query: str, params: Params = ()) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        with self._lock, self._translate_errors():
            return self._connection.execute(query, params).fetchall()

    def read_one(self, query: str, params: Params = ()) -> sqlite3.Row | None:
        """Return the first row of a query; None if there is none."""
        return next(iter(self.read(query, params)), None)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={'NORMAL' if self._is_derived else 'FULL'}")
            connection.execute("PRAGMA foreign_keys=ON")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(self._steps):
                raise sqlite3.DatabaseError(f"a later Genloom wrote it (version {version})")
            for number, script in enumerate(self._steps[version:], start=version + 1):
                connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _translate_errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # locked, full, read-only …
            raise APIError("studio.database_unavailable", status=503, path=self.path, reason=error) from error
