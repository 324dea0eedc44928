"""The events of a ledger as objects of a storage: each is written once, under the number of its first event.

The storage decides who writes the next events: an object with a number is created only once. Every machine keeps the
events in a database of its own too, which it brings up to date before it reads or writes.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genloom.errors import GenloomError
from genloom.store.mirror import LEDGER_PREFIX, map_in_threads
from genloom.store.storage import ABSENT, ObjectStorage

_KEY = re.compile(rf"{LEDGER_PREFIX}(\d{{12}})\.jsonl")

Row = dict[str, Any]  # of the table of events


@dataclass(frozen=True)
class EventObjects:
    """The events of a ledger in a storage."""

    storage: ObjectStorage

    def read_after(self, seq: int) -> Iterator[list[Row]]:
        """Yield the rows of the events after a number, some at a time, in their order."""
        try:
            rows = self._read_rows(_make_key(seq + 1))
        except FileNotFoundError:
            return
        yield rows
        keys = sorted(self.storage.list_objects(LEDGER_PREFIX))
        later = [key for key in keys if (match := _KEY.fullmatch(key)) and int(match[1]) > rows[-1]["seq"]]
        yield from map_in_threads(self._read_rows, later)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write events; ObjectConflict if another has written events with these numbers."""
        lines = [json.dumps(dict(row), sort_keys=True) + "\n" for row in rows]
        self.storage.write(_make_key(rows[0]["seq"]), "".join(lines).encode(), ABSENT)

    def _read_rows(self, key: str) -> list[Row]:
        try:
            rows = [json.loads(line) for line in self.storage.read(key).splitlines()]
            if not rows or not all(isinstance(row, dict) and type(row.get("seq")) is int for row in rows):
                raise ValueError("it has no events")
        except ValueError as error:
            raise GenloomError("store.storage_event", key=key, url=self.storage.url, reason=error) from error
        return rows


def _make_key(seq: int) -> str:
    return f"{LEDGER_PREFIX}{seq:012d}.jsonl"
