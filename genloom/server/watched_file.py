"""A small file that several processes read and change: read again when it changes, replaced under a lock."""

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from genloom.store.files import lock_folder, write_atomic

Content = TypeVar("Content")
_LOOK_SECONDS = 0.2  # how long a change may go unnoticed


class WatchedFile(Generic[Content]):
    """`read` returns the present content at the cost of one look at the file's time, at most five times a second."""

    def __init__(self, path: Path, parse: Callable[[bytes], Content], dump: Callable[[Content], str]):
        self.path, self._parse, self._dump = path, parse, dump
        self._lock = threading.Lock()
        self._content, self._stamp, self._looked_at = parse(b""), (0, 0, 0), 0.0

    def read(self) -> Content:
        """Return the content, which the caller must not change."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            with self._lock:
                stamp = _get_stamp(self.path)
                if stamp != self._stamp:
                    self._content, self._stamp = self._load(), stamp
                self._looked_at = now
        return self._content

    @contextmanager
    def open_for_change(self) -> Generator[Content]:
        """Yield the content to change; it is written, for this user only, if the block succeeds."""
        with lock_folder(self.path.parent):
            content = self._load()
            yield content
            write_atomic(self.path, self._dump(content), 0o600)
            self._looked_at = 0.0

    def _load(self) -> Content:
        try:
            return self._parse(self.path.read_bytes())
        except FileNotFoundError:
            return self._parse(b"")


def _get_stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino
