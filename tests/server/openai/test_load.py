"""The server under more load than it can carry: it refuses what is too much, and loses neither speed nor memory."""

import asyncio
import time
from typing import Any

import httpx2
import psutil
import pytest

from tests.server.openai.conftest import RunningServer

BODY: dict[str, Any] = {"model": "tales", "prompt": "The old king", "max_tokens": 8}
SLACK_BYTES = 64 << 20


def measure_memory(api: RunningServer) -> int:
    """Return the memory of the server, which is this process, and of its engine."""
    engine = psutil.Process(api.state()["pid"])
    return psutil.Process().memory_info().rss + engine.memory_info().rss


async def count_answers(api: RunningServer, clients: int, seconds: float) -> tuple[float, int]:
    """Ask again and again with so many clients; return the answers a second and the number of refusals."""
    answered, refused, limits = 0, 0, httpx2.Limits(max_connections=clients)
    end = time.monotonic() + seconds

    async def ask(client: httpx2.AsyncClient) -> None:
        nonlocal answered, refused
        while time.monotonic() < end:
            response = await client.post("/v1/completions", json=BODY)
            if response.status_code == 200:
                answered += 1
                continue
            assert response.status_code in (429, 503), response.text
            assert int(response.headers["retry-after"]) >= 1
            refused += 1
            await asyncio.sleep(0.2)

    headers = {"authorization": f"Bearer {api.key}"}
    async with httpx2.AsyncClient(base_url=api.url, headers=headers, timeout=120, limits=limits) as client:
        started_at = time.monotonic()
        await asyncio.gather(*(ask(client) for _ in range(clients)))
        return answered / (time.monotonic() - started_at), refused


@pytest.mark.slow
def test_ten_times_too_many_clients_get_as_many_answers_as_few(api: RunningServer) -> None:
    asyncio.run(count_answers(api, 32, 3))
    before = measure_memory(api)
    peak, none = asyncio.run(count_answers(api, 32, 10))
    under_load, refused = asyncio.run(count_answers(api, 320, 20))
    assert none == 0
    assert refused > 0
    assert under_load >= 0.9 * peak, f"{under_load:.0f} answers a second of {peak:.0f}"
    assert measure_memory(api) < before + SLACK_BYTES
    assert api.state()["queue"]["open"] == 0


@pytest.mark.slow
def test_ten_thousand_clients_that_leave_take_nothing_with_them(api: RunningServer) -> None:
    headers = {"authorization": f"Bearer {api.key}"}
    body = {**BODY, "max_tokens": 400, "stream": True}

    async def leave(count: int) -> None:
        async with httpx2.AsyncClient(base_url=api.url, headers=headers, timeout=120) as client:

            async def start(number: int) -> None:
                async with client.stream("POST", "/v1/completions", json=body) as response:
                    assert response.status_code == 200
                    if number % 2:
                        await anext(response.aiter_bytes())

            for first in range(0, count, 50):
                await asyncio.gather(*(start(number) for number in range(first, first + 50)))

    num_outputs, num_starts = len(api.workspace.store.list_outputs()), api.state()["starts"]
    asyncio.run(leave(500))
    before = measure_memory(api)
    asyncio.run(leave(9_500))
    deadline = time.monotonic() + 10
    while api.state()["queue"]["active"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert api.state()["queue"] == {"active": 0, "open": 0, "limit": 256}
    assert api.state()["starts"] == num_starts
    assert measure_memory(api) < before + SLACK_BYTES
    assert not list(api.workspace.folder.glob("outputs/*/*.reserved"))
    # What nobody waited for is not kept; a few texts have ended before their clients left.
    assert len(api.workspace.store.list_outputs()) < num_outputs + 100
    with api.open() as client:
        assert client.post("/v1/completions", json=BODY).status_code == 200
