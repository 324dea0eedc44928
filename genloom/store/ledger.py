"""The ledger: ratings, promotions and withdrawals as an append-only, crash-safe chain of events."""

import hashlib
import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from genloom.errors import GenloomError
from genloom.store import records
from genloom.store.clock import get_now
from genloom.store.database import EVENTS, Database, open_database
from genloom.store.names import unknown_id_error
from genloom.store.storage import ObjectConflict

_MAX_ID_CHARS = 64
_MAX_BODY_CHARS = 1 << 24  # characters of JSON: a round names every rating that it used
_MAX_ATTEMPTS, _CONFLICT_SECONDS = 30, 0.05  # of writing to a storage that other machines write to
_PAGE_EVENTS = 20_000  # events read at once, so that readers do not block writers


@dataclass(frozen=True)
class Event:
    """An event, and the digests that fix it and all events before it."""

    seq: int  # from 1, without gaps
    id: str
    at: str  # ISO 8601, UTC
    kind: str
    body: Mapping[str, Any]
    previous: str  # the digest of the event before; "" for the first
    digest: str


@dataclass(frozen=True)
class NewEvent:
    """An event to append. The same explicit id again appends nothing."""

    kind: str
    body: Mapping[str, Any]
    id: str = ""  # "": a random one


@dataclass
class _PendingEvent:
    """An event that is not on the disk yet."""

    id: str
    kind: str
    body: Mapping[str, Any]
    event: Event | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.event is not None or self.error is not None

    def resolve(self, event: Event) -> None:
        """Take the stored event with this id, or an error if its content differs."""
        if (event.kind, _to_canonical_json(event.body)) == (self.kind, _to_canonical_json(self.body)):
            self.event = event
        else:
            self.error = GenloomError("store.event_id_taken", id=self.id, kind=event.kind)


