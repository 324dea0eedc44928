"""Typed input: lines with history and editing on a terminal, and questions of several lines."""

import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_HISTORY_LENGTH = 1000
_BLOCK_QUOTES = '"""'


@dataclass(frozen=True)
class PromptInput:
    """Standard input; a prompt is shown only on a terminal."""

    is_terminal: bool

    def read(self, prompt: str, initial_text: str = "") -> str:
        """Read a question: one line, continued after a backslash at its end, or a block in triple quotes.

        `initial_text` is in the line already, to be edited. The end of the input ends a question that has begun; raises
        EOFError if none has.
        """
        line = self._read_line(prompt, initial_text)
        if line.startswith(_BLOCK_QUOTES):
            return self._read_block(line.removeprefix(_BLOCK_QUOTES))
        with suppress(EOFError):
            while line.endswith("\\"):
                line = line[:-1] + "\n"
                line += self._read_line("… ")
        return line.removesuffix("\n")

    def _read_block(self, line: str) -> str:
        lines = [line]
        with suppress(EOFError):
            while _BLOCK_QUOTES not in lines[-1]:
                lines.append(self._read_line("… "))
        lines[-1] = lines[-1].partition(_BLOCK_QUOTES)[0]
        return "\n".join(lines).strip("\n")

    def _read_line(self, prompt: str, initial_text: str = "") -> str:
        if not self.is_terminal:
            return input().removesuffix("\r")  # of a file from Windows
        import readline

        readline.set_startup_hook((lambda: readline.insert_text(initial_text)) if initial_text else None)
        try:
            return input(prompt)
        finally:
            readline.set_startup_hook(None)


@contextmanager
def open_prompt_input(history_path: Path) -> Generator[PromptInput]:
    """Open standard input; lines typed on a terminal are saved in `history_path`, if it can be read and written."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not is_terminal:
        yield PromptInput(is_terminal)
        return
    import readline

    readline.set_history_length(_HISTORY_LENGTH)
    with suppress(OSError):
        readline.read_history_file(history_path)
    try:
        yield PromptInput(is_terminal)
    finally:
        with suppress(OSError):
            history_path.parent.mkdir(parents=True, exist_ok=True)
            history_path.touch(mode=0o600)
            readline.write_history_file(history_path)
