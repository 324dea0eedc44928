"""The queue in SQLite: a job is on the disk before its request is answered, and no job is lost or doubled."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from genloom.server.access import build_unknown_id_error
from genloom.server.errors import APIError
from genloom.server.sqlite import Database
from genloom.store.clock import get_now
from genloom.store.names import make_timed_id

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Lane = Literal["heavy", "design", "light", "engine"]
ENDED: tuple[State, ...] = ("succeeded", "failed", "cancelled")
MAX_LOG_ROWS = 4_000  # points of a job; older ones are thinned out

_STEPS = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, lane TEXT NOT NULL, owner TEXT NOT NULL, title TEXT NOT NULL,
        params TEXT NOT NULL, state TEXT NOT NULL, position REAL NOT NULL, created TEXT NOT NULL,
        started TEXT, finished TEXT, attempts INTEGER NOT NULL DEFAULT 0, notes TEXT NOT NULL DEFAULT '{}',
        progress TEXT NOT NULL DEFAULT '{}', result TEXT, error TEXT
    );
    CREATE INDEX jobs_by_state ON jobs (state, lane, position);
    CREATE TABLE log (
        job TEXT NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)
    """,
)
_THIN_LOG = """
    DELETE FROM log WHERE job = ? AND number IN (
        SELECT number FROM (
            SELECT number, ROW_NUMBER() OVER (ORDER BY number) AS place FROM log WHERE job = ? AND kind = 'point'
        ) WHERE place % 2 = 0 AND place < ?
    )
"""
_LONG_RESULTS = ("report", "copies", "files")  # which lists of jobs leave out
_JSON_COLUMNS = ("params", "notes", "progress", "result", "error")


@dataclass(frozen=True)
class Job:
    """A piece of work; `notes` is what a second attempt must know of the first."""

    id: str
    kind: str
    lane: Lane
    owner: str
    title: str
    params: Mapping[str, Any]
    state: State
    position: float
    created: str
    started: str | None = None
    finished: str | None = None
    attempts: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED

    def to_json(self, place: int | None = None, *, is_brief: bool = False) -> dict[str, Any]:
        """Return the job as `/api` shows it, with its place in the queue; in brief without a long report."""
        result = self.result
        if is_brief and result is not None:
            result = {name: value for name, value in result.items() if name not in _LONG_RESULTS}
        names = ("id", "kind", "title", "state", "owner", "created", "started", "finished", "attempts")
        return {name: getattr(self, name) for name in names} | {
            "params": dict(self.params),
            "position": place,
            "progress": dict(self.progress),
            "result": result,
            "error": self.error,
            "can_cancel": not self.is_ended,
            "can_retry": self.state in ("failed", "cancelled"),
            "can_resume": self.kind in ("train", "learn")
            and self.state in ("failed", "cancelled")
            and bool(self.notes.get("run")),
        }


