"""The ledger: ratings, promotions and withdrawals as an append-only chain of events that no crash can tear."""

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

from genloom.store.database import EVENTS, Database, open_database
from genloom.store.names import unknown_name_error

_MAX_ID_CHARS = 64
_MAX_BODY_CHARS = 1 << 20  # characters of JSON; what is larger belongs into a file, with its digest here
_PAGE_EVENTS = 1000  # events read at once, so that no reader holds a writer up


@dataclass(frozen=True)
class Event:
    """Something that happened, and the digests that fix it and all before it."""

    seq: int  # from 1 on, without a gap
    id: str
    at: str  # ISO 8601, UTC
    kind: str
    body: Mapping[str, Any]
    previous: str  # the digest of the event before; "" of the first
    digest: str


@dataclass
class _PendingEvent:
    """An event on its way to the disk."""

    id: str
    kind: str
    body: Mapping[str, Any]
    event: Event | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.event is not None or self.error is not None

    def resolve(self, event: Event) -> None:
        """Take the event that stands under this id, unless it says something else."""
        if (event.kind, _to_canonical_json(event.body)) == (self.kind, _to_canonical_json(self.body)):
            self.event = event
        else:
            self.error = ValueError(
                f"The id {self.id!r} stands for another {event.kind} in the ledger. Give each its own, or none."
            )


@dataclass(eq=False)
class Ledger:
    """The events in one database. Threads may share a ledger; processes each open their own."""

    database: Database
    _pending: list[_PendingEvent] = field(default_factory=list)
    _is_writing: bool = False
    _condition: threading.Condition = field(default_factory=threading.Condition)

    def append(self, kind: str, body: Mapping[str, Any], id: str = "") -> Event:
        """Write an event and return it once it is on the disk.

        With an `id` of one's own, a repetition writes nothing and returns the event that is there. Raises ValueError
        where that id stands for something else, and where the database cannot be written, naming the cure.
        """
        if not (len(id) <= _MAX_ID_CHARS and id.isprintable()):
            raise ValueError(
                f"An event's id has at most {_MAX_ID_CHARS} printable characters, and {id[:80]!r} has not."
            )
        if len(_to_canonical_json(body)) > _MAX_BODY_CHARS:
            raise ValueError(f"A {kind} of more than {_MAX_BODY_CHARS:,} characters does not fit into the ledger.")
        pending = _PendingEvent(id or secrets.token_hex(6), kind, body)
        # Group commit: one thread at a time writes, for all who came meanwhile; they share one wait for the disk.
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
        """The events after number `after`, of these kinds or of all, oldest first."""
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
        """The event with this id; ValueError names the nearest."""
        rows = self.database.read(sql.select(EVENTS).where(EVENTS.c.id == id))
        if not rows:
            raise unknown_name_error(
                "entry in the ledger", id, (event.id for event in self.iter_events()), "Rate something first."
            )
        return _parse_event(rows[0])

    def get_head(self) -> Event | None:
        """The newest event. Who keeps its digest elsewhere can tell later that nothing before it was changed or cut."""
        rows = self.database.read(_NEWEST)
        return _parse_event(rows[0]) if rows else None

    def verify(self) -> None:
        """Follow the chain from the first event on; ValueError names the first that is not as it was written."""
        previous = ""
        for seq, event in enumerate(self.iter_events(), start=1):
            if event.seq != seq:
                raise self._damage_error(f"entry {seq} is missing")
            if event.previous != previous:
                raise self._damage_error(f"entry {seq} ({event.id}) does not follow the one before it")
            if event.digest != _hash_event(event):
                raise self._damage_error(f"entry {seq} ({event.id}) was changed after it was written")
            previous = event.digest

    def _damage_error(self, what: str) -> ValueError:
        return ValueError(f"{self.database.location} is damaged: {what}. Restore the ledger from a backup.")

    def _write_group(self, group: Sequence[_PendingEvent]) -> None:
        """Put the group behind the newest event in one transaction; all of it is on the disk, or none."""
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
    """The ledger at `url`, else at GENLOOM_LEDGER, else in the workspace's folder `root`; made by the first event."""
    return Ledger(open_database(root, url))


_NEWEST = sql.select(EVENTS).order_by(EVENTS.c.seq.desc()).limit(1)


def _chain_event(last: Event | None, pending: _PendingEvent) -> Event:
    """The event that a draft becomes behind the last one."""
    seq, previous = (1, "") if last is None else (last.seq + 1, last.digest)
    at, body = datetime.now(UTC).isoformat(timespec="microseconds"), json.loads(_to_canonical_json(pending.body))
    event = Event(seq, pending.id, at, pending.kind, body, previous, "")
    return replace(event, digest=_hash_event(event))


def _parse_event(row: sql.Row[Any]) -> Event:
    return Event(**(dict(row._mapping) | {"body": json.loads(row.body)}))


def _hash_event(event: Event) -> str:
    """SHA-256 over everything an event says, and the digest of the one before."""
    content = ["genloom ledger 1", event.seq, event.id, event.at, event.kind, event.body, event.previous]
    return hashlib.sha256(_to_canonical_json(content).encode()).hexdigest()


def _to_canonical_json(value: Any) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
