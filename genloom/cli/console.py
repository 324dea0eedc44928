"""The output of a verb: lines or JSON on standard output, progress on standard error."""

import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from genloom.api.progress import ProgressBar, open_bar
from genloom.program import name_program
from genloom.text_format import escape_json_controls, remove_controls


@dataclass(frozen=True)
class Console:
    """With `is_json`, standard output carries exactly one JSON object, the result; otherwise lines for people."""

    is_json: bool = False
    printed_notes: set[str] = field(default_factory=set, repr=False, compare=False)  # see `print_note_once`

    def print_line(self, line: str = "") -> None:
        """Print a line for people, which may hold names and texts from outside."""
        if not self.is_json:
            _print_text(f"{remove_controls(line)}\n")

    def print_lines(self, lines: Iterable[str], indent: str = "") -> None:
        """Print lines for people, such as those of a table."""
        for line in lines:
            self.print_line(f"{indent}{line}")

    @property
    def is_live(self) -> bool:
        """Whether standard output is a terminal, so that text can be shown as it is generated."""
        return not self.is_json and sys.stdout.isatty()

    def print_text(self, text: str) -> None:
        """Print generated text without a newline; on a terminal it cannot move the cursor or change colours."""
        if not self.is_json:
            safe_text = remove_controls(text) if sys.stdout.isatty() else text
            _print_text(safe_text)

    def print_hint(self, line: str) -> None:
        """Print a line that says what to type next; its commands are named as they can be typed here."""
        self.print_line(name_program(line))

    def print_note(self, line: str) -> None:
        """Print a line for people about the work in progress, on standard error."""
        if not self.is_json:
            print(remove_controls(line), file=sys.stderr, flush=True)

    def print_note_once(self, line: str) -> None:
        """Print a note that several outputs have in common."""
        if line not in self.printed_notes:
            self.printed_notes.add(line)
            self.print_note(line)

    def print_result(self, result: Mapping[str, Any]) -> None:
        """Print the result for scripts."""
        if self.is_json:
            text = json.dumps(result, indent=1, ensure_ascii=False, default=str)
            _print_text(f"{escape_json_controls(text)}\n")

    def show_progress(self, title: str, total: float) -> AbstractContextManager[ProgressBar]:
        """Show a bar on a terminal, else a line every few seconds; `update(done, note)` takes `done` up to `total`."""
        return open_bar(title, total, is_silent=self.is_json)


def _print_text(text: str) -> None:
    print(text, end="", flush=True)
