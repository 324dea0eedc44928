"""The server with two engines on a cluster, as clients of OpenAI's API see it, also while one of the engines dies."""

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from genloom.api.workspace import Workspace
from genloom.cluster import import_ray
from genloom.server.access import SCOPES
from genloom.server.app import build_app
from genloom.server.config import Config
from genloom.server.engine.replicas import ReplicatedEngine
from genloom.server.run import build_http_server, open_sockets

SECONDS = 300.0  # that engines have to start, on a busy machine
NUM_CLIENTS = 6


@dataclass
class Serving:
    """A running server: how to ask it, and its engines."""

    client: openai.OpenAI
    engine: ReplicatedEngine


@pytest.fixture
def serving(machines: Any, trained_copy: Any) -> Iterator[Serving]:
    sockets, config = open_sockets(Config(port=0, num_replicas=2))
    guard, is_ready = build_app(Workspace(trained_copy.root), config), threading.Event()
    server = build_http_server(guard, config, is_ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
    thread.start()
    assert is_ready.wait(SECONDS)
    key = guard.keys.create_key("test", "local", SCOPES)[1]
    url = f"http://127.0.0.1:{config.port}/v1"
    with openai.OpenAI(base_url=url, api_key=key, max_retries=20, timeout=SECONDS) as client:
        yield Serving(client, guard.app.state.engine)
    server.should_exit = True
    thread.join(60)


def test_requests_end_while_an_engine_dies(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    client, engine = serving.client, serving.engine
    text = client.completions.create(model="tales", prompt="The old king", max_tokens=6, seed=1).choices[0].text
    with client.completions.create(model="tales", prompt="The old king", max_tokens=6, seed=1, stream=True) as stream:
        assert "".join(event.choices[0].text for event in stream) == text
    is_stopped = threading.Event()

    def ask(number: int) -> list[str]:
        texts = []
        while not is_stopped.is_set() or not texts:
            answer = client.completions.create(model="tales", prompt="The old king", max_tokens=200, seed=number)
            texts.append(answer.choices[0].text)
        return texts

    with ThreadPoolExecutor(NUM_CLIENTS) as pool, caplog.at_level(logging.WARNING, "genloom.cluster"):
        answers = [pool.submit(ask, number) for number in range(NUM_CLIENTS)]
        killed = kill_busy_engine(engine)
        wait_for(lambda: any(f"engine {killed}" in record.getMessage() for record in caplog.records))
        is_stopped.set()
        texts = [answer.result(SECONDS) for answer in answers]
    assert all(len(set(each)) == 1 for each in texts), "a seed gives the same text on both engines"
    wait_for(lambda: all(replica.state and not replica.is_lost for replica in engine._replicas))
    assert client.completions.create(model="tales", prompt="The old king", max_tokens=6, seed=1).choices[0].text == text


def kill_busy_engine(engine: ReplicatedEngine) -> int:
    """Kill an engine that works on a request, as soon as there is one, and return its number."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for replica in list(engine._places.values()):
            import_ray().kill(replica.actor, no_restart=False)
            return replica.number
        time.sleep(0.01)
    raise AssertionError("no engine was asked")


def wait_for(is_true: Any) -> None:
    end = time.monotonic() + SECONDS
    while not is_true():
        assert time.monotonic() < end, "the engines did not come to the state that is waited for"
        time.sleep(0.1)