@dataclass(eq=False)
class Ledger:
    """The events in one database. Threads may share a ledger; processes each open their own."""

    database: Database
    _pending: list[_PendingEvent] = field(default_factory=list)
    _is_writing: bool = False
    _condition: threading.Condition = field(default_factory=threading.Condition)
    _verified: tuple[int, str] = (0, "")  # the number and the digest of the last event that this object has verified

    def append(self, kind: str, body: Mapping[str, Any], id: str = "") -> Event:
        """Write an event and return it once it is on the disk; see `append_all`."""
        return self.append_all([NewEvent(kind, body, id)])[0]

    def append_all(self, new_events: Sequence[NewEvent]) -> list[Event]:
        """Write events in one transaction, all or none, and return them once they are on the disk.

        Appending an event with the same explicit id again writes nothing and returns the stored event. Raise ValueError
        if the id names another event, if an event before is not as it was written, and, naming the cure, if the
        database cannot be written.
        """
        all_pending = [self._build_pending(new_event) for new_event in new_events]
        if not all_pending:
            return []
        last_pending = all_pending[-1]
        # Group commit: one thread at a time writes for all that have arrived; they share one wait for the disk.
        group: list[_PendingEvent] = []
        with self._condition:
            self._pending += all_pending
            self._condition.wait_for(lambda: last_pending.is_done or not self._is_writing)
            if not last_pending.is_done:
                group, self._pending, self._is_writing = self._pending, [], True
        if group:
            try:
                self._write_group(group)
            finally:
                with self._condition:
                    self._is_writing = False
                    self._condition.notify_all()
        for pending in all_pending:
            if pending.error is not None:
                raise pending.error
        return [pending.event for pending in all_pending if pending.event is not None]

    def _build_pending(self, new_event: NewEvent) -> _PendingEvent:
        kind, body, id = new_event.kind, new_event.body, new_event.id
        if not (len(id) <= _MAX_ID_CHARS and id.isprintable()):
            raise GenloomError("store.invalid_event_id", limit=_MAX_ID_CHARS, id=id[:80])
        if (size := len(_to_canonical_json(body))) > _MAX_BODY_CHARS:
            raise GenloomError("store.event_too_large", kind=kind, limit=_MAX_BODY_CHARS, size=size)
        return _PendingEvent(id or secrets.token_hex(6), kind, body)

    def iter_events(self, kinds: Collection[str] = (), after: int = 0) -> Iterator[Event]:
        """Yield the events after number `after`, of these kinds or of all, oldest first."""
        query = sql.select(EVENTS).order_by(EVENTS.c.seq).limit(_PAGE_EVENTS)
        if kinds:
            query = query.where(EVENTS.c.kind.in_(kinds))
        while True:
            page = [_parse_event(row) for row in self.database.read(query.where(EVENTS.c.seq > after))]
            yield from page
            if len(page) < _PAGE_EVENTS:
                return
            after = page[-1].seq

    def iter_entries(self, kinds: Collection[str], after: int = 0) -> Iterator[Event]:
        """Yield the events of these kinds; raise ValueError for a body that no version writes, naming its field."""
        for event in self.iter_events(kinds, after):
            body, problem = records.parse_entry(event.kind, event.body)
            if problem:
                raise GenloomError("store.entry_malformed", seq=event.seq, id=event.id, problem=problem)
            yield replace(event, body=body)

    def get_event(self, id: str) -> Event:
        """Return the event with this id; ValueError for an unknown one."""
        rows = self.database.read(sql.select(EVENTS).where(EVENTS.c.id == id))
        if not rows:
            known_ids = (event.id for event in self.iter_events())
            raise unknown_id_error("entry in the ledger", id, known_ids, "genloom ratings", "Rate something first.")
        return _parse_event(rows[0])

    def get_head(self) -> Event | None:
        """Return the newest event. A copy of its digest proves later that no event up to it was changed or removed."""
        rows = self.database.read(_NEWEST)
        return _parse_event(rows[0]) if rows else None

    def verify(self) -> None:
        """Check the chain from the first event; ValueError names the first event that is not as it was written."""
        self._verified = (0, "")
        self.verify_new()

    def verify_new(self) -> None:
        """Check the events that this object has not checked yet; before anything is learned from them, or appended.

        The newest event that was ever acknowledged here is also kept in a small file beside the table: if it is
        missing, the end of the ledger was cut off.
        """
        self._verify_rows(self.database.read)

    def verify_end(self) -> None:
        """Check, without reading all events, that the newest acknowledged one is there; ValueError if it is not."""
        expected, head = self.database.read_head()[0], self.get_head()
        self._require_end(0 if head is None else head.seq, expected)

    def is_end_known(self) -> bool:
        """Return whether the file that keeps the newest entry is there, without which a cut end cannot be found."""
        return self.get_head() is None or self.database.read_head()[0] > 0

    def _require_end(self, seq: int, expected: int) -> None:
        place, head = self.database.location, self.database.head_file
        if seq == 0 < expected:
            raise GenloomError("store.ledger_gone", place=place, expected=expected, head=head)
        if seq < expected:
            raise GenloomError("store.ledger_cut_off", place=place, seq=seq, expected=expected, head=head)

    def _verify_rows(self, read: Callable[[sql.Select[Any]], Sequence[sql.Row[Any]]]) -> None:
        seq, digest = self.database.read_head()  # first, since events may be appended at the same time
        query = sql.select(EVENTS).order_by(EVENTS.c.seq).limit(_PAGE_EVENTS)
        while page := read(query.where(EVENTS.c.seq > self._verified[0])):
            for row in page:
                self._verified = _verify_row(row, *self._verified, self.database.location)
        self._require_end(self._verified[0], seq)
        if seq and [row.digest for row in read(sql.select(EVENTS).where(EVENTS.c.seq == seq))] != [digest]:
            raise GenloomError("store.entry_changed", place=self.database.location, seq=seq, id="")

    def _write_group(self, group: Sequence[_PendingEvent]) -> None:
        """Append the group to the chain in one transaction: all of it reaches the disk, or none."""
        for attempt in range(_MAX_ATTEMPTS):
            try:
                self._append_group(group)
            except ObjectConflict:  # another machine was first: its events come before these
                time.sleep(random.uniform(0, _CONFLICT_SECONDS * 2 ** min(attempt, 4)))
                continue
            except BaseException as error:
                for pending in group:
                    pending.error = error
            return
        for pending in group:
            pending.error = GenloomError("store.storage_busy", place=self.database.location)

    def _append_group(self, group: Sequence[_PendingEvent]) -> None:
        with self.database.open_transaction() as connection:
            self._verify_rows(lambda query: connection.execute(query).all())
            ids = sql.select(EVENTS).where(EVENTS.c.id.in_([pending.id for pending in group]))
            events_by_id = {row.id: _parse_event(row) for row in connection.execute(ids)}
            newest_row = connection.execute(_NEWEST).first()
            last, new_rows = None if newest_row is None else _parse_event(newest_row), []
            for pending in group:
                if pending.id not in events_by_id:
                    last = events_by_id[pending.id] = _chain_event(last, pending)
                    new_rows.append(vars(last) | {"body": _to_canonical_json(last.body)})
            if new_rows:
                connection.execute(sql.insert(EVENTS), new_rows)
        if last is not None and new_rows:
            self._verified = (last.seq, last.digest)
            self.database.write_head(last.seq, last.digest)
        for pending in group:
            pending.resolve(events_by_id[pending.id])


