"""Processes of the server that begin at once: a process that has loaded their libraries forks them.

Each process of the server spends seconds on loading libraries before it answers. A server of these tests starts many,
so that one process loads the libraries once (`python tests/server/warm.py`, the second half of this file) and becomes
every other by a fork. They are still processes of their own, with their own pipes, and end as those do.
"""

import asyncio
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

# What the processes load after they have started; they themselves are not among it, since they run as scripts.
LIBRARIES = (
    "genloom.server.jobs.work",
    "genloom.server.worker.questions",
    "genloom.server.engine.scheduler",
)
PACKAGE = "genloom.server."
CODE = struct.Struct("i")  # an identifier of a process, or the code that it has ended with
Start = Callable[..., Any]


class Nursery:
    """The process that forks, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def connect(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self.close()  # it could not load something
        if self._socket is None:
            self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with other:
                command = [sys.executable, "-P", __file__, str(other.fileno())]
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[other.fileno()])
        return self._socket

    def close(self) -> None:
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait()
            self._socket = None

    def wrap(self, create: Start) -> Start:
        """Return a function like `asyncio.create_subprocess_exec` that forks the processes of the server."""

        async def start(*command: str, **options: Any) -> Any:
            if command[0] == sys.executable and "-m" in command:
                module, *arguments = command[command.index("-m") + 1 :]
                if module.startswith(PACKAGE):
                    return await self.start(module, arguments, **options)
            return await create(*command, **options)

        return start

    async def start(self, module: str, arguments: list[str], **options: Any) -> "WarmProcess":
        """Start a module with pipes to its standard input and from its standard output."""
        read_in, write_in = os.pipe()
        read_out, write_out = os.pipe()
        read_state, write_state = os.pipe()
        log = options["stderr"].fileno() if options.get("stderr") else 2
        request = {
            "module": module,
            "arguments": arguments,
            "environment": dict(options.get("env") or os.environ),
            "folder": os.getcwd(),
            "has_session": options.get("start_new_session", False),
        }
        try:
            socket.send_fds(self.connect(), [json.dumps(request).encode()], [read_in, write_out, log, write_state])
        finally:
            for each in (read_in, write_out, write_state):
                os.close(each)
        state = os.fdopen(read_state, "rb", buffering=0)
        started = await asyncio.to_thread(state.read, CODE.size)
        if not started:
            state.close()
            os.close(write_in)
            os.close(read_out)
            raise OSError(f"{__file__} does not run")
        pid = CODE.unpack(started)[0]
        loop = asyncio.get_running_loop()
        stdout = asyncio.StreamReader(options.get("limit", 2**16), loop)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(read_out, "rb"))
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(write_in, "wb", buffering=0)
        )
        stdin = asyncio.StreamWriter(transport, protocol, None, loop)
        return WarmProcess(pid, stdin, stdout, state)


class WarmProcess:
    """What the server uses of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader, state: Any) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None
        self._state, self._ended = state, asyncio.Event()
        asyncio.get_running_loop().add_reader(state, self._end)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._state)
        code = self._state.read(CODE.size)
        self._state.close()
        self.returncode = CODE.unpack(code)[0] if code else -signal.SIGKILL
        self.stdin.close()
        self._ended.set()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def serve(connection: socket.socket) -> None:
    """Fork a process for each request, and tell how each has ended, until the other side is gone."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    states: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([connection, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            tell_ended(states)
        if connection in ready:
            message, pipes, _, _ = socket.recv_fds(connection, 1 << 20, 4)
            if not message:
                return
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (connection.fileno(), wake_read, wake_write, *states.values()):
                    os.close(each)
                become(json.loads(message), pipes)
            states[pid] = pipes.pop()
            for each in pipes:
                os.close(each)
            os.write(states[pid], CODE.pack(pid))


def tell_ended(states: dict[int, int]) -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            state = states.pop(ended[0])
            with suppress(BrokenPipeError):
                os.write(state, CODE.pack(os.waitstatus_to_exitcode(ended[1])))
            os.close(state)


def become(request: Mapping[str, Any], pipes: list[int]) -> None:
    """Run a module in this process, as `python -P -m` does."""
    code = 1
    try:
        if request["has_session"]:
            os.setsid()
        for number, pipe in enumerate(pipes[:3]):
            os.dup2(pipe, number)
        for pipe in pipes:
            os.close(pipe)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = ["", *request["arguments"]]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    from importlib import import_module

    for name in LIBRARIES:
        import_module(name)
    serve(socket.socket(fileno=int(sys.argv[1])))
