"""A run killed at any moment and resumed ends in the same bits as an uninterrupted one."""

import errno
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.cli.commands.train import catch_signals
from genloom.errors import GenloomError
from genloom.store import files
from genloom.store.workspace import Workspace
from genloom.train.events import Event, RunResult, RunStart, RunWarning, Status, StepMetrics
from genloom.train.job import read_job
from genloom.train.log import read_log
from genloom.train.loop import TrainConfig
from genloom.train.pace import Pace
from genloom.train.run import TrainRequest, train_model
from genloom.train.saved_steps import report_saved_steps
from tests.errors import raises_code

AVERAGED = {"plan__ema_decay": "0.99"}
COUNTED = {"network": "{name = 'ngram', base = {width = 16, depth = 1, heads = 2, dropout = 0.1}}", **AVERAGED}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def run_with_deaths(workspace: Workspace, run: str, deaths: list[dict[str, float]], save_steps: int) -> list[int]:
    """Resume a run in processes that are killed; return their exit codes."""
    script = Path(__file__).with_name("kills.py")
    command = [sys.executable, str(script), str(workspace.root), run, str(save_steps)]
    ended = subprocess.run(command, input=json.dumps(deaths), capture_output=True, text=True, check=False, timeout=500)
    assert ended.returncode == 0, ended.stderr
    codes = json.loads(ended.stdout)
    assert codes[-1] == 0, ended.stderr
    return codes


def outcome(worlds: ModuleType, workspace: Workspace, run: str) -> tuple[Any, ...]:
    """Return the digests of the model's files and of the last checkpoint, and the logged losses."""
    folder = workspace.get_run(run).folder
    ref = json.loads((folder / "done.json").read_text())["model"]
    rows = read_log(folder / "progress.jsonl")
    steps = [(row["step"], row.get("losses"), row.get("bits_per_byte")) for row in rows if row["step"] % 2 == 0]
    return worlds.file_digests(workspace, ref), worlds.newest_checkpoint(workspace, run), steps


def check_resume(
    worlds: ModuleType, workspace: Workspace, deaths: list[dict[str, float]], changes: dict[str, str], steps: int = 24
) -> list[int]:
    """Check that a killed run ends like an uninterrupted one; return the exit codes of its processes."""
    job = worlds.build_job(worlds.create_dataset(workspace), steps, **changes)
    uninterrupted, killed = worlds.start_run(workspace, job), worlds.start_run(workspace, job)
    assert run_with_deaths(workspace, uninterrupted, [], 2) == [0]
    codes = run_with_deaths(workspace, killed, deaths, 2)
    assert outcome(worlds, workspace, killed) == outcome(worlds, workspace, uninterrupted)
    assert len(workspace.list_models()) == 2, "one model per run, even if it was killed while storing it"
    assert not [f for f in workspace.list_faults() if f]
    return codes


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_in_the_same_bits(worlds: ModuleType, workspace: Workspace) -> None:
    rng = random.Random(1)
    deaths: list[dict[str, float]] = [{"call": rng.randint(8, 40)} for _ in range(6)]
    deaths += [{"after": rng.uniform(0.05, 0.6)} for _ in range(3)]
    codes = check_resume(worlds, workspace, deaths, AVERAGED)
    assert codes.count(-signal.SIGKILL) >= 5, codes


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_at_every_step_of_a_save_ends_in_the_same_bits(
    worlds: ModuleType, workspace: Workspace, stride: int
) -> None:
    """Each process dies some disk operations later than the one before: in the stream, then in the saves."""
    deaths: list[dict[str, float]] = [{"call": n} for n in range(1, 24, stride)]
    codes = check_resume(worlds, workspace, deaths, COUNTED)
    assert codes.count(-signal.SIGKILL) >= len(deaths) - 3, codes


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [AVERAGED, COUNTED, {**COUNTED, "plan__precision": "bfloat16", "plan__grad_accum_steps": "2"}]
)
def test_many_kills_at_random_moments_end_in_the_same_bits(
    worlds: ModuleType, workspace: Workspace, changes: dict[str, str]
) -> None:
    rng = random.Random(2)
    calls: list[dict[str, float]] = [{"call": rng.randint(1, 80)} for _ in range(30)]
    times: list[dict[str, float]] = [{"after": rng.uniform(0.1, 0.7)} for _ in range(20)]
    deaths = rng.sample(calls + times, 50)
    # Enough steps that a fast machine does not finish too early.
    assert check_resume(worlds, workspace, deaths, changes, 1000).count(-signal.SIGKILL) >= 20


