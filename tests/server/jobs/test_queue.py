"""The queue: durable, in order, seen alike by all, and each owner's own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from genloom.api.workspace import Workspace
from genloom.server.access import SCOPES, User
from genloom.server.jobs.events import Events
from genloom.server.jobs.jobs import Jobs
from genloom.server.jobs.outcomes import JobCancelled, ProcessDied
from genloom.server.jobs.params import get_lane
from genloom.server.jobs.store import Job, JobStore
from tests.errors import raises_code

LOCAL = User("local", "ada", frozenset(SCOPES))
BEA = User("bea", "bea", frozenset(SCOPES))
CY = User("cy", "cy", frozenset({"read", "rate"}))
PICTURE = {"model": "icons", "prompt": "a boat"}


@asynccontextmanager
async def open_jobs(folder: Path, run: Any) -> AsyncGenerator[Jobs]:
    """Open a server's jobs, whose generations `run` makes."""
    workspace = Workspace(folder)
    events = Events(workspace)
    jobs = Jobs(workspace, None, events)
    jobs.register("generate", run)
    await events.start()
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()
        await events.stop()


async def never(job: Job) -> dict[str, Any]:
    raise AssertionError("a paused queue runs nothing")


def test_jobs_run_in_the_order_of_the_queue_which_people_change(tmp_path: Path) -> None:
    order: list[str] = []

    async def run(job: Job) -> dict[str, Any]:
        order.append(job.params["prompt"])
        return {"outputs": []}

    async def story() -> None:
        async with open_jobs(tmp_path, run) as jobs:
            jobs.set_paused(True)
            made = {name: jobs.add("generate", {**PICTURE, "prompt": name}, LOCAL) for name in "abcd"}
            assert [jobs.to_json(job)["position"] for job in made.values()] == [1, 2, 3, 4]
            jobs.move(made["d"].id, made["a"].id, LOCAL)
            jobs.move(made["a"].id, None, LOCAL)
            jobs.cancel(made["b"].id, LOCAL)
            queue = [job.params["prompt"] for job in jobs.store.list_queued()]
            assert queue == ["d", "c", "a"]
            jobs.set_paused(False)
            assert (await jobs.wait(made["a"].id)).state == "succeeded"
            assert jobs.get(made["b"].id, LOCAL).state == "cancelled"
            with raises_code("studio.not_queued"):
                jobs.move(made["c"].id, None, LOCAL)

    asyncio.run(story())
    assert order == ["d", "c", "a"]


def test_a_queued_job_is_on_the_disk_before_its_request_is_answered(tmp_path: Path) -> None:
    async def story() -> str:
        async with open_jobs(tmp_path, never) as jobs:
            jobs.set_paused(True)
            return jobs.add("generate", PICTURE, LOCAL).id

    id = asyncio.run(story())
    store = JobStore(tmp_path / "jobs.sqlite")
    job = store.require(id)
    assert (job.state, job.params["prompt"], store.is_paused) == ("queued", "a boat", True)
    assert job.params["model"] == "icons/2"  # a second attempt uses the same version and the same seed
    assert job.params["seed"] is not None
    store.close()