def open_ledger(root: Path, url: str = "") -> Ledger:
    """Open the ledger at `url`, GENLOOM_LEDGER or in the workspace `root`; the first event creates it."""
    return Ledger(open_database(root, url))


_NEWEST = sql.select(EVENTS).order_by(EVENTS.c.seq.desc()).limit(1)


def _chain_event(last: Event | None, pending: _PendingEvent) -> Event:
    """Return the pending event chained to the last one."""
    seq, previous = (1, "") if last is None else (last.seq + 1, last.digest)
    at, body = get_now().isoformat(timespec="microseconds"), json.loads(_to_canonical_json(pending.body))
    event = Event(seq, pending.id, at, pending.kind, body, previous, "")
    return replace(event, digest=_hash_event(event))


def _parse_event(row: sql.Row[Any]) -> Event:
    """Return the event of a row; raise ValueError for one that no version has written."""
    try:
        body = json.loads(row.body)
    except (ValueError, TypeError, RecursionError):
        body = None
    texts = (row.id, row.at, row.kind, row.previous, row.digest)
    if not isinstance(body, dict) or not all(isinstance(text, str) for text in texts):
        problem = "its content is not a JSON object, or its columns are not text"
        raise GenloomError("store.entry_malformed", seq=row.seq, id=str(row.id)[:80], problem=problem)
    return Event(**(dict(row._mapping) | {"body": body}))


def _verify_row(row: sql.Row[Any], last_seq: int, last_digest: str, place: str) -> tuple[int, str]:
    """Return the number and digest of a row that follows the last one; raise ValueError for any other."""
    seq = last_seq + 1
    if row.seq != seq:
        raise GenloomError("store.entry_missing", place=place, seq=seq)
    if row.previous != last_digest:
        raise GenloomError("store.entry_unchained", place=place, seq=seq, id=str(row.id)[:80])
    if row.digest != _hash_content(seq, str(row.id), str(row.at), str(row.kind), str(row.body), last_digest):
        raise GenloomError("store.entry_changed", place=place, seq=seq, id=str(row.id)[:80])
    return seq, row.digest


def _hash_event(event: Event) -> str:
    """Return SHA-256 over the content of an event and the digest of the one before."""
    return _hash_content(event.seq, event.id, event.at, event.kind, _to_canonical_json(event.body), event.previous)


def _hash_content(seq: int, id: str, at: str, kind: str, body_json: str, previous: str) -> str:
    """Return SHA-256 over the canonical JSON of an event's content, of which the body is given as such already."""
    before, after = _to_canonical_json(["genloom ledger 1", seq, id, at, kind]), _to_canonical_json([previous])
    return hashlib.sha256(f"{before[:-1]},{body_json},{after[1:]}".encode()).hexdigest()


def _to_canonical_json(value: Any) -> str:
    """Return the canonical JSON of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