def test_a_stopped_run_is_saved_and_resumed_to_the_same_bits(worlds: ModuleType, workspace: Workspace) -> None:
    job = worlds.build_job(worlds.create_dataset(workspace), 12, **AVERAGED)
    uninterrupted, stopped = worlds.start_run(workspace, job), worlds.start_run(workspace, job)
    list(worlds.resume_run(workspace, uninterrupted))
    events = worlds.resume_run(workspace, stopped)
    for event in events:
        if isinstance(event, StepMetrics) and event.step == 7:
            break
    events.close()
    assert worlds.newest_checkpoint(workspace, stopped)[0] == "000000007.safetensors"
    start, first, *_, last = list(worlds.resume_run(workspace, stopped))
    assert start == RunStart(stopped)
    assert isinstance(first, Status)
    assert "from step 7 to 12" in first.text
    assert isinstance(last, RunResult)
    assert last.actual["steps"] == 12
    assert outcome(worlds, workspace, stopped) == outcome(worlds, workspace, uninterrupted)


def test_ctrl_c_stops_between_steps_with_exit_code_130(worlds: ModuleType, workspace: Workspace) -> None:
    job = worlds.build_job(worlds.create_dataset(workspace), 3000)
    run = worlds.start_run(workspace, job)
    code = "from genloom.cli import main; main()"
    arguments = ["train", "--resume", "tales", "--workspace", str(workspace.root), "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log = workspace.get_run(run).folder / "progress.jsonl"
    deadline = time.monotonic() + 600
    while not read_log(log) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert re.search(r"genloom train --workspace \S+ --resume tales", out)
    step = int(worlds.newest_checkpoint(workspace, run)[0].removesuffix(".safetensors"))
    assert 0 < step < 3000
    assert f"{step:,}" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_first_signal_is_a_request_to_stop_and_a_second_one_ends(number: signal.Signals) -> None:
    previous_handler = signal.signal(number, signal.default_int_handler)
    try:
        with catch_signals() as stop:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)  # before the first step
            stop.is_graceful = True
            signal.raise_signal(number)
            signal.raise_signal(number)  # passed on by a launcher
            assert stop.signal_number == number
            stop.requested_at -= 2
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, previous_handler)


def test_a_signal_that_is_ignored_stays_so() -> None:
    previous_handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with catch_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.signal_number
    finally:
        signal.signal(signal.SIGHUP, previous_handler)


def test_a_finished_run_is_an_error(worlds: ModuleType, workspace: Workspace) -> None:
    job = worlds.build_job(worlds.create_dataset(workspace), 4)
    ref = worlds.finish_run(workspace, job).ref
    with raises_code("train.run_finished", model=ref, steps=8):
        list(worlds.resume_run(workspace, "tales"))
    with raises_code("train.run_finished"):
        list(worlds.resume_run(workspace, "tales", steps=4))


@pytest.mark.parametrize("save_steps", [0, 3])
def test_an_extended_run_equals_a_longer_one(worlds: ModuleType, workspace: Workspace, save_steps: int) -> None:
    """Also if checkpoints of the cooldown were saved, which a longer run would not have."""
    data = worlds.create_dataset(workspace)
    short = worlds.start_run(workspace, worlds.build_job(data, 12, **AVERAGED))
    list(worlds.resume_run(workspace, short, save_steps=save_steps))
    _, first, *_, last = list(worlds.resume_run(workspace, short, steps=30))
    assert isinstance(first, Status)
    assert "from step 5 of 30" in first.text
    assert "7 steps" in first.text, "which are trained again"
    assert "tales/1" in first.text, "which has learned in them"
    assert isinstance(last, RunResult)
    assert (last.ref, last.actual["steps"]) == ("tales/2", 30)
    fresh = worlds.start_run(workspace, worlds.build_job(data, 30, **AVERAGED))
    list(worlds.resume_run(workspace, fresh))
    assert outcome(worlds, workspace, short)[:2] == outcome(worlds, workspace, fresh)[:2]


