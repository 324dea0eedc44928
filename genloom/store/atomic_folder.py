"""A context manager that creates a folder of the store atomically."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from genloom.store import files

Result = TypeVar("Result")


class StagedFolder(Generic[Result]):
    """`with staged as folder:` yields an empty folder; if the block succeeds, it joins the store as `staged.result`.

    If the block fails, the folder is removed. If the process dies, the next writer to that place removes it.
    """

    result: Result

    def __init__(self, parent: Path, finish: Callable[[Path], Result]) -> None:
        self._parent = parent
        self._finish = finish
        self._stack = ExitStack()

    def __enter__(self) -> Path:
        files.remove_stale_drafts(self._parent)
        self._draft = self._stack.enter_context(files.temp_folder(self._parent))
        return self._draft

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if error is not None:
            return self._stack.__exit__(kind, error, trace)
        with self._stack:
            self.result = self._finish(self._draft)
        return None
