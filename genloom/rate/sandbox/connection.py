"""A connection over two pipes between a judged program and its tests: messages are JSON objects of bounded size."""

import json
import os
import select
import time
from typing import Any

MAX_FRAME_BYTES = 4 << 20


class ProtocolError(Exception):
    """The other process sent something that is not a message, or ended."""


class TimeIsUp(Exception):
    """The other process did not answer in time."""


class Connection:
    """One end of the connection. With `is_judge`, the other end is not trusted, and has to answer in time."""

    def __init__(self, read_fd: int, write_fd: int, is_judge: bool, deadline: float) -> None:
        self.read_fd, self.write_fd, self.is_judge, self.deadline = read_fd, write_fd, is_judge, deadline

    def send(self, message: Any) -> None:
        data = json.dumps(message).encode()
        if len(data) > MAX_FRAME_BYTES:
            raise ValueError(f"the values are larger than {MAX_FRAME_BYTES >> 20} MB")
        data = len(data).to_bytes(4, "little") + data
        while data:
            if self.is_judge:  # the program may not read, so that a full pipe would block for ever
                self._wait([], [self.write_fd])
            try:
                data = data[os.write(self.write_fd, data[:4096]) :]
            except OSError:
                raise ProtocolError("it ended") from None

    def receive(self) -> Any:
        size = int.from_bytes(self._read(4), "little")
        if size > MAX_FRAME_BYTES:
            raise ProtocolError("its answer is too large")
        try:
            message = json.loads(self._read(size))
        except (ValueError, RecursionError):
            raise ProtocolError("its answer is not JSON") from None
        if not isinstance(message, dict):
            raise ProtocolError("its answer is not an object")
        return message

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            if self.is_judge:
                self._wait([self.read_fd], [])
            part = os.read(self.read_fd, min(size, 1 << 16))
            if not part:
                raise ProtocolError("it ended")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _wait(self, readable: list[int], writable: list[int]) -> None:
        seconds = self.deadline - time.monotonic()
        if seconds <= 0 or not any(select.select(readable, writable, [], seconds)):
            raise TimeIsUp