def test_a_run_that_fell_behind_restates_what_to_expect(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes ten seconds of a false clock; the minutes allow some thirty steps, and the job said a hundred."""
    now = [0.0]

    class SlowPace(Pace):
        def end_step(self, step: int) -> TrainConfig:
            now[0] += 10
            return super().end_step(step)

    monkeypatch.setattr("genloom.train.steps.Pace", partial(SlowPace, clock=lambda: now[0]))
    estimate = "{steps = 100, tokens = 12400, parameters = 160000, bits_per_byte = 2.0}"
    limits = {"estimate": estimate, "plan__max_seconds": "300.0", "plan__closing_steps": "1"}
    run = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 100, **COUNTED, **limits))
    *_, last = worlds.resume_run(workspace, run)
    assert 20 <= last.actual["steps"] <= 31
    assert last.estimate["steps"] == 100
    assert last.estimate["restated_steps"] == last.actual["steps"]
    plan = read_job(workspace.get_run(run).folder / "job.toml").plan
    assert plan.steps == last.actual["steps"]
    *_, last = worlds.resume_run(workspace, run, steps=60)
    assert last.actual["steps"] == 60, "an exact number of steps has no time limit"


def stop_after(worlds: ModuleType, workspace: Workspace, run: str, step: int) -> None:
    events = worlds.resume_run(workspace, run, save_steps=1)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == step)
    events.close()


def test_a_run_is_shortened_from_where_it_is(worlds: ModuleType, workspace: Workspace) -> None:
    """It had trained longer at the full rate than a run of the new length: its cooldown starts there."""
    run = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 100))
    stop_after(worlds, workspace, run, 20)
    _, first, *_, last = list(worlds.resume_run(workspace, run, steps=30))
    assert "from step 20 of 30" in first.text
    assert last.actual["steps"] == 30
    plan = read_job(workspace.get_run(run).folder / "job.toml").plan
    assert (plan.steps, plan.cooldown_start) == (30, 20)
    _, first, *_ = worlds.resume_run(workspace, run, steps=60)
    assert "from step 20 of 60" in first.text, "the start of the cooldown is pinned"


def test_a_run_without_a_checkpoint_before_its_cooldown_cannot_be_extended(
    worlds: ModuleType, workspace: Workspace
) -> None:
    run = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 12))
    list(worlds.resume_run(workspace, run))
    states = workspace.get_run(run).folder / "state"
    (states / "000000005.json").unlink()
    before = worlds.newest_checkpoint(workspace, run)
    with raises_code("train.no_stable_checkpoint", steps=30, command="genloom train tales --steps 30"):
        list(worlds.resume_run(workspace, run, steps=30))
    assert worlds.newest_checkpoint(workspace, run) == before


def test_a_run_beyond_the_requested_steps_is_unchanged(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 100))
    stop_after(worlds, workspace, run, 20)
    before = worlds.newest_checkpoint(workspace, run)
    with raises_code("train.too_few_steps", step=20):
        list(worlds.resume_run(workspace, run, steps=15))
    assert worlds.newest_checkpoint(workspace, run) == before
    assert read_job(workspace.get_run(run).folder / "job.toml").plan.steps == 100


@pytest.mark.parametrize("broken", ["data", "codec"])
def test_a_run_that_cannot_be_resumed_stays_as_it_is(worlds: ModuleType, workspace: Workspace, broken: str) -> None:
    """Its checkpoints, its plan and its model are those of before, also if another number of steps was asked for."""
    data = worlds.create_dataset(workspace)
    run = worlds.start_run(workspace, worlds.build_job(data, 12))
    list(worlds.resume_run(workspace, run, save_steps=3))
    folder = workspace.get_run(run).folder
    if broken == "data":
        (data.folder / "part-00000.parquet").write_bytes(b"other")
    else:
        (folder / "codec" / "codec.json").write_text("{")
    before = {path.name: path.read_bytes() for path in (folder, *folder.glob("state")) for path in path.glob("*.*")}
    with raises_code("store.damaged" if broken == "data" else "codecs.damaged_file"):
        list(worlds.resume_run(workspace, run, steps=40))
    after = {path.name: path.read_bytes() for path in (folder, *folder.glob("state")) for path in path.glob("*.*")}
    assert {name: after.get(name) for name in before} == before


def test_the_estimate_of_an_extended_run_is_rescaled(worlds: ModuleType, workspace: Workspace) -> None:
    data = worlds.create_dataset(workspace)
    estimate = {"estimate": "{steps = 6, tokens = 744, seconds = 1.5, tokens_per_second = 496, bits_per_byte = 2.0}"}
    run = worlds.start_run(workspace, worlds.build_job(data, 6, **estimate))
    list(worlds.resume_run(workspace, run))
    *_, last = worlds.resume_run(workspace, run, steps=12)
    assert last.estimate == {"steps": 12, "tokens": 1488, "seconds": 3.0, "tokens_per_second": 496}


def test_time_adds_up_over_processes_and_no_step_is_logged_twice(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 30))
    events = worlds.resume_run(workspace, run, save_steps=4)
    seconds = next(event.seconds for event in events if isinstance(event, StepMetrics) and event.step == 22)
    events.close()
    log = workspace.get_run(run).folder / "progress.jsonl"
    with open(log, "a") as file:
        file.write('{"step": 22, "losses": {"model": 9.0}, "seconds": 0.1}\n{"step": 23, "los')  # cut off by a kill
    for path in (workspace.get_run(run).folder / "state").glob("000000022.*"):
        path.unlink()
    *_, last = worlds.resume_run(workspace, run)
    logged_steps = [row["step"] for row in read_log(log) if "losses" in row]
    assert logged_steps == sorted(set(logged_steps))
    assert logged_steps[-1] == 30
    assert json.loads(log.read_text().splitlines()[-1])["step"] == 30
    assert last.actual["seconds"] >= round(seconds * 0.8, 1)


def test_changed_threads_give_a_warning(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 6))
    events = worlds.resume_run(workspace, run, save_steps=2)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 3)
    events.close()
    from genloom.train import checkpoint

    now = checkpoint.describe_machine()
    monkeypatch.setattr(checkpoint, "describe_machine", lambda: {**now, "threads": 64})
    warnings = [event.text for event in worlds.resume_run(workspace, run) if isinstance(event, RunWarning)]
    assert len(warnings) == 1
    assert f"threads {now['threads']} → 64" in warnings[0]


def test_a_damaged_checkpoint_gives_a_warning_and_a_fallback(worlds: ModuleType, workspace: Workspace) -> None:
    job = worlds.build_job(worlds.create_dataset(workspace), 9, **AVERAGED)
    uninterrupted, damaged = worlds.start_run(workspace, job), worlds.start_run(workspace, job)
    list(worlds.resume_run(workspace, uninterrupted))
    events = worlds.resume_run(workspace, damaged, save_steps=1)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 8)
    newest = max((workspace.get_run(damaged).folder / "state").glob("*.safetensors"))
    events.close()
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    events = list(worlds.resume_run(workspace, damaged))
    warnings = [event.text for event in events if isinstance(event, RunWarning)]
    assert len(warnings) == 1
    assert "000000008.safetensors is damaged" in warnings[0]
    assert outcome(worlds, workspace, damaged)[:2] == outcome(worlds, workspace, uninterrupted)[:2]


def test_a_full_disk_leaves_the_previous_checkpoint(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = worlds.build_job(worlds.create_dataset(workspace), 9)
    uninterrupted, full = worlds.start_run(workspace, job), worlds.start_run(workspace, job)
    list(worlds.resume_run(workspace, uninterrupted))
    events = report_saved_steps(workspace, worlds.resume_run(workspace, full, save_steps=3))
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 4)
    notes: list[str] = []

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", no_space)
        with raises_code("store.disk_full"):
            for event in events:
                notes += [event.text] if isinstance(event, RunWarning) else []
    assert f"{full} is saved up to step 4." in notes[-1]
    assert worlds.newest_checkpoint(workspace, full)[0] == "000000004.safetensors", "the start of the cooldown"
    assert not list((workspace.get_run(full).folder / "state").glob(".*.draft"))
    list(worlds.resume_run(workspace, full))
    assert outcome(worlds, workspace, full)[:2] == outcome(worlds, workspace, uninterrupted)[:2]


def test_an_error_before_a_run_has_begun_stays_as_it_is(workspace: Workspace) -> None:
    def fail() -> Generator[Event]:
        yield RunStart("2026-01-01-gone")
        raise GenloomError("train.diverged", steps=3)

    with raises_code("train.diverged"):
        list(report_saved_steps(workspace, fail()))


def test_a_log_that_cannot_be_written_is_an_error(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 12))
    from genloom.train import log

    def read_only(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(log, "open", read_only, raising=False)
    with raises_code("store.read_only"):
        list(worlds.resume_run(workspace, run))


def test_only_one_process_trains_a_run(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 6))
    events = worlds.resume_run(workspace, run)
    next(event for event in events if isinstance(event, StepMetrics))
    with raises_code("train.run_locked", run=run):
        list(worlds.resume_run(workspace, run))
    events.close()
    assert isinstance(list(worlds.resume_run(workspace, run))[-1], RunResult)


def test_a_run_is_resumed_with_its_own_version_of_the_data(worlds: ModuleType, workspace: Workspace) -> None:
    job = worlds.build_job(worlds.create_dataset(workspace), 4)
    run = worlds.start_run(workspace, job)
    newer = worlds.create_dataset(workspace, seed=5)
    assert newer.digest != job.digest
    *_, last = worlds.resume_run(workspace, run)
    assert workspace.get_model(last.ref).card["data"]["digest"] == job.digest
    missing = worlds.start_run(workspace, worlds.build_job(newer, 4, digest='"' + "0" * 64 + '"'))
    with raises_code("store.data_version_gone", name="tales"):
        list(worlds.resume_run(workspace, missing))


def test_a_run_that_failed_before_its_job_leaves_nothing(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.create_dataset(workspace)
    with raises_code("core.unknown_setting", location="plan", key="cooldwon"):
        list(train_model(workspace, TrainRequest("tales", overrides={"plan.cooldwon": "1"})))
    stopped = train_model(workspace, TrainRequest("tales"))
    assert isinstance(next(stopped), RunStart)
    stopped.close()
    assert workspace.list_runs() == []
    assert list((workspace.root / "runs").iterdir()) == []


def test_a_run_killed_before_its_job_does_not_hide_the_one_before(worlds: ModuleType, workspace: Workspace) -> None:
    older = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 4))
    workspace.create_run("tales")
    *_, last = worlds.resume_run(workspace, "tales")
    assert last.run == older
    bare = workspace.create_run("others")
    with raises_code("train.nothing_to_resume", run=bare.name, data="DATA --name others"):  # of which data is not known
        list(worlds.resume_run(workspace, "others"))
    for run in workspace.list_runs():
        shutil.rmtree(run.folder)
    workspace.create_run("tales")
    with raises_code("train.nothing_to_resume", data="tales"):
        list(worlds.resume_run(workspace, "tales"))


@pytest.mark.parametrize(("name", "value"), [("steps", -5), ("threads", -2), ("save_steps", -1)])
def test_negative_options_are_an_error(name: str, value: int) -> None:
    options: Any = {name: value}
    with raises_code("train.negative_option", name=name.replace("_", "-"), value=value):
        TrainRequest("tales", **options)


def test_more_threads_than_the_machine_can_use_are_refused(workspace: Workspace) -> None:
    with raises_code("train.too_many_threads", threads=99_999):
        list(train_model(workspace, TrainRequest("tales", threads=99_999)))


def test_evaluations_do_not_affect_training(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They switch the network to evaluation mode and back."""
    data = worlds.create_dataset(workspace)
    watched = worlds.finish_run(workspace, worlds.build_job(data, 12, **COUNTED))
    unwatched = Workspace(workspace.root.with_name("unwatched"))
    monkeypatch.setattr("genloom.train.steps.NUM_EVALS", 0)
    alone = worlds.finish_run(unwatched, worlds.build_job(worlds.create_dataset(unwatched), 12, **COUNTED))
    assert worlds.file_digests(unwatched, alone.ref) == worlds.file_digests(workspace, watched.ref)


def test_the_lock_of_a_killed_process_is_released(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 6))
    assert run_with_deaths(workspace, run, [{"call": 12}], 1) == [-signal.SIGKILL, 0]
    assert (workspace.get_run(run).folder / "done.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [COUNTED, {**AVERAGED, "network__dropout": "0.1", "plan__precision": '"bfloat16"'}],
    ids=["counted", "bfloat16"],
)
def test_a_compiled_run_killed_at_random_moments_ends_in_the_same_bits(
    worlds: ModuleType, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    """With dropout: the noise of a compiled program is a function of the step. The compile cache starts empty."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    deaths: list[dict[str, float]] = [{"call": 25}, {"call": 40}, {"after": 12}]
    codes = check_resume(worlds, workspace, deaths, {**changes, "plan__torch_compile": "true"})
    assert codes.count(-signal.SIGKILL) >= 2, codes
    metadata = [json.loads(path.read_text()) for path in (workspace.root / "runs").glob("*/state/*.json")]
    assert {state["machine"]["compiled"] for state in metadata} == {True}, "every process compiled"


def test_resuming_without_torch_compile_gives_a_warning(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run moves to a machine without a compiler."""
    job = worlds.build_job(worlds.create_dataset(workspace), 6)
    run = worlds.start_run(workspace, job)
    events = worlds.resume_run(workspace, run, save_steps=2)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 3)
    events.close()
    newest = max((workspace.get_run(run).folder / "state").glob("*.json"))
    metadata = json.loads(newest.read_text())
    newest.write_text(json.dumps({**metadata, "machine": {**metadata["machine"], "compiled": True}}))
    replace(job, plan=replace(job.plan, torch_compile=True)).save(workspace.get_run(run).folder / "job.toml")
    monkeypatch.setattr("genloom.train.run.find_compile_error", lambda: "no C++ compiler")
    warnings = [event.text for event in worlds.resume_run(workspace, run) if isinstance(event, RunWarning)]
    assert len(warnings) == 2
    assert "no C++ compiler" in warnings[0]
    assert "compiled True → False" in warnings[1]


