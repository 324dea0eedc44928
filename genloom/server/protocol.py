"""HTTP as uvicorn speaks it, with limits on what comes before a request: time, size and number of connections."""

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from genloom.server.errors import APIError, build_error_body, get_status

HEADER_SECONDS = 15.0
MAX_CONNECTIONS = 12_000


class GuardedProtocol(H11Protocol):
    """One connection; it is closed if the headers of a request do not arrive in time."""

    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(APIError("server.too_many_connections", headers={"retry-after": "5"}))
            return
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self._end_slow_headers)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        is_waiting = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        if not is_waiting:
            self._stop_header_timer()
        elif self._header_timer is None:  # the beginning of a further request
            self._header_timer = self.loop.call_later(HEADER_SECONDS, self._end_slow_headers)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or has headers above the limit of `h11_max_incomplete_event_size`."""
        self._refuse(APIError("server.bad_http"))

    def _end_slow_headers(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self._refuse(APIError("server.headers_too_slow"))

    def _refuse(self, error: APIError) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        status, body = get_status(error), json.dumps(build_error_body(error)).encode()
        headers: list[tuple[Any, Any]] = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
            *error.headers.items(),
        ]
        start = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
