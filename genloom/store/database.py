"""The database of the ledger: a SQLite file in the workspace, or PostgreSQL for a team."""

import hashlib
import json
import os
import sqlite3
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from genloom.errors import GenloomError, format_message
from genloom.option_names import name_options
from genloom.store import files, manifest
from genloom.store.ledger_objects import EventObjects
from genloom.store.mirror import find_mirror

_WAIT_SECONDS = 60  # for another process to finish writing

EVENTS = sql.Table(
    "genloom_events",
    sql.MetaData(),
    sql.Column("seq", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("id", sql.String(64), nullable=False, unique=True),
    sql.Column("at", sql.String(40), nullable=False),
    sql.Column("kind", sql.String(40), nullable=False, index=True),
    sql.Column("body", sql.Text, nullable=False),
    sql.Column("previous", sql.String(64), nullable=False, unique=True),  # so the chain cannot fork
    sql.Column("digest", sql.String(64), nullable=False),
)

# The database itself refuses to change or remove events.
_APPEND_ONLY_SQL = {
    "sqlite": tuple(
        f"CREATE TRIGGER IF NOT EXISTS genloom_no_{act} BEFORE {act} ON genloom_events "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        for act in ("update", "delete")
    ),
    "postgresql": (
        """CREATE OR REPLACE FUNCTION genloom_keep() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$""",
        """CREATE TRIGGER genloom_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON genloom_events
        EXECUTE FUNCTION genloom_keep()""",
    ),
}
_EXCLUSIVE_SQL = {
    "sqlite": (),  # BEGIN IMMEDIATE, below
    "postgresql": ("SET LOCAL synchronous_commit TO on", "LOCK TABLE genloom_events IN EXCLUSIVE MODE"),
}
# PostgreSQL's advisory lock for creating the table: a table that does not exist cannot be locked.
_CREATE_LOCK_ID = 0x67656E6C


@dataclass(frozen=True)
class Database:
    """The database of the events. `location` names it in messages, without a password."""

    engine: sql.Engine
    location: str
    head_file: Path  # beside the table: the number and digest of the newest acknowledged event
    file: Path | None = None  # of SQLite
    objects: EventObjects | None = None  # of a workspace on a storage: the events, of which the database is a copy

    def read(self, query: sql.Select[Any]) -> Sequence[sql.Row[Any]]:
        """Return the rows of a query; none if nothing was ever written. Reading never creates the database."""
        if self.objects is not None:
            self._copy_objects(self.objects)
        with self._translate_errors("read"):
            if self.file is not None and not self.file.exists():
                return []
            with self.engine.connect() as connection:
                return connection.execute(query).all() if sql.inspect(connection).has_table(EVENTS.name) else []

    def verify_file(self) -> None:
        """Check the pages and indexes of a SQLite file, and that it still refuses changes; GenloomError if not."""
        if self.file is None or not self.file.exists():
            return
        with self._translate_errors("read"), self.engine.connect() as connection:
            if not sql.inspect(connection).has_table(EVENTS.name):
                return
            (state,) = connection.exec_driver_sql("PRAGMA integrity_check(1)").one()
            triggers = _list_triggers(connection)
        with sql.create_engine("sqlite://").begin() as connection:
            self._create_table(connection)
            expected = _list_triggers(connection)
        if state != "ok" or triggers != expected:
            reason = " ".join(str(state).split()) if state != "ok" else format_message("store.ledger_triggers_changed")
            raise GenloomError("store.ledger_unavailable", place=self.location, action="read", reason=reason)

    def read_head(self) -> tuple[int, str]:
        """Return the number and digest of the newest event that was acknowledged here; 0 and "" if none is known.

        A file that is removed, or that a power cut left empty, proves nothing. GenloomError for any other content.
        """
        try:
            if self.head_file.stat().st_size == 0:
                return 0, ""
            head = manifest.read_json(self.head_file)
            seq, digest = head["seq"], head["digest"]
            if type(seq) is not int or seq < 1 or not isinstance(digest, str):
                raise ValueError("not the number and digest of an entry")
        except OSError:
            return 0, ""
        except (ValueError, KeyError) as error:
            raise GenloomError("store.ledger_head_damaged", head=self.head_file, place=self.location) from error
        return seq, digest

    def write_head(self, seq: int, digest: str) -> None:
        """Keep the newest event, without waiting for the disk: it is acknowledged also if this fails."""
        with suppress(OSError):
            self.head_file.parent.mkdir(parents=True, exist_ok=True)
            self.head_file.write_text(encode_head(seq, digest))

    @contextmanager
    def open_transaction(self) -> Generator[sql.Connection]:
        """Yield the connection of an exclusive transaction; if the block succeeds, it is on the disk.

        Raise ObjectConflict if another machine has written to the storage meanwhile: begin again.
        """
        with self._translate_errors("written"):
            if self.file is not None:
                with files.translate_errors(self.file):
                    self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
                if not sql.inspect(connection).has_table(EVENTS.name):
                    self._create_table(connection)
                for statement in _EXCLUSIVE_SQL[self.engine.dialect.name]:
                    connection.exec_driver_sql(statement)
                if self.objects is None:
                    yield connection
                    return
                last = _insert_after(connection, self.objects)
                yield connection
                added = connection.execute(sql.select(EVENTS).where(EVENTS.c.seq > last).order_by(EVENTS.c.seq)).all()
                if added:  # the storage first: an event that is not there is lost with this machine
                    self.objects.append([row._asdict() for row in added])

    def _copy_objects(self, objects: EventObjects) -> None:
        """Bring the database to the events in the storage; it is not created for none."""
        rows = next(objects.read_after(self._get_last_seq()), [])
        if rows:
            with self.open_transaction():
                pass

    def _get_last_seq(self) -> int:
        if self.file is not None and not self.file.exists():
            return 0
        with self.engine.connect() as connection:
            return _find_last_seq(connection) if sql.inspect(connection).has_table(EVENTS.name) else 0

    def _create_table(self, connection: sql.Connection) -> None:
        if self.engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CREATE_LOCK_ID})")
            if sql.inspect(connection).has_table(EVENTS.name):
                return
        EVENTS.create(connection)
        for statement in _APPEND_ONLY_SQL[self.engine.dialect.name]:
            connection.exec_driver_sql(statement)

    @contextmanager
    def _translate_errors(self, action: str) -> Generator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            if action == "written" and self.file is not None and files.is_on_read_only_disk(self.file):
                hint = format_message("store.ledger_place_hint")
                raise GenloomError("store.read_only", path=self.file, hint=hint) from error
            reason = _explain_error(error)
            raise GenloomError("store.ledger_unavailable", place=self.location, action=action, reason=reason) from error


