"""The database under the ledger: a SQLite file of the workspace, or PostgreSQL for a team."""

import os
import sqlite3
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from genloom.store import files

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

# What is written stays: the database itself refuses to change or remove it.
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
_CREATE_LOCK_ID = (
    0x67656E6C  # PostgreSQL's advisory lock for making the table: a table that is not there can't be locked
)


@dataclass(frozen=True)
class Database:
    """Where the events lie. `place` names it in messages, without a password."""

    engine: sql.Engine
    location: str
    file: Path | None = None  # of SQLite

    def read(self, query: sql.Select[Any]) -> Sequence[sql.Row[Any]]:
        """The rows of a query; none where nothing was ever written. Looking makes nothing."""
        with self._translate_errors("read"):
            if self.file is not None and not self.file.exists():
                return []
            with self.engine.connect() as connection:
                return connection.execute(query).all() if sql.inspect(connection).has_table(EVENTS.name) else []

    @contextmanager
    def open_transaction(self) -> Generator[sql.Connection]:
        """A transaction that no other writer shares; when the block ends well, it is on the disk."""
        with self._translate_errors("written"):
            if self.file is not None:
                with files.translate_errors(self.file):
                    self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
                if not sql.inspect(connection).has_table(EVENTS.name):
                    self._create_table(connection)
                for statement in _EXCLUSIVE_SQL[self.engine.dialect.name]:
                    connection.exec_driver_sql(statement)
                yield connection

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
            raise ValueError(f"{self.location}: the ledger cannot be {action}: {_explain_error(error)}") from error


def open_database(root: Path, url: str = "") -> Database:
    """The database at `url`, else at GENLOOM_LEDGER, else `ledger.sqlite` in the workspace's folder `root`.

    Raises ValueError for a URL that is none of SQLite's or PostgreSQL's.
    """
    ledger_url = url or os.environ.get("GENLOOM_LEDGER", "")
    if not ledger_url:
        return _open_sqlite(root / "ledger.sqlite")
    try:
        parsed = sql.make_url(ledger_url)
    except ArgumentError:
        raise ValueError(_with_address_hint("The address of the ledger cannot be read.")) from None
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return _open_sqlite(Path(str(parsed.database)).absolute())
    if kind not in ("postgresql", "postgres"):
        raise ValueError(_with_address_hint(f"The ledger cannot lie at {parsed.render_as_string(hide_password=True)}."))
    try:
        address = parsed.set(drivername="postgresql+psycopg")
        # So that what is read behind the lock is what was committed before it.
        engine = sql.create_engine(address, isolation_level="READ COMMITTED", pool_pre_ping=True)
    except ModuleNotFoundError:
        raise ValueError("A ledger on PostgreSQL needs psycopg: pip install 'genloom[team]'") from None
    database = Database(engine, parsed.render_as_string(hide_password=True))
    weakref.finalize(database, engine.dispose)  # its connections are closed when nobody holds the ledger any more
    return database


def _with_address_hint(problem: str) -> str:
    return (
        f"{problem} Give --ledger or GENLOOM_LEDGER like postgresql://name@host/database, or leave it away for a file "
        "in the workspace."
    )


def _open_sqlite(file: Path) -> Database:
    address = sql.URL.create("sqlite", database=str(file))
    # A connection for each piece of work, so that nothing open is carried over a fork; opening costs next to nothing.
    engine = sql.create_engine(address, poolclass=sql.NullPool, connect_args={"timeout": _WAIT_SECONDS})

    @event.listens_for(engine, "connect")
    def configure_connection(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # Python's own BEGIN would come too late, see `begin`
        # Not WAL: docs/decisions/0005-ledger.md. EXTRA also syncs the folder in which the journal was removed, without
        # which a commit can be undone by a power cut.
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA synchronous=EXTRA")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: sql.Connection) -> None:
        # Taking the lock at once, since a reader that becomes a writer can be turned away without waiting.
        is_writing = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    return Database(engine, str(file), file)


def _explain_error(error: SQLAlchemyError) -> str:
    """The driver's reason in one line, and what to do."""
    reason = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
    cures = {
        "locked": "Another program holds it; end that one or try again.",
        "full": "Free some space on its disk; what was acknowledged is kept.",
        "readonly": "Change the permissions of the file and its folder, or choose another place with --ledger.",
        "unable to open": "Change the permissions of the file and its folder, or choose another place with --ledger.",
        "not a database": "Move that file away or restore the ledger from a backup.",
        "malformed": "Restore the ledger from a backup.",
        "connection": "Start the server, or correct the address in --ledger or GENLOOM_LEDGER.",
    }
    return f"{reason}. " + next((cure for word, cure in cures.items() if word in reason), "")
