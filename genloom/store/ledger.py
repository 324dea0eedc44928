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
from genloom.store.names import unknown

_LONGEST_ID = 64
_LARGEST_BODY = 1 << 20  # characters of JSON; what is larger belongs into a file, with its digest here
_PAGE = 1000  # events read at once, so that no reader holds a writer up


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
class _Draft:
    """An event on its way to the disk."""

    id: str
    kind: str
    body: Mapping[str, Any]
    event: Event | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.event is not None or self.error is not None

    def settle(self, event: Event) -> None:
        """Take the event that stands under this id, unless it says something else."""
        if (event.kind, _canonical(event.body)) == (self.kind, _canonical(self.body)):
            self.event = event
        else:
            self.error = ValueError(
                f"The id {self.id!r} stands for another {event.kind} in the ledger. Give each its own, or none."
            )


@dataclass(eq=False)
class Ledger:
    """The events in one database. Threads may share a ledger; processes each open their own."""

    database: Database
    _waiting: list[_Draft] = field(default_factory=list)
    _writing: bool = False
    _change: threading.Condition = field(default_factory=threading.Condition)

    def append(self, kind: str, body: Mapping[str, Any], id: str = "") -> Event:
        """Write an event and return it once it is on the disk.

        With an `id` of one's own, a repetition writes nothing and returns the event that is there. Raises ValueError
        where that id stands for something else, and where the database cannot be written, naming the cure.
        """
        if not (len(id) <= _LONGEST_ID and id.isprintable()):
            raise ValueError(f"An event's id has at most {_LONGEST_ID} printable characters, and {id[:80]!r} has not.")
        if len(_canonical(body)) > _LARGEST_BODY:
            raise ValueError(f"A {kind} of more than {_LARGEST_BODY:,} characters does not fit into the ledger.")
        draft = _Draft(id or secrets.token_hex(6), kind, body)
        # Group commit: one thread at a time writes, for all who came meanwhile; they share one wait for the disk.
        group: list[_Draft] = []
        with self._change:
            self._waiting.append(draft)
            self._change.wait_for(lambda: draft.done or not self._writing)
            if not draft.done:
                group, self._waiting, self._writing = self._waiting, [], True
        if group:
            try:
                self._write(group)
            finally:
                with self._change:
                    self._writing = False
                    self._change.notify_all()
        if draft.error is not None:
            raise draft.error
        assert draft.event is not None
        return draft.event

    def events(self, kinds: Collection[str] = (), after: int = 0) -> Iterator[Event]:
        """The events after number `after`, of these kinds or of all, oldest first."""
        wanted = sql.select(EVENTS).order_by(EVENTS.c.seq).limit(_PAGE)
        if kinds:
            wanted = wanted.where(EVENTS.c.kind.in_(kinds))
        while True:
            page = [_event(row) for row in self.database.read(wanted.where(EVENTS.c.seq > after))]
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].seq

    def event(self, id: str) -> Event:
        """The event with this id; ValueError names the nearest."""
        rows = self.database.read(sql.select(EVENTS).where(EVENTS.c.id == id))
        if not rows:
            raise unknown("entry in the ledger", id, (event.id for event in self.events()), "Rate something first.")
        return _event(rows[0])

    def head(self) -> Event | None:
        """The newest event. Who keeps its digest elsewhere can tell later that nothing before it was changed or cut."""
        rows = self.database.read(_NEWEST)
        return _event(rows[0]) if rows else None

    def verify(self) -> None:
        """Follow the chain from the first event on; ValueError names the first that is not as it was written."""
        previous = ""
        for seq, event in enumerate(self.events(), start=1):
            if event.seq != seq:
                raise self._broken(f"entry {seq} is missing")
            if event.previous != previous:
                raise self._broken(f"entry {seq} ({event.id}) does not follow the one before it")
            if event.digest != _digest(event):
                raise self._broken(f"entry {seq} ({event.id}) was changed after it was written")
            previous = event.digest

    def _broken(self, what: str) -> ValueError:
        return ValueError(f"{self.database.place} is damaged: {what}. Restore the ledger from a backup.")

    def _write(self, group: Sequence[_Draft]) -> None:
        """Put the group behind the newest event in one transaction; all of it is on the disk, or none."""
        try:
            with self.database.writing() as connection:
                ids = sql.select(EVENTS).where(EVENTS.c.id.in_([draft.id for draft in group]))
                known = {row.id: _event(row) for row in connection.execute(ids)}
                newest = connection.execute(_NEWEST).first()
                last, news = None if newest is None else _event(newest), []
                for draft in group:
                    if draft.id not in known:
                        last = known[draft.id] = _following(last, draft)
                        news.append(vars(last) | {"body": _canonical(last.body)})
                if news:
                    connection.execute(sql.insert(EVENTS), news)
        except BaseException as error:
            for draft in group:
                draft.error = error
            return
        for draft in group:
            draft.settle(known[draft.id])


def open_ledger(root: Path, url: str = "") -> Ledger:
    """The ledger at `url`, else at GENLOOM_LEDGER, else in the workspace's folder `root`; made by the first event."""
    return Ledger(open_database(root, url))


_NEWEST = sql.select(EVENTS).order_by(EVENTS.c.seq.desc()).limit(1)


def _following(last: Event | None, draft: _Draft) -> Event:
    """The event that a draft becomes behind the last one."""
    seq, previous = (1, "") if last is None else (last.seq + 1, last.digest)
    at, body = datetime.now(UTC).isoformat(timespec="microseconds"), json.loads(_canonical(draft.body))
    event = Event(seq, draft.id, at, draft.kind, body, previous, "")
    return replace(event, digest=_digest(event))


def _event(row: sql.Row[Any]) -> Event:
    return Event(**(dict(row._mapping) | {"body": json.loads(row.body)}))


def _digest(event: Event) -> str:
    """SHA-256 over everything an event says, and the digest of the one before."""
    said = ["genloom ledger 1", event.seq, event.id, event.at, event.kind, event.body, event.previous]
    return hashlib.sha256(_canonical(said).encode()).hexdigest()


def _canonical(value: Any) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
