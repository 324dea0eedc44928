"""Fifty times the server or its job process is killed at a random moment: no job or output is lost or made twice."""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from genloom.api.workspace import Workspace
from genloom.server.access import SCOPES, User
from genloom.server.engine.messages import GenerationRequest
from genloom.server.jobs.events import Events
from genloom.server.jobs.jobs import Jobs
from genloom.server.jobs.store import JobStore
from genloom.server.uploads import Uploads
from tests import worlds
from tests.server.studio.conftest import QuickEngine

LOCAL = User("local", "ada", frozenset(SCOPES))
REPOSITORY = Path(__file__).parents[3]
SERVE = f"from {__name__} import serve; serve()"
N = 5  # outputs of a job


class SlowEngine(QuickEngine):
    """Takes a moment for each output, so that kills fall between them."""

    async def submit(self, request: GenerationRequest) -> Any:
        async for event in super().submit(request):
            yield event
            await asyncio.sleep(0.02)


def serve() -> None:
    """Run jobs until killed: queue what standard input says, and acknowledge each on standard output."""
    asyncio.run(_serve(Path(sys.argv[1])))


async def _serve(folder: Path) -> None:
    workspace = Workspace(folder)
    events, engine = Events(workspace), SlowEngine(workspace)
    jobs = Jobs(workspace, None, events, engine)
    await events.start()
    await jobs.start()

    def read() -> None:
        for line in sys.stdin:
            kind, params = json.loads(line)
            print(jobs.add(kind, params, LOCAL).id, flush=True)

    await asyncio.to_thread(read)
    while jobs.store.count("queued") + jobs.store.count("running"):
        await asyncio.sleep(0.05)
    await jobs.stop()
    await events.stop()


def start(folder: Path) -> psutil.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return psutil.Popen([sys.executable, "-c", SERVE, str(folder)], cwd=REPOSITORY, **pipes)


def kill_one(server: psutil.Popen, rng: random.Random) -> str:
    """Kill the server or its job process, whichever chance says."""
    with suppress(psutil.NoSuchProcess):
        children = [child for child in server.children() if "genloom.server.jobs.process" in child.cmdline()]
        if children and rng.random() < 0.8:
            children[0].kill()
            return "job process"
    server.kill()
    end(server)
    return "server"


def end(server: psutil.Popen) -> None:
    """Wait for the end of a server, and close its pipes."""
    with suppress(BrokenPipeError):
        server.stdin.close()
    server.wait(300)
    server.stdout.close()


def add_upload(uploads: Uploads) -> str:
    upload = uploads.create(LOCAL)
    for number, tale in enumerate(worlds.make_tales(12)):
        (uploads.get_folder(upload, LOCAL) / f"{number}.txt").write_text(tale)
    return upload


@pytest.mark.slow
def test_fifty_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    rng, folder = random.Random(7), tmp_path / "ws"
    uploads = Uploads(Workspace(folder))
    acknowledged: dict[str, str] = {}
    killed: Counter[str] = Counter()
    number = 0
    server = start(folder)
    while killed.total() < 50:
        with suppress(BrokenPipeError, ValueError):
            for _ in range(rng.randrange(3)):
                number += 1
                kind, params = "generate", {"model": "icons", "prompt": f"picture {number}", "n": N}
                if rng.random() < 0.3:
                    kind, params = "collect", {"upload": add_upload(uploads), "name": f"tales {number}"}
                server.stdin.write(json.dumps([kind, params]) + "\n")
                server.stdin.flush()
                if line := server.stdout.readline().strip():
                    acknowledged[line] = kind
        time.sleep(rng.random() * 0.8)
        killed[kill_one(server, rng)] += 1
        if server.poll() is not None:
            server = start(folder)
    end(server)  # once everything is done

    store = JobStore(folder / "jobs.sqlite")
    states = {job.id: job for job in store.find(limit=10_000)}
    store.close()
    assert acknowledged.keys() <= states.keys()
    failed = [job.error for job in states.values() if job.state != "succeeded"]
    assert all(error is not None and error["code"] == "studio.job_died" for error in failed), failed
    made = Counter(output.record["job"] for output in Workspace(folder).outputs)
    for id, job in states.items():
        if job.kind == "generate":
            assert made[id] == N, f"{id} made {made[id]} outputs"
            assert job.result is not None
            assert len(set(job.result["outputs"])) == N
    assert made.keys() <= states.keys()
    versions = list((folder / "data").glob("*/*/manifest.json"))
    collected = [job for job in states.values() if job.kind == "collect" and job.state == "succeeded"]
    assert len(versions) == len(collected)
    assert killed["server"] > 10
