"""The index of outputs: derived from their records and the ledger, built again when it is missing.

    outputs   a row for each output, also those in the bin; numbers are in the order of ids, the order of time
    words     the full text of prompts, conditions and texts
    ratings   the ratings in the ledger; `is_current` is a rater's last one that was not withdrawn
    days      the folders of outputs/ as they were read

Outputs that the command line writes or removes are found by the times of these folders.
"""

import json
import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from genloom.api.workspace import Workspace
from genloom.server.index_conditions import match_rating, match_words, to_first_number
from genloom.server.index_rows import (
    count_file_bytes,
    delete_row,
    insert_row,
    is_day,
    read_output_record,
    to_number,
)
from genloom.server.sqlite import Database
from genloom.store import recycle_bin
from genloom.store.names import is_timed_id

MAX_PAGE = 500
MAX_COUNTED_MATCHES = 5000  # of a search
MAX_EXCERPT_CHARS = 400  # of a text, in a list
_SETTLED_NS = 3_000_000_000  # a folder whose time is nearer than this may change again without a later time
_BATCH = 500
_FIRST_SECONDS = 10.0  # that a page waits for the first reading, rather than say that nothing was made

_STEPS = (
    """
    CREATE TABLE outputs (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, day TEXT NOT NULL, created TEXT NOT NULL,
        model TEXT NOT NULL, name TEXT NOT NULL, medium TEXT NOT NULL, prompt TEXT NOT NULL, seed INTEGER,
        owner TEXT NOT NULL, job TEXT NOT NULL, arena TEXT NOT NULL, task TEXT NOT NULL, learn TEXT NOT NULL,
        given TEXT NOT NULL, is_text INTEGER NOT NULL, file TEXT NOT NULL, bytes INTEGER NOT NULL,
        removed TEXT, bin TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX outputs_by_day ON outputs (day);
    CREATE INDEX outputs_shown ON outputs (number) WHERE removed IS NULL AND learn = '';
    CREATE INDEX outputs_by_name ON outputs (name, number) WHERE removed IS NULL AND learn = '';
    CREATE INDEX outputs_by_medium ON outputs (medium, number) WHERE removed IS NULL AND learn = '';
    CREATE INDEX outputs_by_owner ON outputs (owner, number) WHERE removed IS NULL AND learn = '';
    CREATE INDEX outputs_by_seed ON outputs (seed);
    CREATE INDEX outputs_by_job ON outputs (job) WHERE job != '';
    CREATE INDEX outputs_by_arena ON outputs (arena) WHERE arena != '';
    CREATE VIRTUAL TABLE words USING fts5 (
        prompt, written, given, tokenize="unicode61 remove_diacritics 2", prefix='2 3'
    );
    CREATE TABLE days (day TEXT PRIMARY KEY, mtime INTEGER NOT NULL);
    CREATE TABLE ratings (
        event TEXT PRIMARY KEY, seq INTEGER NOT NULL, output TEXT NOT NULL, rater TEXT NOT NULL, scale TEXT NOT NULL,
        value INTEGER NOT NULL, note TEXT NOT NULL, at TEXT NOT NULL, is_withdrawn INTEGER NOT NULL DEFAULT 0,
        is_current INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX ratings_by_output ON ratings (output, rater);
    CREATE INDEX ratings_by_value ON ratings (rater, scale, value, output) WHERE is_current;
    CREATE TABLE read_ledger (seq INTEGER NOT NULL, id TEXT NOT NULL);
    INSERT INTO read_ledger VALUES (0, '')
    """,
    """
    CREATE INDEX outputs_by_name_and_medium ON outputs (name, medium, number) WHERE removed IS NULL AND learn = ''
    """,
)


@dataclass(frozen=True)
class OutputFilter:
    """The conditions for outputs on a page; an empty value shows all."""

    owner: str = ""
    q: str = ""
    medium: str = ""
    model: str = ""  # a name, or a version
    rating: str = ""  # up, down, 1 to 5, none
    rater: str = ""  # whose rating
    seed: int | None = None
    since: str = ""  # ISO 8601
    until: str = ""
    is_removed: bool = False
    ids: Sequence[str] | None = None  # only these
    hidden_ids: Sequence[str] = ()  # and not these
    hides_measured: bool = True  # leaves out what rounds of learning made to measure a version
    hides_arena: bool = False  # leaves out what was made to be compared


