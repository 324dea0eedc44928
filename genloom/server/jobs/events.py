"""Numbered events of the server, which browsers follow."""

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from genloom.api.workspace import Workspace
from genloom.server.access import User
from genloom.server.sqlite import Database
from genloom.store.clock import get_now

MAX_EVENTS = 10_000  # that can be read again
HEARTBEAT_SECONDS = 15.0
TRANSIENT_TYPES = ("job.progress", "job.text")  # also in the job itself, so they are not stored
_NUMBERS_AT_ONCE = 10_000  # reserved in the file, so that numbers rise across restarts though few events are stored
_MAX_STORED_NUMBERS = 100_000

_STEPS = (
    """
    CREATE TABLE events (
        number INTEGER PRIMARY KEY, type TEXT NOT NULL, at TEXT NOT NULL, owner TEXT NOT NULL, data TEXT NOT NULL
    );
    CREATE TABLE numbers (reserved INTEGER NOT NULL);
    INSERT INTO numbers VALUES (0)
    """,
)


@dataclass(frozen=True)
class Event:
    """Something that happened to what `owner` made; "" is everybody's."""

    number: int
    type: str
    at: str
    owner: str
    data: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"id": self.number, "type": self.type, "at": self.at, "data": self.data}


class Events:
    """The newest events: published from any thread, followed by any number of browsers."""

    def __init__(self, workspace: Workspace, config: Any = None) -> None:
        self._path = workspace.folder / "events.sqlite"
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._followers: set[asyncio.Event] = set()

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._database = Database(self._path, _STEPS)
        self._number = self._reserved = self._database.read("SELECT reserved FROM numbers")[0]["reserved"]
        rows = self._database.read("SELECT * FROM events ORDER BY number DESC LIMIT ?", (MAX_EVENTS,))
        events = [Event(*list(row)[:4], json.loads(row["data"])) for row in reversed(rows)]
        self._events = deque(events, maxlen=MAX_EVENTS)
        self._dropped = events[0].number - 1 if len(events) == MAX_EVENTS else self._number - _MAX_STORED_NUMBERS

    async def stop(self) -> None:
        self._loop = None
        self._wake_followers()
        self._database.close()

    @property
    def last(self) -> int:
        """The number of the newest event, or a later one that none will have."""
        return self._number

    def publish(self, type: str, data: Mapping[str, Any], owner: str = "") -> None:
        """Add an event about what `owner` made; "" is everybody's. It is stored before anyone sees it."""
        with self._lock:
            event = Event(self._number + 1, type, get_now().isoformat(timespec="microseconds"), owner, data)
            if type not in TRANSIENT_TYPES or event.number > self._reserved:
                self._store(event)
            if len(self._events) == MAX_EVENTS:
                self._dropped = self._events[0].number
            self._events.append(event)
            self._number = event.number
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake_followers)

    def read(self, user: User, after: int, limit: int = MAX_EVENTS) -> list[Event]:
        """Return the events of a user after a number; the first is a `reset` if some of them are gone."""
        with self._lock:
            events, dropped, last = list(self._events), self._dropped, self._number
        is_reset = after < dropped or after > last
        if is_reset:
            after = last
            first = [Event(last, "reset", get_now().isoformat(timespec="microseconds"), "", {})]
        else:
            first = []
        return [*first, *(e for e in events if e.number > after and (not e.owner or user.owns(e.owner)))][:limit]

    async def follow(self, user: User, after: int) -> AsyncGenerator[Event | None]:
        """Yield the events of a user after a number as they happen, and None as a sign of life."""
        flag = asyncio.Event()
        self._followers.add(flag)
        try:
            while self._loop is not None:
                flag.clear()
                last = self.last
                for event in self.read(user, after):
                    after = event.number
                    yield event
                after = max(after, last)
                try:
                    await asyncio.wait_for(flag.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield None
        finally:
            self._followers.discard(flag)

    def _store(self, event: Event) -> None:
        with self._database.transaction() as connection:
            if event.number > self._reserved:
                self._reserved = event.number + _NUMBERS_AT_ONCE
                connection.execute("UPDATE numbers SET reserved = ?", (self._reserved,))
            if event.type not in TRANSIENT_TYPES:
                row = (event.number, event.type, event.at, event.owner, json.dumps(event.data))
                connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
                connection.execute("DELETE FROM events WHERE number <= ?", (event.number - _MAX_STORED_NUMBERS,))

    def _wake_followers(self) -> None:
        for flag in self._followers:
            flag.set()
