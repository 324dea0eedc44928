"""How a verb speaks: lines or JSON on standard output, progress on standard error."""

import json
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

_SECONDS_BETWEEN_LINES = 5.0
_CONTROLS = {n: "\ufffd" for n in (*range(32), *range(127, 160)) if chr(n) not in "\n\t"}


class Bar(Protocol):
    """Shows how far a piece of work is."""

    def update(self, done: float, note: str = "") -> None: ...


@dataclass(frozen=True)
class Screen:
    """With `json`, standard output carries exactly one JSON object, the result; otherwise lines for people."""

    json: bool = False

    def say(self, line: str = "") -> None:
        """A line for people."""
        if not self.json:
            print(line, flush=True)

    @property
    def live(self) -> bool:
        """Whether a person watches standard output, so that text can appear as it is written."""
        return not self.json and sys.stdout.isatty()

    def text(self, text: str) -> None:
        """What a model wrote, without a line's end; on a terminal it cannot move the cursor or change colours."""
        if not self.json:
            shown = text.translate(_CONTROLS) if sys.stdout.isatty() else text
            print(shown, end="", flush=True)

    def note(self, line: str) -> None:
        """A line for people about the work under way, beside the result."""
        if not self.json:
            print(line, file=sys.stderr, flush=True)

    def result(self, facts: Mapping[str, Any]) -> None:
        """The result for scripts."""
        if self.json:
            print(json.dumps(facts, indent=1, ensure_ascii=False, default=str), flush=True)

    @contextmanager
    def progress(self, title: str, total: float) -> Generator[Bar]:
        """A bar on a terminal, else now and then a line; `update(done, note)` with `done` growing up to `total`."""
        if not sys.stderr.isatty():
            yield _Lines(title, total, silent=self.json)
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(compact=True))
        description, note = TextColumn("{task.description}"), TextColumn("{task.fields[note]}", markup=False)
        with Progress(description, *columns, note, console=Console(stderr=True)) as progress:
            task = progress.add_task(title, total=total, note="")
            yield _Drawn(lambda done, said: progress.update(task, completed=done, note=said))


@dataclass
class _Lines:
    title: str
    total: float
    silent: bool
    next_at: float = field(default_factory=lambda: time.monotonic() + _SECONDS_BETWEEN_LINES)

    def update(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        if self.silent or now < self.next_at:
            return
        self.next_at = now + _SECONDS_BETWEEN_LINES
        share = 100 * done / self.total if self.total else 100
        print(f"{self.title} {share:.0f} %  {note}".rstrip(), file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Drawn:
    draw: Any

    def update(self, done: float, note: str = "") -> None:
        self.draw(done, note)


def size(count: float) -> str:
    """A number of bytes for people: `1.1 MB`."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    """A time for people: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def quoted(name: str) -> str:
    """A name as it has to be typed."""
    return f'"{name}"' if " " in name else name
