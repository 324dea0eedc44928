"""The output of a verb: lines or JSON on standard output, progress on standard error."""

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
    """The progress of a piece of work."""

    def update(self, done: float, note: str = "") -> None: ...


@dataclass(frozen=True)
class Console:
    """With `is_json`, standard output carries exactly one JSON object, the result; otherwise lines for people."""

    is_json: bool = False

    def print_line(self, line: str = "") -> None:
        """Print a line for people."""
        if not self.is_json:
            print(line, flush=True)

    @property
    def is_live(self) -> bool:
        """Whether standard output is a terminal, so that text can be shown as it is generated."""
        return not self.is_json and sys.stdout.isatty()

    def print_text(self, text: str) -> None:
        """Print generated text without a newline; on a terminal it cannot move the cursor or change colours."""
        if not self.is_json:
            safe_text = text.translate(_CONTROL_CHARS) if sys.stdout.isatty() else text
            print(safe_text, end="", flush=True)

    def print_note(self, line: str) -> None:
        """Print a line for people about the work in progress, on standard error."""
        if not self.is_json:
            print(line, file=sys.stderr, flush=True)

    def print_result(self, result: Mapping[str, Any]) -> None:
        """Print the result for scripts."""
        if self.is_json:
            print(json.dumps(result, indent=1, ensure_ascii=False, default=str), flush=True)

    @contextmanager
    def show_progress(self, title: str, total: float) -> Generator[ProgressBar]:
        """Show a bar on a terminal, else a line every few seconds; `update(done, note)` takes `done` up to `total`."""
        if not sys.stderr.isatty():
            yield _PlainProgressBar(title, total, is_silent=self.is_json)
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(compact=True))
        description, note = TextColumn("{task.description}"), TextColumn("{task.fields[note]}", markup=False)
        with Progress(description, *columns, note, console=RichConsole(stderr=True)) as progress:
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


def quote_name(name: str) -> str:
    """Return a name as it must be typed in a shell."""
    return f'"{name}"' if " " in name else name