def test_what_ran_when_the_server_died_runs_again_before_all_others(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    ids = [store.add("generate", "engine", "local", "", {"prompt": name}).id for name in "abc"]
    assert [store.claim("engine"), store.claim("engine")] != [None, None]
    store.write_notes(ids[1], {"cancel": True})  # somebody had asked to stop it
    store.close()  # as kill -9 leaves it: two jobs are running
    order: list[tuple[str, int]] = []

    async def run(job: Job) -> dict[str, Any]:
        order.append((job.params["prompt"], job.attempts))
        return {"outputs": []}

    async def story() -> None:
        async with open_jobs(tmp_path, run) as jobs:
            await jobs.wait(ids[2])
            assert [jobs.get(id, LOCAL).state for id in ids] == ["succeeded", "cancelled", "succeeded"]

    asyncio.run(story())
    assert order == [("a", 2), ("c", 1)]


def test_a_process_that_dies_again_and_again_ends_the_job_and_retry_starts_it_anew(tmp_path: Path) -> None:
    attempts = 0

    async def run(job: Job) -> dict[str, Any]:
        nonlocal attempts
        attempts += 1
        if attempts <= 3:
            raise ProcessDied
        return {"outputs": ["x"]}

    async def story() -> None:
        async with open_jobs(tmp_path, run) as jobs:
            job = await jobs.wait(jobs.add("generate", PICTURE, LOCAL).id)
            assert (job.state, job.error and job.error["code"], attempts) == ("failed", "studio.job_died", 3)
            jobs.retry(job.id, LOCAL)
            assert (await jobs.wait(job.id)).result == {"outputs": ["x"]}
            with raises_code("studio.not_ended"):
                jobs.retry(job.id, LOCAL)

    asyncio.run(story())


def test_a_running_job_is_cancelled_and_told_to_all_who_watch(tmp_path: Path) -> None:
    async def story() -> None:
        started = asyncio.Event()

        async def run(job: Job) -> dict[str, Any]:
            started.set()
            while not jobs.is_cancelling(job.id):
                await asyncio.sleep(0.01)
            raise JobCancelled

        async with open_jobs(tmp_path, run) as jobs:
            after = jobs.events.last
            job = jobs.add("generate", PICTURE, BEA)
            await started.wait()
            jobs.cancel(job.id, BEA)
            assert (await jobs.wait(job.id)).state == "cancelled"
            for watcher in (BEA, LOCAL):  # two devices, and the person at the machine
                types = [event.type for event in jobs.events.read(watcher, after)]
                assert types == ["job.queued", "job.running", "job.cancelled"]
            assert jobs.events.read(CY, after) == []

    asyncio.run(story())


def test_others_jobs_do_not_exist_for_a_user_and_scopes_hold(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_jobs(tmp_path, never) as jobs:
            jobs.set_paused(True)
            job = jobs.add("generate", PICTURE, BEA)
            for act in (jobs.get, jobs.cancel, jobs.retry):
                with raises_code("server.unknown_id"):
                    act(job.id, CY)
            with raises_code("server.missing_scope"):
                jobs.add("generate", PICTURE, CY)
            with raises_code("server.missing_scope"):
                jobs.add("train", {"data": "x"}, CY)
            assert jobs.get(job.id, LOCAL).owner == "bea"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("kind", "params", "code"),
    [
        ("paint", {}, "studio.unknown_job_kind"),
        ("generate", {"model": "icons", "n": 0}, "studio.bad_job_param"),
        ("generate", {"model": "icons", "n": 10**9}, "studio.bad_job_param"),
        ("generate", {"model": "icons", "wdith": 3}, "studio.bad_job_param"),
        ("generate", {"model": "icons", "params": {"steps": float("inf")}}, "studio.bad_job_param"),
        ("generate", {"model": "icons", "seed": 2**64}, "studio.bad_job_param"),
        ("generate", {"model": "icons", "files": {"image": "/etc/passwd"}}, "studio.bad_job_param"),
        ("generate", {"model": "icons", "files": {"image": "output:2026-01-01-000000"}}, "server.unknown_id"),
        ("generate", {"model": "../../etc"}, "store.bad_name_ends"),
        ("generate", {"model": "icnos"}, "store.unknown_name_near"),
        ("train", {"data": "nothing"}, "store.nothing_known"),
        ("collect", {"upload": "../../etc"}, "server.unknown_id"),
        ("collect", {}, "studio.bad_job_param"),
        ("collect", {"builtin": "/etc"}, "studio.bad_job_param"),
        ("collect", {"builtin": "builtin:../../etc"}, "studio.bad_job_param"),
        ("collect", {"builtin": "builtin:shakespeare", "consent": "/etc/passwd"}, "server.unknown_id"),
        ("collect", {"builtin": "builtin:shakespeare", "persons": ["everybody"]}, "studio.bad_job_param"),
        *(
            ("collect", {"builtin": "builtin:shakespeare", "options": {name: "/etc/passwd"}}, "studio.bad_job_param")
            for name in ("consent", "sources", "workers", "progress")
        ),
        ("learn", {"model": "icons", "check": "code:tests=1,allow_unconfined=true"}, "studio.bad_job_param"),
        ("learn", {"model": "icons", "reward": ["model", " code:tests=1"]}, "studio.bad_job_param"),
        ("train", {"data": "x", "private": True, "epsilon": 0}, "studio.bad_job_param"),
        ("import", {"source": "/etc"}, "studio.unknown_source"),
    ],
)
def test_a_job_that_could_not_work_is_refused_before_it_is_queued(
    tmp_path: Path, kind: str, params: dict[str, Any], code: str
) -> None:
    async def story() -> None:
        async with open_jobs(tmp_path, never) as jobs:
            with raises_code(code):
                jobs.add(kind, params, LOCAL)
            assert jobs.describe_queue() == {"paused": False, "running": 0, "queued": 0}

    asyncio.run(story())


def test_one_server_at_a_time_runs_the_jobs_of_a_workspace(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_jobs(tmp_path, never):
            with raises_code("studio.workspace_in_use"):
                async with open_jobs(tmp_path, never):
                    pass

    asyncio.run(story())


def test_the_log_of_a_job_is_thinned_out_and_keeps_its_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genloom.server.jobs.store.MAX_LOG_ROWS", 40)
    store = JobStore(tmp_path / "jobs.sqlite")
    for step in range(500):
        store.add_log("x", "point", {"step": step})
    points = [data["step"] for _, _, data in store.read_log("x", 0, 1000)]
    assert points[0] == 0
    assert points[-5:] == [495, 496, 497, 498, 499]
    assert 20 < len(points) <= 40
    assert points == sorted(points)
    store.close()


def test_what_somebody_waits_for_does_not_wait_for_a_design(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_jobs(tmp_path, never) as jobs:
            ends = asyncio.Event()

            async def run(job: Job) -> dict[str, Any]:
                if job.kind == "design":
                    await ends.wait()
                return {}

            jobs._processes.run = run
            add = jobs.store.add
            long = add("design", get_lane("design"), "local", "Parts", {})
            short = add("verify", get_lane("verify"), "local", "Verify", {})
            jobs._wake()
            assert (await jobs.wait(short.id)).state == "succeeded"
            assert not jobs.store.require(long.id).is_ended
            ends.set()
            assert (await jobs.wait(long.id)).state == "succeeded"

    asyncio.run(story())
