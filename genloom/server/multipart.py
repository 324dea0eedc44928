"""Forms with files, read part by part as they arrive: no part is in memory, or anywhere else before it is written."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from genloom.server.errors import APIError


@dataclass(frozen=True)
class PartBegin:
    """A part begins; `filename` is None for a plain field."""

    name: str
    filename: str | None


@dataclass(frozen=True)
class PartEnd:
    """The part is complete."""


class _Collector:
    """The callbacks of the parser, which collect what one chunk of the body holds."""

    def __init__(self) -> None:
        self.events: list[PartBegin | bytes | PartEnd] = []
        self.is_complete = False
        self._field = self._value = b""
        self._headers: dict[bytes, bytes] = {}

    def on_part_begin(self) -> None:
        self._headers = {}

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        filename = options.get(b"filename")
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self.events.append(PartBegin(name, None if filename is None else filename.decode("utf-8", "replace")))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.events.append(data[start:end])

    def on_part_end(self) -> None:
        self.events.append(PartEnd())

    def on_end(self) -> None:
        self.is_complete = True


async def iter_parts(request: Request) -> AsyncGenerator[PartBegin | bytes | PartEnd]:
    """Yield the beginning, the bytes and the end of each part; APIError 400 for a form that is broken off."""
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary, collector = options.get(b"boundary", b""), _Collector()
    names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end", "headers_finished")
    callbacks: Any = {f"on_{name}": getattr(collector, f"on_{name}") for name in (*names, "end")}
    try:
        parser = MultipartParser(boundary, callbacks)
        async for chunk in request.stream():
            parser.write(chunk)
            events, collector.events = collector.events, []
            for event in events:
                yield event
    except FormParserError as error:
        raise APIError("studio.bad_form", reason=str(error)[:200].rstrip(".")) from None
    if not collector.is_complete:
        raise APIError("studio.bad_form", reason="it breaks off")
