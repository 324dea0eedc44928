"""The ledger: ratings, promotions and withdrawals as an append-only, crash-safe chain of events."""

import hashlib
import json
import secrets
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from genloom.errors import GenloomError
from genloom.store.database import EVENTS, Database, open_database
from genloom.store.names import unknown_name_error

_MAX_ID_CHARS = 64
_MAX_BODY_CHARS = 1 << 20  # characters of JSON; larger content belongs in a file, with its digest here
_PAGE_EVENTS = 1000  # events read at once, so that readers do not block writers


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

    def append(self, kind: str, body: Mapping[str, Any], id: str = "") -> Event:
        """Write an event and return it once it is on the disk.

        Appending an event with the same explicit `id` again writes nothing and returns the stored event. Raise
        ValueError if the id names another event, and, naming the cure, if the database cannot be written.
        """
        if not (len(id) <= _MAX_ID_CHARS and id.isprintable()):
            raise GenloomError("store.invalid_event_id", limit=_MAX_ID_CHARS, id=id[:80])
        if (size := len(_to_canonical_json(body))) > _MAX_BODY_CHARS:
            raise GenloomError("store.event_too_large", kind=kind, limit=_MAX_BODY_CHARS, size=size)
        pending = _PendingEvent(id or secrets.token_hex(6), kind, body)
        # Group commit: one thread at a time writes for all that arrived meanwhile; they share one wait for the disk.
        group: list[_PendingEvent] = []
        with self._condition:
            self._pending.append(pending)
            self._condition.wait_for(lambda: pending.is_done or not self._is_writing)
            if not pending.is_done:
                group, self._pending, self._is_writing = self._pending, [], True
        if group:
            try:
                self._write_group(group)
            finally:
                with self._condition:
                    self._is_writing = False
                    self._condition.notify_all()
        if pending.error is not None:
            raise pending.error
        assert pending.event is not None
        return pending.event

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

    def get_event(self, id: str) -> Event:
        """Return the event with this id; ValueError names the nearest id."""
        rows = self.database.read(sql.select(EVENTS).where(EVENTS.c.id == id))
        if not rows:
            raise unknown_name_error(
                "entry in the ledger", id, (event.id for event in self.iter_events()), "Rate something first."
            )
        return _parse_event(rows[0])

    def get_head(self) -> Event | None:
        """Return the newest event. A copy of its digest proves later that no event up to it was changed or removed."""
        rows = self.database.read(_NEWEST)
        return _parse_event(rows[0]) if rows else None

    def verify(self) -> None:
        """Check the chain from the first event; ValueError names the first event that is not as it was written."""
        place, previous = self.database.location, ""
        for seq, event in enumerate(self.iter_events(), start=1):
            if event.seq != seq:
                raise GenloomError("store.entry_missing", place=place, seq=seq)
            if event.previous != previous:
                raise GenloomError("store.entry_unchained", place=place, seq=seq, id=event.id)
            if event.digest != _hash_event(event):
                raise GenloomError("store.entry_changed", place=place, seq=seq, id=event.id)
            previous = event.digest

    def _write_group(self, group: Sequence[_PendingEvent]) -> None:
        """Append the group to the chain in one transaction: all of it reaches the disk, or none."""
        try:
            with self.database.open_transaction() as connection:
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
        except BaseException as error:
            for pending in group:
                pending.error = error
            return
        for pending in group:
            pending.resolve(events_by_id[pending.id])


def open_ledger(root: Path, url: str = "") -> Ledger:
    """Open the ledger at `url`, GENLOOM_LEDGER or in the workspace `root`; the first event creates it."""
    return Ledger(open_database(root, url))


_NEWEST = sql.select(EVENTS).order_by(EVENTS.c.seq.desc()).limit(1)


def _chain_event(last: Event | None, pending: _PendingEvent) -> Event:
    """Return the pending event chained to the last one."""
    seq, previous = (1, "") if last is None else (last.seq + 1, last.digest)
    at, body = datetime.now(UTC).isoformat(timespec="microseconds"), json.loads(_to_canonical_json(pending.body))
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
        raise GenloomError("store.entry_malformed", seq=row.seq, id=str(row.id)[:80])
    return Event(**(dict(row._mapping) | {"body": body}))


def _hash_event(event: Event) -> str:
    """Return SHA-256 over the content of an event and the digest of the one before."""
    content = ["genloom ledger 1", event.seq, event.id, event.at, event.kind, event.body, event.previous]
    return hashlib.sha256(_to_canonical_json(content).encode()).hexdigest()


def _to_canonical_json(value: Any) -> str:
    """Return the canonical JSON of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
