"""The answer to one request: security headers, a request id, errors before and within a stream, and the log's line."""

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Message, Scope, Send

from genloom.errors import GenloomError
from genloom.server.body import BodyReader
from genloom.server.errors import build_error_body, build_error_response
from genloom.server.metrics import Metrics

ACCESS_LOGGER = logging.getLogger("genloom.server.access")
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self' blob:; frame-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types lit-html dompurify genloom"
)
_SECURITY_HEADERS = {
    b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), payment=(), usb=()",
    b"cache-control": b"no-store",
}
_EXPOSED = b"x-request-id, x-genloom-output-id, retry-after, retry-after-ms, x-should-retry"
_REQUEST_HEADERS = re.compile(r"[a-z0-9, -]{1,1000}")
_PIECES_AT_ONCE = 16
_METHODS = b"GET, POST, PUT, PATCH, DELETE"


class Answer:
    """The ASGI `send` of one request; what an application sends passes through it."""

    def __init__(
        self,
        send: Send,
        scope: Scope,
        metrics: Metrics,
        build_error: Callable[[GenloomError], Response] = build_error_response,
    ):
        self._send, self._scope, self._metrics, self._build_error = send, scope, metrics, build_error
        self.id = secrets.token_hex(8)
        self.route, self.user = "", ""
        self.status = 0
        self.is_complete = False
        self.unread_body: BodyReader | None = None
        self._is_stream, self._num_pieces = False, 0
        self._origin = b""
        self._started_at = time.perf_counter()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.unread_body:
                await self.unread_body.discard()
            message = {**message, "headers": self._complete_headers(message.get("headers", []))}
        elif message["type"] == "http.response.body":
            self.is_complete = not message.get("more_body", False)
        await self._send(message)
        self._num_pieces += 1
        if message.get("more_body") and self._num_pieces % _PIECES_AT_ONCE == 0:
            await asyncio.sleep(0)  # else a stream whose client is gone, and that waits for nothing, would never end

    def allow_origin(self, origin: str) -> None:
        """Let the pages of this origin read the answer."""
        self._origin = origin.encode()

    async def send_preflight(self, headers: dict[bytes, list[bytes]], seconds: int) -> None:
        """Answer a preflight request of a listed origin: which methods and headers its pages may send."""
        wanted = headers.get(b"access-control-request-headers", [b""])[0].decode("latin-1").lower()
        allowed = wanted if _REQUEST_HEADERS.fullmatch(wanted) else "authorization, content-type"
        preflight = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", allowed.encode()),
            (b"access-control-max-age", str(seconds).encode()),
        ]
        await self({"type": "http.response.start", "status": 204, "headers": preflight})
        await self({"type": "http.response.body", "body": b""})

    async def send_error(self, error: GenloomError) -> None:
        """Send an error as the whole answer, or as the last event of a stream."""
        if self.is_complete:
            return
        if not self.status:
            response = self._build_error(error)
            await self({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
            await self({"type": "http.response.body", "body": response.body})
        elif self._is_stream:
            event = f"data: {json.dumps(build_error_body(error))}\n\n"
            await self({"type": "http.response.body", "body": event.encode()})
        # Any other answer is cut off: the connection closes before the length that was announced.

    async def end(self) -> None:
        """End a stream of events."""
        if self._is_stream and not self.is_complete:
            await self({"type": "http.response.body", "body": b""})

    def record(self) -> None:
        """Write the line of the log, and count the request."""
        seconds = time.perf_counter() - self._started_at
        method, route = self._scope["method"][:20], self.route or "unknown"
        self._metrics.requests.labels(method if self.route else "", route, self.status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        path = self._scope["path"][:200].encode("unicode_escape").decode()
        ACCESS_LOGGER.info(
            "%s %s %d %.0f ms user=%s id=%s", method, path, self.status, seconds * 1000, self.user, self.id
        )

    def _complete_headers(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        given = {name.lower(): value for name, value in headers}
        self._is_stream = given.get(b"content-type", b"").startswith(b"text/event-stream")
        completed = [*headers, (b"x-request-id", self.id.encode())]
        completed += [(name, value) for name, value in _SECURITY_HEADERS.items() if name not in given]
        if self._origin:
            completed += [(b"access-control-allow-origin", self._origin), (b"access-control-expose-headers", _EXPOSED)]
        completed.append((b"vary", b"Origin"))
        if self.unread_body and not self.unread_body.is_complete:  # the rest of it is not worth waiting for
            completed.append((b"connection", b"close"))
        return completed
