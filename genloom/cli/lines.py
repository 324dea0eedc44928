"""Lines that a person types: with history and editing on a terminal, and questions of several lines."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_REMEMBERED = 1000
_BLOCK = '"""'


@dataclass(frozen=True)
class Lines:
    """Standard input; from a file or a pipe nothing is prompted for."""

    terminal: bool

    def read(self, prompt: str, draft: str = "") -> str:
        """The next line, joined with those that belong to it: after a backslash at its end, or up to closing quotes.

        `draft` stands there already, to be changed. Raises EOFError at the end of the input.
        """
        line = self._line(prompt, draft)
        if line.startswith(_BLOCK):
            return self._block(line.removeprefix(_BLOCK))
        while line.endswith("\\"):
            line = line[:-1] + "\n" + self._line("… ")
        return line

    def _block(self, line: str) -> str:
        lines = [line]
        while _BLOCK not in lines[-1]:
            lines.append(self._line("… "))
        lines[-1] = lines[-1][: lines[-1].index(_BLOCK)]
        return "\n".join(lines).strip("\n")

    def _line(self, prompt: str, draft: str = "") -> str:
        if not self.terminal:
            return input()
        import readline

        readline.set_startup_hook((lambda: readline.insert_text(draft)) if draft else None)
        try:
            return input(prompt)
        finally:
            readline.set_startup_hook(None)


@contextmanager
def lines(history: Path) -> Generator[Lines]:
    """The lines of standard input; what is typed on a terminal is remembered in the file `history`."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not terminal:
        yield Lines(terminal)
        return
    import readline

    readline.set_history_length(_REMEMBERED)
    if history.is_file():
        readline.read_history_file(history)
    try:
        yield Lines(terminal)
    finally:
        history.parent.mkdir(parents=True, exist_ok=True)
        history.touch(mode=0o600)
        readline.write_history_file(history)
