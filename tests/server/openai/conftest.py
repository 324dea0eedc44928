"""A server on a port of this machine, with small models, as clients see it."""

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from genloom.api.workspace import Workspace
from genloom.server.access import SCOPES
from genloom.server.app import build_app, build_ollama_app
from genloom.server.config import Config
from genloom.server.run import build_http_server, listen_as_ollama, open_sockets
from tests.ports import find_port


@dataclass(frozen=True)
class RunningServer:
    """The address of a server, a key of the person at the machine, one of another user, and its application."""

    workspace: Workspace
    url: str
    key: str
    other_key: str
    app: Any
    ollama_url: str
    """Where it answers as Ollama does."""

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def open(self, key: str = "", **options: Any) -> httpx2.Client:
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=600, **options)

    def state(self) -> dict[str, Any]:
        """Return the state of the engine."""
        return self.app.app.state.engine.state()


@pytest.fixture(scope="session")
def api(serving_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The server of a workspace with `tales`, which chats, `masks`, masked, and `blots`, which makes pictures."""
    workspace = Workspace(shutil.copytree(serving_home, tmp_path_factory.mktemp("api") / "home"))
    port = find_port()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("app", "run"):
            patch.setattr(f"genloom.server.{module}.OLLAMA_PORT", port)
        yield from serve(workspace, port)


def serve(workspace: Workspace, ollama_port: int) -> Iterator[RunningServer]:
    sockets, config = open_sockets(replace(Config(), port=0))
    guard = build_app(workspace, config)
    server = build_http_server(guard, config, lambda: None, build_ollama_app(guard))
    sockets += listen_as_ollama()
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    key = guard.keys.create_key("test", "local", SCOPES)[1]
    guard.keys.add_account("ada", "a long password")
    other_key = guard.keys.create_key("other", "ada", SCOPES)[1]
    ollama_url = f"http://127.0.0.1:{ollama_port}"
    yield RunningServer(workspace, f"http://127.0.0.1:{config.port}", key, other_key, guard, ollama_url)
    server.should_exit = True
    thread.join(600)


@pytest.fixture
def client(api: RunningServer) -> Iterator[httpx2.Client]:
    with api.open() as client:
        yield client
