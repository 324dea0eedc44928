"""The studio's API in a temporary workspace, with an engine that answers at once and stores what it answers."""

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from genloom.api.workspace import Workspace
from genloom.media import image
from genloom.server import app as app_module
from genloom.server.access import SCOPES
from genloom.server.app import build_app
from genloom.server.config import Config
from genloom.server.engine.messages import EngineEvent, Finished, GenerationRequest, Progress, Started, Stored, Text

BASE = "http://127.0.0.1:7860"
_TESTS = itertools.count(1)


class QuickEngine:
    """Stores an output for each prompt: the model `icons` draws one colour, all others write the prompt backwards."""

    def __init__(self, workspace: Workspace, config: Any = None) -> None:
        self.workspace = workspace
        self.cancelled: set[str] = set()

    async def start(self) -> None:
        pass

    stop = start

    def state(self) -> dict[str, Any]:
        return {"state": "running", "models": [], "queue": {}}

    def cancel(self, id: str) -> None:
        self.cancelled.add(id)

    async def describe(self, ref: str) -> dict[str, Any]:
        option = {"name": "steps", "type": "int", "default": 8, "help": "Steps.", "group": "sampling"}
        return {"ref": ref, "options": [option]}

    def write(self, prompt: str) -> str:
        """Return the text that answers a prompt."""
        return prompt[::-1] or "nothing"

    async def submit(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        prompts = [p for p in request.prompts for _ in range(request.n)]
        if request.messages:
            prompts = [request.messages[-1].content] * request.n
        rows = [(number, prompt, derive(request.seed, prompt, number)) for number, prompt in enumerate(prompts)]
        rows = [row for row in rows if row[2] not in request.skip_nonces]
        yield Started([], request.model, "text", "", 1, prompts, num_steps=1)
        yield Progress(1, 1, "")
        for number, prompt, nonce in rows:
            text = self.write(prompt)
            if request.refuse_copies and prompt == "copy":
                yield Stored(number, "", "withheld", "", 1)
                continue
            while "wait" in prompt and request.id not in self.cancelled:
                yield Text(number, "… ")
                await asyncio.sleep(0.01)
            id = await asyncio.to_thread(store, self.workspace, request, prompt, text, nonce)
            yield Text(number, text)
            yield Stored(number, id, "stop", text, len(text))
        yield Finished(1, 0, 1)


def derive(seed: int | None, prompt: str, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {prompt} {number}".encode()).digest()[:6], "big")


def store(workspace: Workspace, request: GenerationRequest, prompt: str, text: str, nonce: int) -> str:
    folder = workspace.model(request.model).folder
    is_picture = folder.name == "icons" and not request.messages
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    record = {
        **request.metadata,
        **({"owner": request.owner} if request.owner else {}),
        **({"conversation": messages} if messages else {}),
        "model": folder.ref,
        "model_digest": folder.digest,
        "medium": "image" if is_picture else "text",
        "prompt": prompt,
        "written": None if is_picture else text,
        "row": 0,
        "request": {"prompts": [prompt], "nonces": [nonce], "params": dict(request.params)},
    }
    colour = [nonce >> shift & 255 for shift in (0, 8, 16)]
    value = image.encode(np.full((24, 40, 3), colour, np.uint8)) if is_picture else text
    return workspace.store.save_output(value, ".png" if is_picture else ".txt", record)


class Studio:
    """A server, and a client for each of its users."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder, rater="ada")
        self.guard = build_app(self.workspace, Config())
        self.portal: Any = None

    def sign_in(self, user: str = "local", scopes: Any = SCOPES) -> TestClient:
        if user not in ("local", *self.guard.keys.accounts):
            self.guard.keys.add_account(user, "a long password", SCOPES)
        secret = self.guard.keys.create_key(f"test {user}", user, scopes)[1]
        client = TestClient(self.guard, base_url=BASE, headers={"authorization": f"Bearer {secret}"})
        client.portal = self.portal  # one event loop for all, as in a server
        return client

    def wait(self, client: TestClient, job: str) -> dict[str, Any]:
        """Return a job once it has ended."""
        begin = time.monotonic()
        while (waited := time.monotonic() - begin) < 600:
            found = client.get(f"/api/jobs/{job}").json()
            if found["state"] in ("succeeded", "failed", "cancelled"):
                return found
            time.sleep(min(0.01 + waited / 20, 0.2))  # to ask takes the processor time that the job needs
        raise AssertionError(f"the job {job} did not end: {found['state']}")

    def run(self, client: TestClient, kind: str, **params: Any) -> dict[str, Any]:
        """Run a job and return its result."""
        answer = client.post("/api/jobs", json={"kind": kind, "params": params})
        assert answer.status_code == 202, answer.text
        job = self.wait(client, answer.json()["id"])
        assert job["state"] == "succeeded", job["error"]
        return job["result"]


@pytest.fixture
def open_studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a context manager that runs the server, with the quick engine or another one."""

    @contextmanager
    def run(engine: Any = QuickEngine, folder: Path = tmp_path / "ws") -> Generator[tuple[Studio, TestClient]]:
        monkeypatch.setattr(app_module, "Engine", engine)
        studio = Studio(folder)
        with studio.sign_in() as client:
            studio.portal = client.portal
            yield studio, client

    return run


class SharedStudio(Studio):
    """A server that many tests use: people have other names in each, so that nobody sees what others made."""

    def __init__(self, studio: Studio, local: TestClient, test: int) -> None:
        self.workspace, self.guard, self.portal = studio.workspace, studio.guard, studio.portal
        self.local, self.test = local, test

    def sign_in(self, user: str = "dan", scopes: Any = SCOPES) -> TestClient:
        return super().sign_in(f"{user}{self.test}", scopes)


@pytest.fixture(scope="session")
def running_studio(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Studio, TestClient]]:
    """A server for all tests that leave the settings of the workspace, its queue and its models as they are."""
    studio = Studio(tmp_path_factory.mktemp("studio") / "ws")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app_module, "Engine", QuickEngine)
        client = studio.sign_in()
        client.__enter__()
    studio.portal = client.portal
    yield studio, client
    client.__exit__(None, None, None)


@pytest.fixture
def open_shared(running_studio: tuple[Studio, TestClient]) -> Callable[..., Any]:
    """Return a context manager like that of `open_studio`, over the running server, with a person of this test."""
    studio = SharedStudio(*running_studio, next(_TESTS))

    @contextmanager
    def run() -> Generator[tuple[Studio, TestClient]]:
        yield studio, studio.sign_in()

    return run