class JobStore:
    """The jobs of a workspace."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _STEPS)

    def close(self) -> None:
        self._database.close()

    def add(self, kind: str, lane: Lane, owner: str, title: str, params: Mapping[str, Any]) -> Job:
        """Queue a job after all others."""
        moment = get_now()
        with self._database.transaction() as connection:
            offset = 0
            while connection.execute("SELECT 1 FROM jobs WHERE id = ?", (make_timed_id(moment, offset),)).fetchone():
                offset += 1
            position = connection.execute("SELECT COALESCE(MAX(position), 0) + 1 FROM jobs").fetchone()[0]
            created = moment.isoformat(timespec="microseconds")
            job = Job(make_timed_id(moment, offset), kind, lane, owner, title, params, "queued", position, created)
            connection.execute(
                "INSERT INTO jobs (id, kind, lane, owner, title, params, state, position, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (job.id, kind, lane, owner, title, json.dumps(params), job.state, position, created),
            )
        return job

    def get(self, id: str) -> Job | None:
        row = self._database.read_one("SELECT * FROM jobs WHERE id = ?", (id,))
        return None if row is None else _parse(row)

    def find(
        self,
        *,
        owner: str | None = None,
        states: Iterable[str] = (),
        kinds: Iterable[str] = (),
        before: str = "",
        limit: int = 100,
    ) -> list[Job]:
        """List jobs, newest first, older than `before`; of all owners with None."""
        states, kinds = list(states), list(kinds)
        conditions, params = ["1"], []
        for condition, values in (
            ("owner = ?", [] if owner is None else [owner]),
            (f"state IN ({_build_marks(states)})", states),
            (f"kind IN ({_build_marks(kinds)})", kinds),
            ("id < ?", [before] if before else []),
        ):
            if values:
                conditions.append(condition)
                params += values
        query = f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"
        return [_parse(row) for row in self._database.read(query, [*params, limit])]

    def list_queued(self) -> list[Job]:
        """List the queue in its order."""
        return [_parse(row) for row in self._database.read("SELECT * FROM jobs WHERE state='queued' ORDER BY position")]

    def count(self, state: State) -> int:
        return self._database.read("SELECT COUNT(*) FROM jobs WHERE state = ?", (state,))[0][0]

    def claim(self, lane: Lane, kinds: Iterable[str] = ()) -> Job | None:
        """Let the first queued job of a lane run, or of these kinds; None if there is none."""
        kinds, now = list(kinds), _get_now()
        condition = f"AND kind IN ({_build_marks(kinds)})" if kinds else ""
        with self._database.transaction() as connection:
            row = connection.execute(
                f"SELECT id FROM jobs WHERE state='queued' AND lane = ? {condition} ORDER BY position LIMIT 1",
                (lane, *kinds),
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state='running', started=?, finished=NULL, attempts=attempts+1, error=NULL,"
                " progress='{}' WHERE id=?",
                (now, row["id"]),
            )
        return self.get(row["id"])

    def end(
        self,
        id: str,
        state: State,
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Job:
        """End a job that is queued or running; one that has ended stays as it is."""
        self._database.write(
            "UPDATE jobs SET state=?, finished=?, result=?, error=? WHERE id=? AND state IN ('queued', 'running')",
            (state, _get_now(), json.dumps(result) if result is not None else None, error and json.dumps(error), id),
        )
        return self.require(id)

    def requeue(self, id: str, *, is_first: bool = False) -> Job:
        """Queue a job again: after a crash before all others, on request after them."""
        place = "MIN(position), 0) - 1" if is_first else "MAX(position), 0) + 1"
        self._database.write(
            f"UPDATE jobs SET state='queued', started=NULL, finished=NULL, error=NULL, result=NULL, progress='{{}}',"
            f" position=(SELECT COALESCE({place} FROM jobs) WHERE id=? AND state != 'queued'",
            (id,),
        )
        return self.require(id)

    def requeue_running(self) -> list[Job]:
        """Queue again what ran when the server died, in its old order."""
        rows = self._database.read("SELECT id FROM jobs WHERE state='running' ORDER BY position DESC")
        return [self.requeue(row["id"], is_first=True) for row in rows]

    def reset_attempts(self, id: str, *, is_continued: bool) -> None:
        """Count from the beginning again; one that is continued looks for what earlier attempts made."""
        self._database.write("UPDATE jobs SET attempts=? WHERE id=?", (int(is_continued), id))

    def move(self, id: str, before: str | None) -> Job:
        """Move a queued job before another one, or to the end; what is not queued stays."""
        with self._database.transaction() as connection:
            query = "SELECT id, position FROM jobs WHERE state='queued' AND id != ? ORDER BY position"
            others = connection.execute(query, (id,)).fetchall()
            ids = [row["id"] for row in others]
            if self.require(id).state != "queued":
                raise APIError("studio.not_queued", status=409, id=id)
            if before is not None and before not in ids:
                raise APIError("studio.not_queued", status=409, param="before", id=before)
            number = len(ids) if before is None else ids.index(before)
            if not others:
                return self.require(id)
            positions = [row["position"] for row in others]
            low = positions[number - 1] if number else positions[0] - 2
            high = positions[number] if number < len(positions) else positions[-1] + 2
            position = (low + high) / 2
            connection.execute("UPDATE jobs SET position=? WHERE id=?", (position, id))
            if position in (low, high):  # between two neighbours that floating point cannot tell apart
                ordered = [*ids[:number], id, *ids[number:]]
                connection.executemany("UPDATE jobs SET position=? WHERE id=?", list(enumerate(ordered)))
        return self.require(id)

    def write_progress(self, id: str, progress: Mapping[str, Any]) -> None:
        self._database.write("UPDATE jobs SET progress=? WHERE id=?", (json.dumps(progress), id))

    def write_result(self, id: str, result: Mapping[str, Any]) -> None:
        """Replace the result of a job that has ended."""
        self._database.write("UPDATE jobs SET result=? WHERE id=?", (json.dumps(result), id))

    def write_notes(self, id: str, notes: Mapping[str, Any]) -> Job:
        """Add what a second attempt must know."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT notes FROM jobs WHERE id=?", (id,)).fetchone()
            merged = json.dumps({**json.loads(row["notes"]), **notes})
            connection.execute("UPDATE jobs SET notes=? WHERE id=?", (merged, id))
        return self.require(id)

    def require(self, id: str) -> Job:
        job = self.get(id)
        if job is None:
            raise build_unknown_id_error("job", id)
        return job

    # The log of a job

    def add_log(self, id: str, kind: Literal["point", "sample", "note", "estimate"], data: Any) -> None:
        """Add what a job reported; of too many points, every second of the older ones goes."""
        with self._database.transaction() as connection:
            number = connection.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM log WHERE job=?", (id,)).fetchone()[0]
            connection.execute("INSERT INTO log VALUES (?, ?, ?, ?)", (id, number, kind, json.dumps(data)))
            count = connection.execute("SELECT COUNT(*) FROM log WHERE job=? AND kind='point'", (id,)).fetchone()[0]
            if count > MAX_LOG_ROWS:
                connection.execute(_THIN_LOG, (id, id, MAX_LOG_ROWS * 3 // 4))

    def read_log(self, id: str, after: int, limit: int) -> list[tuple[int, str, Any]]:
        """Return the number, kind and content of what a job reported."""
        rows = self._database.read(
            "SELECT number, kind, data FROM log WHERE job=? AND number > ? ORDER BY number LIMIT ?", (id, after, limit)
        )
        return [(row["number"], row["kind"], json.loads(row["data"])) for row in rows]

    # Settings of the queue

    @property
    def is_paused(self) -> bool:
        row = self._database.read_one("SELECT value FROM settings WHERE name='paused'")
        return row is not None and row["value"] == "yes"

    def set_paused(self, is_paused: bool) -> None:
        self._database.write(
            "INSERT INTO settings VALUES ('paused', ?) ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            ("yes" if is_paused else "no",),
        )


def _parse(row: Any) -> Job:
    values = dict(row)
    job = Job(**values)
    parsed = {name: values[name] and json.loads(values[name]) for name in _JSON_COLUMNS}
    return replace(job, **parsed)


def _build_marks(values: Iterable[str]) -> str:
    return ", ".join("?" for _ in values)


def _get_now() -> str:
    return get_now().isoformat(timespec="microseconds")
