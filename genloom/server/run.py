"""Running a server: its sockets, its start, and its end, which lets open answers finish."""

import errno
import resource
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import replace

import uvicorn
from starlette.types import Receive, Scope, Send

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.app import build_app, build_ollama_app
from genloom.server.config import OLLAMA_PORT, Config, format_host, list_private_addresses
from genloom.server.guard import MAX_HEADER_BYTES, MAX_TARGET_BYTES, Guard
from genloom.server.protocol import MAX_CONNECTIONS, GuardedProtocol
from genloom.server.sessions import open_access

_BACKLOG = 2048


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it answers, and ends channels of events before it waits for answers."""

    def __init__(self, config: uvicorn.Config, guard: Guard, announce: Callable[[], None]):
        super().__init__(config)
        self.guard, self.announce = guard, announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.guard.end_channels()
        await super().shutdown(sockets)


def check_access(workspace: Workspace, config: Config) -> None:
    """Refuse an address that other machines can reach while there is no key and no account."""
    keys, _ = open_access(workspace, config)
    if config.is_open and not config.is_lan and not (keys.keys or keys.accounts):
        raise GenloomError("server.open_without_key", host=config.public_url or config.host)


def open_sockets(config: Config, num_ports: int = 1) -> tuple[list[socket.socket], Config]:
    """Listen on the addresses of the configuration, at its port or the next free one of `num_ports`.

    Returns the sockets, and the configuration with the port that was free.
    """
    hosts = [config.host, *(list_private_addresses() if config.is_lan else ())]
    if config.is_lan and len(hosts) == 1:
        raise GenloomError("server.no_lan")
    for port in range(config.port, config.port + num_ports):
        try:
            sockets = _bind_sockets(hosts, port)
        except OSError as error:
            is_last = port == config.port + num_ports - 1
            if is_last or error.errno != errno.EADDRINUSE:
                reason = (error.strerror or str(error)).lower()
                address = f"{format_host(error.filename)}:{port}"
                raise GenloomError("server.cannot_listen", address=address, reason=reason) from error
        else:
            return sockets, replace(config, port=sockets[0].getsockname()[1])
    raise AssertionError("the last port either was free or raised")


def run_server(
    workspace: Workspace, config: Config, sockets: list[socket.socket], announce: Callable[[], None]
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; `announce` is called once requests are answered."""
    _raise_file_limit()
    end_on_hangup()
    guard = build_app(workspace, config)
    ollama = build_ollama_app(guard) if config.is_ollama else None
    if ollama:
        sockets = [*sockets, *listen_as_ollama()]
    build_http_server(guard, config, announce, ollama).run(sockets=sockets)


def end_on_hangup() -> None:
    """Let SIGHUP, unless it is ignored, do in the main thread as SIGTERM, for which uvicorn answers what has begun."""
    is_main_thread = threading.current_thread() is threading.main_thread()
    if is_main_thread and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def listen_as_ollama() -> list[socket.socket]:
    """Listen on the port of Ollama, on this machine only."""
    sockets, _ = open_sockets(Config(port=OLLAMA_PORT))
    return sockets


def build_http_server(
    guard: Guard, config: Config, announce: Callable[[], None], ollama: Guard | None = None
) -> uvicorn.Server:
    """Return uvicorn's server of a guarded application, and of the one for the port of Ollama."""

    async def choose_app(scope: Scope, receive: Receive, send: Send) -> None:
        is_ollama = ollama is not None and scope["type"] == "http" and scope["server"][1] == ollama.config.port
        await (ollama if is_ollama else guard)(scope, receive, send)

    uvicorn_config = uvicorn.Config(
        choose_app if ollama else guard,
        http=GuardedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        access_log=False,  # the guard writes it, without queries
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES + MAX_TARGET_BYTES,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(config.shutdown_seconds),
    )
    return _Server(uvicorn_config, guard, announce)


def _bind_sockets(hosts: list[str], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sockets.append(listener := socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, port))
            listener.listen(_BACKLOG)
            port = listener.getsockname()[1]  # if it was 0
    except OSError as error:
        for each in sockets:
            each.close()
        error.filename = host
        raise
    return sockets


def _raise_file_limit() -> None:
    """Let this process have as many open connections as it may; each needs a file descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + 1000
    if soft != resource.RLIM_INFINITY and soft < wanted:
        possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
