"""The body of a request: bounded in size and time, and JSON only where it can be read safely."""

import asyncio
import time

from pydantic_core import from_json
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from genloom.server.errors import APIError

_SLOWEST_BYTES_PER_SECOND = 16_000
_MAX_DISCARDED_BYTES = 1_000_000
_DISCARD_SECONDS = 1.0


class BodyReader:
    """The ASGI `receive` of one request."""

    def __init__(self, receive: Receive, max_bytes: int, seconds: float):
        self._receive, self.max_bytes = receive, max_bytes
        self._deadline = time.monotonic() + seconds
        self._num_bytes = 0
        self._content: bytes | None = None
        self.is_complete = self._is_late = False

    async def __call__(self) -> Message:
        if self._content is not None:
            content, self._content = self._content, None
            return {"type": "http.request", "body": content, "more_body": False}
        if self.is_complete:
            return await self._receive()
        seconds = self._deadline + self._num_bytes / _SLOWEST_BYTES_PER_SECOND - time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
        except TimeoutError:
            self._is_late = True
            raise APIError("server.body_too_slow") from None
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self.max_bytes:
            raise build_size_error(self.max_bytes)
        self.is_complete = not message.get("more_body", False)
        return message

    async def read_all(self) -> bytes:
        """Return the whole body, which the application then receives in one piece."""
        pieces = []
        while not self.is_complete:
            message = await self()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            pieces.append(message.get("body", b""))
        self._content = b"".join(pieces)
        return self._content

    async def discard(self) -> None:
        """Read what is left of a short body: clients look at an answer only after they have sent all of it."""
        num_bytes = 0
        try:
            async with asyncio.timeout(_DISCARD_SECONDS):
                while not self.is_complete and not self._is_late and num_bytes < _MAX_DISCARDED_BYTES:
                    message = await self._receive()
                    num_bytes += len(message.get("body", b""))
                    self.is_complete = not message.get("more_body", False)
        except TimeoutError:
            pass


def check_json(body: bytes) -> None:
    """Refuse what is not JSON, is nested too deeply, or has numbers and characters that do not exist."""
    if not body:
        return
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise APIError("server.bad_json", public_code="invalid_json", reason=str(error)) from None


def build_size_error(limit: int) -> APIError:
    """Return the 413 for a body above the limit."""
    return APIError("server.body_too_large", limit=limit)
