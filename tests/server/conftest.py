"""The application of tests/server/reach.py, reached from this machine or a local network, and a running server."""

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
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
from tests.server.warm import Nursery


@pytest.fixture(scope="session", autouse=True)
def start_processes_fast() -> Generator[None]:
    """The processes of the server are forked from one that has loaded their libraries."""
    nursery = Nursery()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asyncio.create_subprocess_exec", nursery.wrap(asyncio.create_subprocess_exec))
        yield
    nursery.close()


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


def patch_addresses(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("genloom.server.config.list_addresses", lambda: [LAN_ADDRESS, "fd00::20"])
    patch.setattr("genloom.server.config.list_host_names", lambda: ["studio-pc", "studio-pc.local"])


def build_application(folder: Path, mode: str = "loopback", **options: Any) -> Reach:
    """Return the application for a way to reach it."""
    config = Config(host="0.0.0.0" if mode == "lan" else "127.0.0.1", is_lan=mode == "lan", **options)
    done: list[str] = []
    routers = [build_toy_router(done), login.build_router(), monitoring.build_router(), pages.build_router()]
    guard = build_guarded_app(Workspace(folder / "ws"), config, routers)
    host = LAN_ADDRESS if mode == "lan" else "127.0.0.1"
    return Reach(guard, f"http://{host}:{config.port}", done)


@pytest.fixture
def build_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Reach]:
    """Return a function that builds the application for a way to reach it."""
    patch_addresses(monkeypatch)
    return partial(build_application, tmp_path)


@pytest.fixture(scope="module")
def keep_reach(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Reach]:
    """Return a function like `build_reach`, for tests that share an application: all of a module."""
    built: dict[str, Reach] = {}

    def find(mode: str = "loopback") -> Reach:
        if mode not in built:
            with pytest.MonkeyPatch.context() as patch:
                patch_addresses(patch)
                built[mode] = build_application(tmp_path_factory.mktemp(mode), mode)
        built[mode].done.clear()
        return built[mode]

    return find


@pytest.fixture
def reach(build_reach: Callable[..., Reach], mode: str) -> Reach:
    """The application reached from this machine, and once more from the local network."""
    return build_reach(mode)


@contextmanager
def serve_application(folder: Path, **options: Any) -> Generator[Reach]:
    """Serve the application on a port of this machine, with its base URL."""
    sockets, config = open_sockets(Config(port=0, **options))
    reach = build_application(folder, port=config.port, **options)
    reach.base_url = f"http://127.0.0.1:{config.port}"
    is_ready = threading.Event()
    server = build_http_server(reach.guard, config, is_ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
    thread.start()
    assert is_ready.wait(600)
    try:
        yield reach
    finally:
        server.should_exit = True
        thread.join(600)
        assert not thread.is_alive()


@pytest.fixture
def run_reach(tmp_path: Path) -> Callable[..., AbstractContextManager[Reach]]:
    """Return a context manager that serves the application on a port of this machine."""
    return partial(serve_application, tmp_path)


@pytest.fixture(scope="module")
def running_reach(tmp_path_factory: pytest.TempPathFactory) -> Generator[Reach]:
    """The application on a port of this machine, for all tests of a module that leave it as it is."""
    with serve_application(tmp_path_factory.mktemp("running")) as reach:
        yield reach