def test_a_damaged_token_stream_is_encoded_again(worlds: ModuleType, workspace: Workspace) -> None:
    job = worlds.build_job(worlds.create_dataset(workspace), 9)
    uninterrupted, damaged = worlds.start_run(workspace, job), worlds.start_run(workspace, job)
    list(worlds.resume_run(workspace, uninterrupted))
    events = worlds.resume_run(workspace, damaged)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 4)
    events.close()
    tokens_path = workspace.get_run(damaged).folder / "train.symbols"
    content = tokens_path.read_bytes()
    tokens_path.write_bytes(content[:-2] + b"\x00\x00")
    warnings = [event.text for event in worlds.resume_run(workspace, damaged) if isinstance(event, RunWarning)]
    assert len(warnings) == 1
    assert "train.symbols is damaged" in warnings[0]
    assert tokens_path.read_bytes() == content
    assert outcome(worlds, workspace, damaged)[:2] == outcome(worlds, workspace, uninterrupted)[:2]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"network__width": "1000000000"}, ["network.width", "1,048,576"]),
        ({"network__depth": "1000000000"}, ["network.depth", "1,024"]),
        ({"network__width": "1000000", "network__depth": "2"}, ["network.width", "network.depth"]),
        ({"batch_size": "2000000000"}, ["GB", "batch_size"]),
        ({"context_length": "2000000000"}, ["context_length", "2000000000"]),
        ({"network": "{name = 'ngram', num_folds = 1000000}"}, ["context_length", "32"]),
    ],
)
def test_huge_sizes_in_an_edited_job_are_an_error(
    worlds: ModuleType, workspace: Workspace, changes: dict[str, str], names: list[str]
) -> None:
    run = worlds.start_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 4, **changes))
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        list(worlds.resume_run(workspace, run))
    assert all(name in str(caught.value) for name in names), caught.value


def test_data_that_were_changed_are_not_trained_on(worlds: ModuleType, workspace: Workspace) -> None:
    data = worlds.create_dataset(workspace)
    (part,) = data.folder.glob("*.parquet")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with raises_code("store.damaged", path=part):
        list(train_model(workspace, TrainRequest("tales")))
