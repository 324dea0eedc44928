"""MCP servers as sources of tools: a command on this machine, or an address. What they say is data."""

import concurrent.futures
import shlex
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from genloom.assistant.tools import mcp_stdio
from genloom.assistant.tools.tool import (
    MAX_TOOLS,
    Tool,
    ToolResult,
    bound_description,
    build_result,
    to_tool_name,
)
from genloom.errors import GenloomError, format_message

CONNECT_SECONDS, CALL_SECONDS = 20.0, 25.0
MAX_RESPONSE_BYTES = 16 << 20  # of a server at an address, in one response
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass
class McpServer:
    """A connection to a server; a call that takes too long ends it."""

    target: str  # a command with its arguments, or an address
    call_seconds: float = CALL_SECONDS
    connect_seconds: float = CONNECT_SECONDS
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=mcp_stdio.MAX_ERROR_LINES))
    _stack: ExitStack = field(default_factory=ExitStack)
    _portal: Any = None
    _client: Any = None

    @property
    def label(self) -> str:
        """The server as a person is shown it."""
        if is_address(self.target):
            return urlsplit(self.target).hostname or self.target[:60]
        return " ".join(word.rpartition("/")[2] for word in shlex.split(self.target))[:60]

    def connect(self) -> None:
        """Start the server or reach it; raise GenloomError if it does not answer in time."""
        try:
            from anyio.from_thread import start_blocking_portal
            from mcp import Client
        except ImportError:
            raise GenloomError("tools.package_missing", package="mcp", purpose="The use of MCP servers") from None
        transport = self._build_transport()
        self._portal = self._stack.enter_context(start_blocking_portal())
        client = Client(transport, read_timeout_seconds=self.connect_seconds, cache=None)
        try:
            self._client = self._stack.enter_context(self._portal.wrap_async_context_manager(client))
        except Exception as error:  # of a server of others: whatever it does, it costs an error
            self._end()
            raise GenloomError("tools.server_unreachable", server=self.label, reason=self._explain(error)) from None

    def list_tools(self) -> list[Tool]:
        """Return the tools of the server, with names and descriptions of bounded size."""
        found: list[Any] = []
        cursor: str | None = None
        try:
            while len(found) < MAX_TOOLS:
                page = self._call(lambda at=cursor: self._client.list_tools(cursor=at), self.connect_seconds)
                found += page.tools
                cursor = page.next_cursor
                if not cursor:
                    break
        except Exception as error:
            self._end()
            raise GenloomError("tools.server_unreachable", server=self.label, reason=self._explain(error)) from None
        return [self._build_tool(each) for each in found[:MAX_TOOLS]]

    def call_tool(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call a tool by the name that the server gave it; an error or a long wait is a result."""
        if self._client is None:
            return ToolResult(format_message("tools.server_ended", server=self.label), is_error=True)
        try:
            answer = self._call(lambda: self._client.call_tool(name, dict(arguments)), self.call_seconds)
        except TimeoutError:
            self._end()
            text = format_message("tools.too_slow", name=name, seconds=f"{self.call_seconds:g}")
            return ToolResult(text, is_error=True)
        except Exception as error:
            is_gone = not hasattr(error, "error")  # an MCPError is an answer of a server that lives
            if is_gone:
                self._end()
            return build_result(self._explain(error), is_error=True)
        return read_result(answer)

    def close(self) -> None:
        """End the connection, and the process of a command with everything that it started."""
        self._end()

    def _call(self, begin: Callable[[], Any], seconds: float) -> Any:
        """Return the result of a coroutine of the client; raise TimeoutError if it takes longer."""

        async def run() -> Any:
            return await begin()

        future = self._portal.start_task_soon(run)
        try:
            return future.result(seconds)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise TimeoutError from None

    def _end(self) -> None:
        stack, self._stack, self._client, self._portal = self._stack, ExitStack(), None, None
        with suppress(Exception):  # of a server that was killed
            stack.close()

    def _build_transport(self) -> AbstractAsyncContextManager[Any]:
        if not is_address(self.target):
            return mcp_stdio.open_stdio(split_command(self.target), self.errors)
        return open_http(check_address(self.target))

    def _build_tool(self, listed: Any) -> Tool:
        name = str(listed.name)
        parameters = listed.input_schema if isinstance(listed.input_schema, dict) else {}

        def run(arguments: Mapping[str, Any]) -> ToolResult:
            return self.call_tool(name, arguments)

        return Tool(
            to_tool_name(name), bound_description(listed.description or ""), parameters, run, f"server {self.label}"
        )

    def _explain(self, error: BaseException) -> str:
        """Return the reason of a failure: the innermost error, and what the server wrote last."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        last = f" ({self.errors[-1]})" if self.errors else ""
        return f"{str(error).strip() or type(error).__name__}{last}"[:400]


def read_result(answer: Any) -> ToolResult:
    """Return the texts of an answer; of other content only what it is."""
    parts = []
    for block in answer.content:
        if block.type == "text":
            parts.append(block.text)
        elif block.type == "resource" and hasattr(block.resource, "text"):
            parts.append(block.resource.text)
        else:
            parts.append(f"({block.type})")
    if not parts and answer.structured_content is not None:
        return build_result(answer.structured_content, bool(answer.is_error))
    return build_result("\n".join(parts), bool(answer.is_error))


def is_address(target: str) -> bool:
    return target.startswith(("http://", "https://"))


def split_command(target: str) -> list[str]:
    """Return the words of a command; raise GenloomError for one that a shell could not read either."""
    try:
        words = shlex.split(target)
    except ValueError as error:
        raise GenloomError("tools.bad_server", target=target[:100], reason=str(error)) from None
    if not words:
        raise GenloomError("tools.bad_server", target=target[:100], reason="it is empty")
    return words


def check_address(target: str) -> str:
    """Return an address; raise GenloomError for one that would send data in the clear to another machine."""
    parts = urlsplit(target)
    if not parts.hostname or (parts.scheme == "http" and parts.hostname not in _LOCAL_HOSTS):
        raise GenloomError("tools.bad_server", target=target[:100], reason="use https:// for another machine")
    return target


@asynccontextmanager
async def open_http(address: str) -> AsyncGenerator[Any]:
    """Yield the streams of messages from and to an address; no response is read beyond MAX_RESPONSE_BYTES."""
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    class BoundedTransport(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: Any) -> Any:
            response = await super().handle_async_request(request)
            response.stream = _bound_stream(response.stream)
            return response

    async with (
        httpx2.AsyncClient(transport=BoundedTransport(), timeout=httpx2.Timeout(30, read=300)) as client,
        streamable_http_client(address, http_client=client) as streams,
    ):
        yield streams


def _bound_stream(stream: Any) -> Any:
    import httpx2

    class BoundedStream(httpx2.AsyncByteStream):
        async def __aiter__(self) -> Any:
            size = 0
            async for chunk in stream:
                size += len(chunk)
                if size > MAX_RESPONSE_BYTES:
                    raise OSError(format_message("tools.server_flooded", limit=MAX_RESPONSE_BYTES >> 20))
                yield chunk

        async def aclose(self) -> None:
            await stream.aclose()

    return BoundedStream()
