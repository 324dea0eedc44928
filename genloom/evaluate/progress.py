"""The interface through which an evaluation reports its progress."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class ProgressBar(Protocol):
    """The progress of a piece of work."""

    def update(self, done: float, note: str = "") -> None: ...


class Progress(Protocol):
    """Shows how far an evaluation is; the console of the command line is one."""

    def print_note(self, line: str) -> None: ...

    def show_progress(self, title: str, total: float) -> AbstractContextManager[ProgressBar]: ...


class SilentProgress:
    """Progress that nobody sees."""

    def print_note(self, line: str) -> None:
        pass

    @contextmanager
    def show_progress(self, title: str, total: float) -> Generator[ProgressBar]:
        yield self

    def update(self, done: float, note: str = "") -> None:
        pass


SILENT = SilentProgress()