class OutputIndex:
    """The outputs of a workspace, found in milliseconds."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._root = workspace, workspace.folder
        self._syncing, self._is_read = threading.Lock(), False

    def open(self) -> None:
        self._database = Database(self._root / "index.sqlite", _STEPS, is_derived=True)

    def close(self) -> None:
        with self._syncing:
            self._database.close()

    # Reading

    def find(self, wanted: OutputFilter, before: str = "", limit: int = 50, offset: int = 0) -> list[dict[str, Any]]:
        """Return outputs, newest first, older than `before`, each with the beginning of its text."""
        condition, params = self._build_condition(wanted, before)
        source, order = (_MATCHES, "words.rowid") if wanted.q else ("outputs", "number")
        query = f"SELECT number FROM {source} WHERE {condition} ORDER BY {order} DESC LIMIT ? OFFSET ?"
        numbers = [row["number"] for row in self._read(query, [*params, min(limit, MAX_PAGE + 1), offset])]
        rows = self._read(f"{_WITH_TEXT} WHERE number IN (SELECT value FROM json_each(?))", [json.dumps(numbers)])
        return sorted(rows, key=lambda row: row["number"], reverse=True)

    def count(self, wanted: OutputFilter) -> int | None:
        """Count all pages; None for a search that finds very many."""
        condition, params = self._build_condition(wanted, "")
        if not wanted.q:
            return self._read(f"SELECT COUNT(*) AS count FROM outputs WHERE {condition}", params)[0]["count"]
        query = f"SELECT number FROM {_MATCHES} WHERE {condition} LIMIT {MAX_COUNTED_MATCHES}"
        count = self._read(f"SELECT COUNT(*) AS count FROM ({query})", params)[0]["count"]
        return count if count < MAX_COUNTED_MATCHES else None

    def count_facets(self, owner: str) -> dict[str, dict[str, int]]:
        """Return how many outputs each model, each version of one and each medium has."""
        condition, params = self._build_condition(OutputFilter(owner=owner), "")
        facets = {}
        for column in ("name", "model", "medium"):
            rows = self._read(
                f"SELECT {column} AS name, COUNT(*) AS count FROM outputs WHERE {condition}"
                f" GROUP BY {column} ORDER BY count DESC",
                params,
            )
            facets[column] = {row["name"]: row["count"] for row in rows}
        return facets

    def _build_condition(self, wanted: OutputFilter, before: str) -> tuple[str, list[Any]]:
        conditions, params = [f"removed IS {'NOT ' if wanted.is_removed else ''}NULL"], []
        if wanted.q:  # first, since its words are those of the joined table
            condition, value = match_words(wanted.q)
            conditions.append(condition)
            params.append(value)
        for condition, value in (
            ("owner = ?", wanted.owner),
            ("medium = ?", wanted.medium),
            ("model = ?" if "/" in wanted.model else "name = ?", wanted.model),
            ("seed = ?", wanted.seed),
            ("created >= ?", wanted.since),
            ("created < ?", wanted.until),
            ("number < ?", to_number(before) if is_timed_id(before) else None),
            ("number >= ?", to_first_number(wanted.since, -1)),
            ("number < ?", to_first_number(wanted.until, 2)),
        ):
            if value not in ("", None):
                conditions.append(condition)
                params.append(value)
        if wanted.hides_measured and not wanted.is_removed:
            conditions.append("learn = ''")
        if wanted.hides_arena:
            conditions.append("arena = ''")
        if wanted.rating:
            condition, values = match_rating(wanted.rating, wanted.rater)
            conditions.append(condition)
            params += values
        if wanted.ids is not None:
            conditions.append("id IN (SELECT value FROM json_each(?))")
            params.append(json.dumps(list(wanted.ids)))
        if wanted.hidden_ids:
            conditions.append("id NOT IN (SELECT value FROM json_each(?))")
            params.append(json.dumps(list(wanted.hidden_ids)))
        return " AND ".join(conditions), params

    def get(self, id: str) -> dict[str, Any] | None:
        return next(iter(self._read(f"{_WITH_TEXT} WHERE id = ?", (id,))), None)

    def find_neighbours(self, id: str, owner: str) -> tuple[str | None, str | None]:
        """Return the ids of the outputs before and after one in the order of generation."""
        condition = "AND owner = ?" if owner else ""

        def find(sign: str, order: str) -> str | None:
            rows = self._read(
                f"SELECT id FROM outputs WHERE removed IS NULL AND learn = '' AND number {sign} ? {condition}"
                f" ORDER BY number {order} LIMIT 1",
                (to_number(id), owner) if owner else (to_number(id),),
            )
            return rows[0]["id"] if rows else None

        return find("<", "DESC"), find(">", "ASC")

    def find_by(self, column: str, value: str) -> list[dict[str, Any]]:
        """Return the outputs of a job, or of a session of the arena, oldest first."""
        assert column in ("job", "arena")
        return self._read(f"SELECT * FROM outputs WHERE {column} = ? AND {column} != '' ORDER BY id", (value,))

    def count_by_model(self, owner: str = "") -> dict[str, int]:
        """Return how many outputs each version has of an owner ("": of all), as the pages that list them count."""
        condition, params = self._build_condition(OutputFilter(owner=owner), "")
        rows = self._read(f"SELECT model, COUNT(*) AS count FROM outputs WHERE {condition} GROUP BY model", params)
        return {row["model"]: row["count"] for row in rows}

    def keep_shown(self, ids: Iterable[str], owner: str = "") -> list[str]:
        """Return those of these outputs that an owner ("": anybody) has, and that are not in the bin."""
        condition, params = self._build_condition(OutputFilter(owner=owner), "")
        rows = self._read(
            f"SELECT id FROM outputs WHERE {condition} AND id IN (SELECT value FROM json_each(?))",
            (*params, json.dumps(list(ids))),
        )
        return [row["id"] for row in rows]

    def list_prompts(self, name: str, limit: int, owner: str = "") -> list[str]:
        """Return the prompts that an owner ("": anybody) last gave a model, without repetition."""
        rows = self._read(
            "SELECT prompt, MAX(id) AS newest FROM outputs WHERE name = ? AND prompt != '' AND learn = ''"
            " AND removed IS NULL AND ? IN (owner, '') GROUP BY prompt ORDER BY newest DESC LIMIT ?",
            (name, owner, limit),
        )
        return [row["prompt"] for row in rows]

    def get_ratings(self, ids: Iterable[str], rater: str) -> dict[str, dict[str, Any]]:
        """Return a person's rating of each of these outputs that has one."""
        rows = self._read(
            "SELECT * FROM ratings WHERE is_current AND rater = ? AND output IN (SELECT value FROM json_each(?))"
            " ORDER BY seq",
            (rater, json.dumps(list(ids))),
        )
        ratings: dict[str, dict[str, Any]] = {}
        for row in rows:
            rating = ratings.setdefault(row["output"], {"up": None, "stars": None, "note": ""})
            rating |= {"event": row["event"], "at": row["at"], "note": row["note"] or rating["note"]}
            if row["scale"] == "thumb":
                rating["up"] = row["value"] > 0
            elif row["scale"] == "stars":
                rating["stars"] = row["value"]
        return ratings

    def list_rating_events(self, output: str, rater: str) -> list[str]:
        """Return the entries of the ledger with a person's ratings of an output that were not withdrawn."""
        rows = self._read(
            "SELECT event FROM ratings WHERE output = ? AND rater = ? AND NOT is_withdrawn ORDER BY seq",
            (output, rater),
        )
        return [row["event"] for row in rows]

    # Keeping up

    def sync(self, *, waits: bool = True) -> None:
        """Read what is new or gone; while another thread does it, only if `waits`, and for a while the first time."""
        if not self._syncing.acquire(timeout=-1 if waits else 0 if self._is_read else _FIRST_SECONDS):
            return
        try:
            self._sync_days()
            self._sync_ratings()
            self._is_read = True
        finally:
            self._syncing.release()

    def _sync_days(self) -> None:
        folder = self._root / "outputs"
        found = {}
        if folder.is_dir():
            with os.scandir(folder) as entries:
                found = {e.name: e.stat().st_mtime_ns for e in entries if is_day(e.name) and e.is_dir()}
        known = {row["day"]: row["mtime"] for row in self._read("SELECT day, mtime FROM days")}
        for day in sorted((day for day in {*found, *known} if found.get(day) != known.get(day)), reverse=True):
            self._sync_day(day)
            is_settled = day in found and time.time_ns() - found[day] > _SETTLED_NS
            with self._database.transaction() as connection:
                if is_settled:
                    connection.execute("INSERT OR REPLACE INTO days VALUES (?, ?)", (day, found[day]))
                elif day not in found:
                    connection.execute("DELETE FROM days WHERE day = ?", (day,))

    def _sync_day(self, day: str) -> None:
        folder = self._root / "outputs" / day
        names = os.listdir(folder) if folder.is_dir() else []
        there = {name[:-5] for name in names if name.endswith(".json") and is_timed_id(name[:-5])}
        rows = self._read("SELECT id, removed FROM outputs WHERE day = ?", (day,))
        known, shown = {row["id"] for row in rows}, {row["id"] for row in rows if row["removed"] is None}
        new = sorted(there - known)
        for start in range(0, len(new), _BATCH):
            records = [read_output_record(folder / f"{id}.json") for id in new[start : start + _BATCH]]
            with self._database.transaction() as connection:
                for record in records:
                    if record is not None:
                        insert_row(connection, record, day, count_file_bytes(folder / record["file"]))
        if (gone := shown - there) or (there & known) - shown:
            with self._database.transaction() as connection:
                back = [(id,) for id in (there & known) - shown]
                connection.executemany("UPDATE outputs SET removed = NULL, bin = '' WHERE id = ?", back)
                self._mark_gone(connection, gone)

    def _mark_gone(self, connection: Any, gone: Iterable[str]) -> None:
        entries = {e.name: e for e in recycle_bin.list_entries(self._root) if e.kind == "outputs"}
        for id in gone:
            if id in entries:
                where = (entries[id].removed, entries[id].id, id)
                connection.execute("UPDATE outputs SET removed = ?, bin = ? WHERE id = ?", where)
            else:
                delete_row(connection, id)

    def sync_bin(self) -> None:
        """Let the rows of the bin be those that can be restored."""
        with self._syncing:
            entries = {e.name: e for e in recycle_bin.list_entries(self._root) if e.kind == "outputs"}
            known = {row["id"] for row in self._read("SELECT id FROM outputs WHERE removed IS NOT NULL")}
            with self._database.transaction() as connection:
                for id in known - entries.keys():
                    delete_row(connection, id)
                for id in entries.keys() - known:
                    record = read_output_record(self._root / "bin" / entries[id].id / "0")
                    if record is not None and record["id"] == id:
                        delete_row(connection, id)
                        insert_row(connection, record, id[:10], entries[id].bytes)
                        self._mark_gone(connection, [id])

    def _sync_ratings(self) -> None:
        ledger = self._workspace.ledger
        seq, id = self._read("SELECT seq, id FROM read_ledger")[0].values()
        head = ledger.get_head()
        if head is None or (seq and not self._is_in_ledger(seq, id)):
            if seq:  # another ledger
                with self._database.transaction() as connection:
                    connection.execute("DELETE FROM ratings")
                    connection.execute("UPDATE read_ledger SET seq = 0, id = ''")
                seq = 0
            if head is None:
                return
        if head.seq == seq:
            return
        with self._database.transaction() as connection:
            for event in ledger.iter_entries(["rating", "withdrawal"], seq):
                if event.kind == "rating":
                    body = event.body
                    values = (body["output"], body["rater"], body["scale"], body["value"], body["note"])
                    connection.execute(
                        "INSERT OR IGNORE INTO ratings (event, seq, output, rater, scale, value, note, at)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (event.id, event.seq, *values, event.at),
                    )
                    changed = body["output"], body["rater"]
                else:
                    row = connection.execute(
                        "UPDATE ratings SET is_withdrawn = 1 WHERE event = ? RETURNING output, rater",
                        (event.body["event"],),
                    ).fetchone()
                    if row is None:  # of a choice
                        continue
                    changed = row["output"], row["rater"]
                connection.execute(_MARK_CURRENT, {"output": changed[0], "rater": changed[1]})
            connection.execute("UPDATE read_ledger SET seq = ?, id = ?", (head.seq, head.id))

    def _is_in_ledger(self, seq: int, id: str) -> bool:
        return next((event.id for event in self._workspace.ledger.iter_events((), seq - 1)), "") == id

    def _read(self, query: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        return [dict(row) for row in self._database.read(query, params)]


_MATCHES = "words CROSS JOIN outputs ON outputs.number = words.rowid"
_WITH_TEXT = f"""
    SELECT outputs.*, substr(words.written, 1, {MAX_EXCERPT_CHARS + 1}) AS text
    FROM outputs JOIN words ON words.rowid = outputs.number
"""
_MARK_CURRENT = """
    UPDATE ratings SET is_current = NOT is_withdrawn AND NOT EXISTS (
        SELECT 1 FROM ratings AS later WHERE later.output = ratings.output AND later.rater = ratings.rater
        AND (later.scale = 'note') = (ratings.scale = 'note') AND NOT later.is_withdrawn AND later.seq > ratings.seq
    ) WHERE output = :output AND rater = :rater
"""