def _list_triggers(connection: sql.Connection) -> list[tuple[Any, ...]]:
    query = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    return [tuple(row) for row in connection.exec_driver_sql(query)]


def _insert_after(connection: sql.Connection, objects: EventObjects) -> int:
    """Insert the events of the storage that the database lacks, and return the number of its last one."""
    for rows in objects.read_after(_find_last_seq(connection)):
        connection.execute(sql.insert(EVENTS), rows)
    return _find_last_seq(connection)


def _find_last_seq(connection: sql.Connection) -> int:
    return int(connection.execute(sql.select(sql.func.max(EVENTS.c.seq))).scalar() or 0)


def encode_head(seq: int, digest: str) -> str:
    """Return the content of the file that keeps the newest event."""
    return json.dumps({"seq": seq, "digest": digest}) + "\n"


def open_database(root: Path, url: str = "") -> Database:
    """Open the database at `url`, at GENLOOM_LEDGER, or `ledger.sqlite` in the workspace `root`, in this order.

    Raise ValueError for a URL that is neither SQLite nor PostgreSQL.
    """
    ledger_url = url or os.environ.get("GENLOOM_LEDGER", "")
    if not ledger_url:
        database = _open_sqlite(root / "ledger.sqlite")
        own_mirror = find_mirror(root)
        return database if own_mirror is None else replace(database, objects=EventObjects(own_mirror.storage))
    try:
        parsed = sql.make_url(ledger_url)
    except ArgumentError:
        raise GenloomError("store.bad_ledger_url", hint=format_message("store.ledger_hint")) from None
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return _open_sqlite(Path(str(parsed.database)).absolute())
    if kind not in ("postgresql", "postgres"):
        public_url, hint = parsed.render_as_string(hide_password=True), format_message("store.ledger_hint")
        raise GenloomError("store.ledger_url_unsupported", url=public_url, hint=hint)
    try:
        address = parsed.set(drivername="postgresql+psycopg")
        # READ COMMITTED, so that reads after taking the lock see everything committed before.
        engine = sql.create_engine(address, isolation_level="READ COMMITTED", pool_pre_ping=True)
    except ModuleNotFoundError:
        raise GenloomError("store.ledger_without_psycopg") from None
    location = parsed.render_as_string(hide_password=True)
    head_name = f"ledger-{hashlib.sha256(location.encode()).hexdigest()[:12]}.head.json"
    database = Database(engine, location, root / head_name)
    weakref.finalize(database, engine.dispose)  # closes its connections when the ledger is no longer used
    return database


def _open_sqlite(file: Path) -> Database:
    address = sql.URL.create("sqlite", database=str(file))
    # A connection per operation, so that no open connection survives a fork; opening one is cheap.
    engine = sql.create_engine(address, poolclass=sql.NullPool, connect_args={"timeout": _WAIT_SECONDS})

    @event.listens_for(engine, "connect")
    def configure_connection(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # Python's own BEGIN would come too late, see `begin_transaction`
        # Not WAL: docs/decisions/0005-ledger.md. EXTRA also syncs the folder after the journal is removed; without it,
        # a power cut can undo a commit.
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA synchronous=EXTRA")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: sql.Connection) -> None:
        # Take the lock at once: SQLite may refuse a reader that becomes a writer, without waiting.
        is_writing = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    return Database(engine, str(file), file.with_name(f"{file.name}.head.json"), file)


def _explain_error(error: SQLAlchemyError) -> str:
    """Return the driver's reason in one line, and the cure."""
    reason = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
    cures = {
        "locked": "Another program has locked it; end that one or try again.",
        "disk I/O": "Check its disk, and the largest size of a file (ulimit -f); acknowledged events are safe.",
        "full": "Free some space on its disk; acknowledged events are safe.",
        "readonly": "Change the permissions of the file and its folder, or choose another place with --ledger.",
        "unable to open": "Change the permissions of the file and its folder, or choose another place with --ledger.",
        "not a database": "Move that file away or restore the ledger from a backup.",
        "malformed": "Restore the ledger from a backup.",
        "connection": "Start the server, or correct the address in --ledger or GENLOOM_LEDGER.",
    }
    end = "" if reason.endswith((".", "?", "!")) else "."
    return f"{reason}{end} " + name_options(next((cure for word, cure in cures.items() if word in reason), ""))
