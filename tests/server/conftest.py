"""The application of tests/server/reach.py, reached from this machine or a local network, and a running server."""

import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.api.workspace import Workspace
from genloom.server import keys, login, monitoring, pages
from genloom.server.app import build_guarded_app
from genloom.server.config import Config
from genloom.server.run import build_http_server, open_sockets
from tests.server.reach import LAN_ADDRESS, Reach, build_toy_router


@pytest.fixture(autouse=True)
def hash_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with little work: there are many in these tests."""
    from argon2 import PasswordHasher

    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("genloom.server.keys._get_hasher", lambda: hasher)
    keys._hash_unknown_password.cache_clear()


@pytest.fixture(scope="session")
def serving_home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a workspace with the models `tales`, which chats, `masks` and `blots`; tests use copies of it.

    Its marking key is made here, where it is the same in every run; a process of the server would draw another one, and
    a seed would give other answers every time.
    """
    workspace = Workspace(worlds.serving_workspace(tmp_path_factory.mktemp("serving")).root)
    workspace.keys.create_key("marking")
    return workspace.folder


@pytest.fixture(params=["loopback", "lan"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def build_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Reach]:
    """Return a function that builds the application for a way to reach it."""
    monkeypatch.setattr("genloom.server.config.list_addresses", lambda: [LAN_ADDRESS, "fd00::20"])
    monkeypatch.setattr("genloom.server.config.list_host_names", lambda: ["studio-pc", "studio-pc.local"])

    def build(mode: str = "loopback", **options: Any) -> Reach:
        config = Config(host="0.0.0.0" if mode == "lan" else "127.0.0.1", is_lan=mode == "lan", **options)
        done: list[str] = []
        routers = [build_toy_router(done), login.build_router(), monitoring.build_router(), pages.build_router()]
        guard = build_guarded_app(Workspace(tmp_path / "ws"), config, routers)
        host = LAN_ADDRESS if mode == "lan" else "127.0.0.1"
        return Reach(guard, f"http://{host}:{config.port}", done)

    return build


@pytest.fixture
def reach(build_reach: Callable[..., Reach], mode: str) -> Reach:
    """The application reached from this machine, and once more from the local network."""
    return build_reach(mode)


@pytest.fixture
def run_reach(build_reach: Callable[..., Reach]) -> Callable[..., AbstractContextManager[Reach]]:
    """Return a context manager that serves the application on a port of this machine, with its base URL."""

    @contextmanager
    def serve(**options: Any) -> Generator[Reach]:
        sockets, config = open_sockets(Config(port=0, **options))
        reach = build_reach(port=config.port, **options)
        reach.base_url = f"http://127.0.0.1:{config.port}"
        is_ready = threading.Event()
        server = build_http_server(reach.guard, config, is_ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
        thread.start()
        assert is_ready.wait(10)
        try:
            yield reach
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()

    return serve
