"""An MCP server as a process of ours: its messages are bounded, and it ends with everything that it started."""

import os
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from genloom.errors import format_message

MAX_MESSAGE_BYTES = 4 << 20
MAX_ERROR_LINES = 20
_GRACE_SECONDS = 1.0


@asynccontextmanager
async def open_stdio(command: Sequence[str], errors: "deque[str]") -> AsyncGenerator[tuple[Any, Any]]:
    """Yield the streams of messages from and to a server; it is killed when the block ends.

    `errors` gets the last lines of its standard error. Raises OSError if it cannot be started.
    """
    import anyio
    from mcp.client.stdio import get_default_environment
    from mcp.shared.message import SessionMessage

    process = await anyio.open_process(
        list(command), env=get_default_environment(), start_new_session=sys.platform != "win32"
    )
    incoming, read_stream = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write_stream, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as tasks, incoming, read_stream, write_stream, outgoing:
            tasks.start_soon(_read_messages, process, incoming, errors)
            tasks.start_soon(_write_messages, process, outgoing, incoming)
            tasks.start_soon(_read_errors, process, errors)
            try:
                yield read_stream, write_stream
            finally:
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end_process(process)


async def _read_messages(process: Any, incoming: Any, errors: "deque[str]") -> None:
    import anyio
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    pending = bytearray()
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream):
        async with incoming:
            async for chunk in process.stdout:
                pending += chunk
                *lines, rest = pending.split(b"\n")
                pending = bytearray(rest)
                if max((len(line) for line in (*lines, pending)), default=0) > MAX_MESSAGE_BYTES:
                    errors.append(format_message("tools.server_flooded", limit=MAX_MESSAGE_BYTES >> 20))
                    return
                for line in filter(bytearray.strip, lines):
                    try:
                        message = SessionMessage(jsonrpc_message_adapter.validate_json(bytes(line), by_name=False))
                    except ValueError as error:
                        await incoming.send(error)
                    else:
                        await incoming.send(message)


async def _write_messages(process: Any, outgoing: Any, incoming: Any) -> None:
    import anyio

    try:
        async with outgoing:
            async for message in outgoing:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await process.stdin.send(text.encode("utf-8", "replace") + b"\n")
    except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
        await incoming.aclose()  # so that a request does not wait for an answer


async def _read_errors(process: Any, errors: "deque[str]") -> None:
    import anyio

    pending = b""
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream):
        async for chunk in process.stderr:
            *lines, pending = (pending + chunk)[-4000:].split(b"\n")
            errors.extend(line.decode("utf-8", "replace")[:300] for line in lines if line.strip())


async def _end_process(process: Any) -> None:
    """Close the input of the server, and kill it with its children unless it ends at once."""
    import anyio

    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    with anyio.move_on_after(_GRACE_SECONDS):
        while process.returncode is None:
            await anyio.sleep(0.01)
    if sys.platform == "win32":
        with suppress(ProcessLookupError):
            process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # also what a server that ended has left behind
    with anyio.move_on_after(_GRACE_SECONDS):
        await process.wait()
    for stream in (process.stdout, process.stderr):
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await stream.aclose()
    close = getattr(getattr(getattr(process, "_process", None), "_transport", None), "close", None)
    if callable(close):  # else it warns when it is collected, while a child still holds a pipe
        with suppress(PermissionError):
            close()
