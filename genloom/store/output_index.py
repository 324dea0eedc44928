"""An index of outputs by the digests of their files: a cache, which reads only records that are new or changed.

A folder of a day whose time of change is that of the index is not looked at again, so that finding a file among a
hundred thousand outputs takes milliseconds.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from genloom.store import manifest
from genloom.store.names import is_timed_id

INDEX_FILE = "outputs.sqlite"  # in the folder `cache` of the workspace
_SETTLED_NS = 2_000_000_000  # a folder that changed less than this ago may change again without another time
_TABLES = """
CREATE TABLE IF NOT EXISTS days (day TEXT PRIMARY KEY, changed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS outputs (
  id TEXT PRIMARY KEY, day TEXT NOT NULL, changed INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_digest ON outputs (sha256);
CREATE INDEX IF NOT EXISTS by_day ON outputs (day);
"""


def find_output(root: Path, digest: str) -> str:
    """Return the id of the newest output in a workspace whose file has this SHA-256; "" if there is none.

    The record is not checked: `Workspace.get_output` does that.
    """
    with open_index(root) as find:
        return find(digest)


@contextmanager
def open_index(root: Path) -> Generator[Callable[[str], str]]:
    """Open the index for many files, whose outputs the function finds as `find_output` does."""
    with _open_database(root) as connection:

        def find(digest: str) -> str:
            _update_index(connection, root / "outputs")
            query = "SELECT id FROM outputs WHERE sha256 = ? ORDER BY id DESC LIMIT 1"
            row = connection.execute(query, (digest,)).fetchone()
            return str(row[0]) if row else ""

        yield find


@contextmanager
def _open_database(root: Path) -> Generator[sqlite3.Connection]:
    """Open the index; one that is damaged is made again, and in a workspace that is read-only it is in memory."""
    path = root / "cache" / INDEX_FILE
    connection = _connect_database(path)
    with closing(connection):
        yield connection


def _connect_database(path: Path) -> sqlite3.Connection:
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=30)
            try:
                connection.executescript(_TABLES)
                connection.execute("SELECT changed, size FROM outputs LIMIT 1")
                connection.execute("DELETE FROM days WHERE day = ''")  # shows whether it can be written
                connection.commit()
            except sqlite3.Error:
                connection.close()
                raise
            return connection
        except sqlite3.OperationalError:
            break  # it cannot be written or is locked for long
        except sqlite3.DatabaseError:
            with suppress(OSError):
                path.unlink()  # damaged
        except OSError:
            break
    connection = sqlite3.connect(":memory:")
    connection.executescript(_TABLES)
    return connection


def _update_index(connection: sqlite3.Connection, folder: Path) -> None:
    """Bring the index to the state of the folder `outputs`."""
    known = dict(connection.execute("SELECT day, changed FROM days"))
    found: dict[str, int] = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        found = {entry.name: entry.stat().st_mtime_ns for entry in entries if entry.is_dir()}
    with connection:
        for day in known.keys() - found.keys():
            connection.execute("DELETE FROM outputs WHERE day = ?", (day,))
            connection.execute("DELETE FROM days WHERE day = ?", (day,))
        for day, changed in found.items():
            if known.get(day) != changed:
                is_settled = time.time_ns() - changed > _SETTLED_NS
                _update_day(connection, folder / day)
                connection.execute("INSERT OR REPLACE INTO days VALUES (?, ?)", (day, changed if is_settled else -1))


def _update_day(connection: sqlite3.Connection, folder: Path) -> None:
    """Read the records of a day that the index does not have as they are, and drop those that are gone."""
    rows = connection.execute("SELECT id, changed, size FROM outputs WHERE day = ?", (folder.name,))
    known = {id: (changed, size) for id, changed, size in rows}
    found: dict[str, tuple[int, int]] = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            id, dot, suffix = entry.name.partition(".")
            if dot and suffix == "json" and is_timed_id(id):
                state = entry.stat()
                found[id] = (state.st_mtime_ns, state.st_size)
    connection.executemany("DELETE FROM outputs WHERE id = ?", [(id,) for id in known.keys() - found.keys()])
    for id, (changed, size) in found.items():
        if known.get(id) != (changed, size):
            digest = _read_digest(folder / f"{id}.json")
            connection.execute(
                "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?)", (id, folder.name, changed, size, digest)
            )


def _read_digest(path: Path) -> str:
    """Return the digest in a record; "" for one that is damaged, which the doctor tells."""
    try:
        return str(manifest.read_json(path).get("sha256", ""))
    except (OSError, ValueError):
        return ""
