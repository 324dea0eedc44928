"""The job process and the real engine: whatever is killed, nothing is lost and nothing is doubled."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from genloom.api.workspace import Workspace
from genloom.server.access import SCOPES, User
from genloom.server.engine import Engine
from genloom.server.jobs.events import Events
from genloom.server.jobs.jobs import Jobs
from genloom.server.jobs.store import Job
from tests import worlds

LOCAL = User("local", "ada", frozenset(SCOPES))
SMALL = {
    "network.name": "transformer", "network.width": 16, "network.depth": 1, "network.heads": 2, "network.softcap": 0,
    "context_length": 32, "batch_size": 4,
}  # fmt: skip

pytestmark = pytest.mark.slow


@asynccontextmanager
async def open_jobs(folder: Path, *, has_engine: bool = False) -> AsyncGenerator[Jobs]:
    workspace = Workspace(folder)
    events = Events(workspace)
    engine = Engine(workspace) if has_engine else None
    jobs = Jobs(workspace, None, events, engine)
    await events.start()
    if engine is not None:
        await engine.start()
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()
        if engine is not None:
            await engine.stop()
        await events.stop()


async def wait(jobs: Jobs, job: Job) -> Job:
    return await asyncio.wait_for(jobs.wait(job.id), 240)


def make_files(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, tale in enumerate(worlds.make_tales(40)):
        (folder / f"{number}.txt").write_text(tale)
    return folder


def add_upload(jobs: Jobs, folder: Path) -> str:
    id = jobs.uploads.create(LOCAL)
    for path in sorted(folder.iterdir()):
        (jobs.uploads.get_folder(id, LOCAL) / path.name).write_bytes(path.read_bytes())
    return id


def test_files_become_a_data_set_a_model_and_an_export(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_jobs(tmp_path / "ws") as jobs:
            upload = add_upload(jobs, make_files(tmp_path / "files"))
            collected = await wait(jobs, jobs.add("collect", {"upload": upload, "name": "tales"}, LOCAL))
            assert collected.state == "succeeded", collected.error
            while (jobs.workspace.folder / "uploads" / upload).exists():  # the data set holds the files
                await asyncio.sleep(0.01)
            trained = await wait(jobs, jobs.add("train", {"data": "tales", "steps": 12, "overrides": SMALL}, LOCAL))
            assert trained.state == "succeeded", trained.error
            assert trained.result is not None
            assert trained.result["model"] == "tales/1"
            log = jobs.store.read_log(trained.id, 0, 1000)
            points = [data for _, kind, data in log if kind == "point"]
            assert points[-1]["step"] == 12
            assert [kind for _, kind, _ in log].count("estimate") == 1
            exported = await wait(jobs, jobs.add("export", {"model": "tales/1"}, LOCAL))
            assert exported.state == "succeeded", exported.error
            assert exported.result is not None
            assert (jobs.workspace.folder / "exports" / exported.id / exported.result["file"]).is_file()
            assert exported.result["download"] == f"/api/jobs/{exported.id}/download"
            measured = await wait(jobs, jobs.add("evaluate", {"model": "tales/1"}, LOCAL))
            assert measured.state == "succeeded", measured.error
            failed = await wait(jobs, jobs.add("learn", {"model": "tales"}, LOCAL))
            assert (failed.state, failed.error and failed.error["code"]) == ("failed", "rate.too_few_preferences")

    asyncio.run(story())


def test_a_training_is_stopped_and_continues_where_it_was(tmp_path: Path) -> None:
    async def story() -> None:
        worlds.create_dataset(Workspace(tmp_path / "ws").store)
        async with open_jobs(tmp_path / "ws") as jobs:
            job = jobs.add("train", {"data": "tales", "steps": 4000, "overrides": SMALL}, LOCAL)
            while not jobs.store.require(job.id).progress.get("step"):
                await asyncio.sleep(0.05)
            jobs.cancel(job.id, LOCAL)
            stopped = await wait(jobs, job)
            assert (stopped.state, stopped.to_json()["can_resume"]) == ("cancelled", True), stopped.error
            reached = jobs.store.read_log(job.id, 0, 10_000)[-1][2]["step"]
            jobs.retry(job.id, LOCAL)
            while not (step := jobs.store.require(job.id).progress.get("step")):
                await asyncio.sleep(0.05)
            assert step > reached  # it did not begin again
            assert len(jobs.workspace.runs) == 1

    asyncio.run(story())


def test_the_job_process_ends_with_its_server(tmp_path: Path) -> None:
    """A server that is killed leaves no process behind that would go on training."""
    code = (
        "import asyncio, sys; from pathlib import Path; sys.path.insert(0, '.');"
        "from tests.server.jobs.test_processes import *;"
        "asyncio.run(serve_until_killed(Path(sys.argv[1])))"
    )
    worlds.create_dataset(Workspace(tmp_path / "ws").store)
    server = psutil.Popen([sys.executable, "-c", code, str(tmp_path / "ws")], cwd=Path(__file__).parents[3])
    try:
        children = wait_for(lambda: [c for c in server.children() if "genloom.server.jobs.process" in c.cmdline()])
        server.kill()
        assert psutil.wait_procs(children, timeout=300)[1] == []
    finally:
        with suppress(psutil.NoSuchProcess):
            server.kill()
        server.wait()


async def serve_until_killed(folder: Path) -> None:
    async with open_jobs(folder) as jobs:
        jobs.add("train", {"data": "tales", "steps": 100_000, "overrides": SMALL}, LOCAL)
        await asyncio.sleep(300)


def wait_for(read: Any, seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := read():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_outputs_of_the_real_engine_survive_its_death_without_a_double(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_jobs(tmp_path / "ws", has_engine=True) as jobs:
            params = {"model": "icons", "prompts": ["a boat", "a tree"], "n": 3, "seed": 5, "params": {"steps": 2}}
            job = jobs.add("generate", params, LOCAL)
            engine_pid = jobs.engine.state()["pid"]
            rng = random.Random(1)
            for _ in range(3):
                await asyncio.sleep(rng.random() * 4)
                pid = jobs.engine.state()["pid"]
                if jobs.store.require(job.id).is_ended or pid is None:
                    continue
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                jobs.store.reset_attempts(job.id, is_continued=True)
            assert engine_pid is not None
            done = await wait(jobs, job)
            if done.state == "failed":
                jobs.retry(job.id, LOCAL)
                done = await wait(jobs, job)
            assert done.state == "succeeded", done.error
            outputs = jobs.workspace.outputs
            assert len(outputs) == 6
            assert sorted(output.prompt for output in outputs) == ["a boat"] * 3 + ["a tree"] * 3
            assert done.result is not None
            assert sorted(done.result["outputs"]) == sorted(output.id for output in outputs)
            assert len({output.nonce for output in outputs if output.prompt == "a boat"}) == 3
        # The same seed gives the same outputs as the Python API, with the same marking key.
        again = (
            Workspace(tmp_path / "ws")
            .model("icons")
            .generate(["a boat", "a tree"], n=3, seed=5, steps=2, progress=False)
        )
        assert sorted(output.record["sha256"] for output in again) == sorted(o.record["sha256"] for o in outputs)

    asyncio.run(story())
