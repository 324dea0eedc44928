"""How a verb speaks: lines or JSON on standard output, progress on standard error."""

import json
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

_SECONDS_BETWEEN_LINES = 5.0
_CONTROL_CHARS = {n: "\ufffd" for n in (*range(32), *range(127, 160)) if chr(n) not in "\n\t"}


class ProgressBar(Protocol):
    """Shows how far a piece of work is."""

    def update(self, done: float, note: str = "") -> None: ...


@dataclass(frozen=True)
class Console:
    """With `json`, standard output carries exactly one JSON object, the result; otherwise lines for people."""

    is_json: bool = False

    def print_line(self, line: str = "") -> None:
        """A line for people."""
        if not self.is_json:
            print(line, flush=True)

    @property
    def is_live(self) -> bool:
        """Whether a person watches standard output, so that text can appear as it is written."""
        return not self.is_json and sys.stdout.isatty()

    def print_text(self, text: str) -> None:
        """What a model wrote, without a line's end; on a terminal it cannot move the cursor or change colours."""
        if not self.is_json:
            safe_text = text.translate(_CONTROL_CHARS) if sys.stdout.isatty() else text
            print(safe_text, end="", flush=True)

    def print_note(self, line: str) -> None:
        """A line for people about the work under way, beside the result."""
        if not self.is_json:
            print(line, file=sys.stderr, flush=True)

    def print_result(self, result: Mapping[str, Any]) -> None:
        """The result for scripts."""
        if self.is_json:
            print(json.dumps(result, indent=1, ensure_ascii=False, default=str), flush=True)

    @contextmanager
    def show_progress(self, title: str, total: float) -> Generator[ProgressBar]:
        """A bar on a terminal, else now and then a line; `update(done, note)` with `done` growing up to `total`."""
        if not sys.stderr.isatty():
            yield _PlainProgressBar(title, total, is_silent=self.is_json)
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(compact=True))
        description, note = TextColumn("{task.description}"), TextColumn("{task.fields[note]}", markup=False)
        with Progress(description, *columns, note, console=Console(stderr=True)) as progress:
            task = progress.add_task(title, total=total, note="")
            yield _RichProgressBar(lambda done, message: progress.update(task, completed=done, note=message))


@dataclass
class _PlainProgressBar:
    title: str
    total: float
    is_silent: bool
    next_at: float = field(default_factory=lambda: time.monotonic() + _SECONDS_BETWEEN_LINES)

    def update(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        if self.is_silent or now < self.next_at:
            return
        self.next_at = now + _SECONDS_BETWEEN_LINES
        percent = 100 * done / self.total if self.total else 100
        print(f"{self.title} {percent:.0f} %  {note}".rstrip(), file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _RichProgressBar:
    update_task: Any

    def update(self, done: float, note: str = "") -> None:
        self.update_task(done, note)


def format_bytes(count: float) -> str:
    """A number of bytes for people: `1.1 MB`."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} bytes"


def format_duration(seconds: float) -> str:
    """A time for people: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    total_seconds = round(seconds)
    if total_seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{total_seconds} s"
    if total_seconds < 3600:
        return f"{total_seconds // 60} min {total_seconds % 60} s"
    return f"{total_seconds // 3600} h {total_seconds % 3600 // 60} min"


def format_table(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def quote_name(name: str) -> str:
    """A name as it has to be typed."""
    return f'"{name}"' if " " in name else name
