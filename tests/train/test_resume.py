"""The resume proof: a run killed at any moment goes on to the same bits as one never stopped."""

import errno
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.store import files
from genloom.store.workspace import Workspace
from genloom.train.events import RunResult, RunWarning, Status, StepMetrics
from genloom.train.job import read_job
from genloom.train.log import read_log
from genloom.train.run import TrainRequest, train_model

AVERAGED = {"plan__average": "0.99"}
COUNTED = {"network": "{name = 'ngram', base = {width = 16, depth = 1, heads = 2, dropout = 0.1}}", **AVERAGED}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def killed(workspace: Workspace, run: str, deaths: list[dict[str, float]], save_steps: int) -> list[int]:
    """Carry a run on through deaths; the exit codes of its lives."""
    script = Path(__file__).with_name("kills.py")
    command = [sys.executable, str(script), str(workspace.root), run, str(save_steps)]
    ended = subprocess.run(command, input=json.dumps(deaths), capture_output=True, text=True, check=False, timeout=500)
    assert ended.returncode == 0, ended.stderr
    codes = json.loads(ended.stdout)
    assert codes[-1] == 0, ended.stderr
    return codes


def outcome(worlds: ModuleType, workspace: Workspace, run: str) -> tuple[Any, ...]:
    """All that a run leaves: the model's files, the last state with optimizer and averages, and what was logged."""
    folder = workspace.get_run(run).folder
    ref = json.loads((folder / "done.json").read_text())["model"]
    rows = read_log(folder / "progress.jsonl")
    steps = [(row["step"], row.get("losses"), row.get("bits_per_byte")) for row in rows if row["step"] % 2 == 0]
    return worlds.files_of(workspace, ref), worlds.newest_state(workspace, run), steps


def proven(
    worlds: ModuleType, workspace: Workspace, deaths: list[dict[str, float]], job: dict[str, str], steps: int = 24
) -> list[int]:
    """A killed run leaves what an uninterrupted one leaves; the exit codes of its lives."""
    planned = worlds.job(worlds.dataset(workspace), steps, **job)
    whole, torn = worlds.started(workspace, planned), worlds.started(workspace, planned)
    assert killed(workspace, whole, [], 2) == [0]
    codes = killed(workspace, torn, deaths, 2)
    assert outcome(worlds, workspace, torn) == outcome(worlds, workspace, whole)
    assert len(workspace.list_models()) == 2, "one model a run, however often it was killed while storing it"
    assert not [f for f in workspace.list_faults() if f]
    return codes


def test_a_run_killed_at_random_moments_ends_in_the_same_bits(worlds: ModuleType, workspace: Workspace) -> None:
    draw = random.Random(1)
    deaths: list[dict[str, float]] = [{"call": draw.randint(8, 40)} for _ in range(6)]
    deaths += [{"after": draw.uniform(0.05, 0.6)} for _ in range(3)]
    codes = proven(worlds, workspace, deaths, AVERAGED)
    assert codes.count(-signal.SIGKILL) >= 5, codes


@pytest.mark.parametrize("apart", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_at_every_step_of_a_save_ends_in_the_same_bits(
    worlds: ModuleType, workspace: Workspace, apart: int
) -> None:
    """Each life dies so many things done to the disk later than the one before: in the stream, then in the saves."""
    deaths: list[dict[str, float]] = [{"call": n} for n in range(1, 24, apart)]
    codes = proven(worlds, workspace, deaths, COUNTED)
    assert codes.count(-signal.SIGKILL) >= len(deaths) - 3, codes


@pytest.mark.slow
@pytest.mark.parametrize("job", [AVERAGED, COUNTED, {**COUNTED, "plan__precision": "bfloat16", "plan__pieces": "2"}])
def test_many_kills_at_random_moments_end_in_the_same_bits(
    worlds: ModuleType, workspace: Workspace, job: dict[str, str]
) -> None:
    draw = random.Random(2)
    calls: list[dict[str, float]] = [{"call": draw.randint(1, 80)} for _ in range(30)]
    times: list[dict[str, float]] = [{"after": draw.uniform(0.1, 0.7)} for _ in range(20)]
    deaths = draw.sample(calls + times, 50)
    # So many steps that a fast machine is not done before it has died often enough.
    assert proven(worlds, workspace, deaths, job, 1000).count(-signal.SIGKILL) >= 20


def test_a_stopped_run_is_saved_and_goes_on_to_the_same_bits(worlds: ModuleType, workspace: Workspace) -> None:
    planned = worlds.job(worlds.dataset(workspace), 12, **AVERAGED)
    whole, stopped = worlds.started(workspace, planned), worlds.started(workspace, planned)
    list(worlds.carried_on(workspace, whole))
    events = worlds.carried_on(workspace, stopped)
    for event in events:
        if isinstance(event, StepMetrics) and event.step == 7:
            break
    events.close()
    assert worlds.newest_state(workspace, stopped)[0] == "000000007.safetensors"
    first, *_, last = list(worlds.carried_on(workspace, stopped))
    assert isinstance(first, Status)
    assert "from step 7 to 12" in first.text
    assert isinstance(last, RunResult)
    assert last.actual["steps"] == 12
    assert outcome(worlds, workspace, stopped) == outcome(worlds, workspace, whole)


def test_ctrl_c_stops_between_steps_with_exit_code_130(worlds: ModuleType, workspace: Workspace) -> None:
    planned = worlds.job(worlds.dataset(workspace), 3000)
    run = worlds.started(workspace, planned)
    code = "from genloom.cli import main; main()"
    arguments = ["train", "--resume", "tales", "--workspace", str(workspace.root), "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log = workspace.get_run(run).folder / "progress.jsonl"
    deadline = time.monotonic() + 60
    while not read_log(log) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "everything so far is saved" in out
    assert "genloom train --resume tales" in out
    step = int(out.split("Stopped at step ")[1].split(";")[0].replace(",", ""))
    assert 0 < step < 3000
    assert worlds.newest_state(workspace, run)[0] == f"{step:09d}.safetensors"


def test_a_finished_run_says_so(worlds: ModuleType, workspace: Workspace) -> None:
    planned = worlds.job(worlds.dataset(workspace), 4)
    ref = worlds.finished(workspace, planned).ref
    with pytest.raises(ValueError, match=f"is finished: its model is {ref}. .*--steps 8"):
        list(worlds.carried_on(workspace, "tales"))
    with pytest.raises(ValueError, match="is finished"):
        list(worlds.carried_on(workspace, "tales", steps=4))


@pytest.mark.parametrize("save_steps", [0, 3])
def test_an_extended_run_equals_a_longer_one(worlds: ModuleType, workspace: Workspace, save_steps: int) -> None:
    """Also where states of the decay were saved, which a run of the new length would not have gone through."""
    data = worlds.dataset(workspace)
    short = worlds.started(workspace, worlds.job(data, 12, **AVERAGED))
    list(worlds.carried_on(workspace, short, save_steps=save_steps))
    first, *_, last = list(worlds.carried_on(workspace, short, steps=30))
    assert isinstance(first, Status)
    assert "from step 5 towards 30" in first.text
    assert isinstance(last, RunResult)
    assert (last.ref, last.actual["steps"]) == ("tales/2", 30)
    fresh = worlds.started(workspace, worlds.job(data, 30, **AVERAGED))
    list(worlds.carried_on(workspace, fresh))
    assert outcome(worlds, workspace, short)[:2] == outcome(worlds, workspace, fresh)[:2]


def stopped_after(worlds: ModuleType, workspace: Workspace, run: str, step: int) -> None:
    events = worlds.carried_on(workspace, run, save_steps=1)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == step)
    events.close()


def test_a_run_is_shortened_from_where_it_is(worlds: ModuleType, workspace: Workspace) -> None:
    """It had learned longer at the full rate than a run of the new length would have: it decays from there."""
    run = worlds.started(workspace, worlds.job(worlds.dataset(workspace), 100))
    stopped_after(worlds, workspace, run, 20)
    first, *_, last = list(worlds.carried_on(workspace, run, steps=30))
    assert "from step 20 towards 30" in first.text
    assert last.actual["steps"] == 30
    plan = read_job(workspace.get_run(run).folder / "job.toml").plan
    assert (plan.steps, plan.cooldown_start) == (30, 20)
    first, *_ = worlds.carried_on(workspace, run, steps=60)
    assert "from step 20 towards 60" in first.text, "where it began to decay is kept"


def test_a_run_without_a_state_at_the_full_rate_is_left_as_it_is(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.started(workspace, worlds.job(worlds.dataset(workspace), 12))
    list(worlds.carried_on(workspace, run))
    states = workspace.get_run(run).folder / "state"
    (states / "000000005.json").unlink()
    before = worlds.newest_state(workspace, run)
    with pytest.raises(ValueError, match="no state left from before its learning rate began to fall"):
        list(worlds.carried_on(workspace, run, steps=30))
    assert worlds.newest_state(workspace, run) == before


def test_a_run_that_is_past_the_steps_asked_for_loses_nothing(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.started(workspace, worlds.job(worlds.dataset(workspace), 100))
    stopped_after(worlds, workspace, run, 20)
    before = worlds.newest_state(workspace, run)
    with pytest.raises(ValueError, match=r"20 steps at the full rate already: choose --steps above 20"):
        list(worlds.carried_on(workspace, run, steps=15))
    assert worlds.newest_state(workspace, run) == before
    assert read_job(workspace.get_run(run).folder / "job.toml").plan.steps == 100


def test_the_forecast_of_an_extended_run_is_for_its_new_length(worlds: ModuleType, workspace: Workspace) -> None:
    data = worlds.dataset(workspace)
    contract = {"estimate": "{steps = 6, tokens = 744, seconds = 1.5, tokens_per_second = 496, bits_per_byte = 2.0}"}
    run = worlds.started(workspace, worlds.job(data, 6, **contract))
    list(worlds.carried_on(workspace, run))
    *_, last = worlds.carried_on(workspace, run, steps=12)
    assert last.estimate == {"steps": 12, "tokens": 1488, "seconds": 3.0, "tokens_per_second": 496}


def test_the_time_of_all_processes_counts_and_no_step_is_logged_twice(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.started(workspace, worlds.job(worlds.dataset(workspace), 30))
    events = worlds.carried_on(workspace, run, save_steps=4)
    seconds = next(event.seconds for event in events if isinstance(event, StepMetrics) and event.step == 22)
    events.close()
    log = workspace.get_run(run).folder / "progress.jsonl"
    with open(log, "a") as file:
        file.write('{"step": 22, "losses": {"model": 9.0}, "seconds": 0.1}\n{"step": 23, "los')  # a kill cut it off
    for path in (workspace.get_run(run).folder / "state").glob("000000022.*"):
        path.unlink()
    *_, last = worlds.carried_on(workspace, run)
    taken = [row["step"] for row in read_log(log) if "losses" in row]
    assert taken == sorted(set(taken))
    assert taken[-1] == 30
    assert json.loads(log.read_text().splitlines()[-1])["step"] == 30
    assert last.actual["seconds"] >= round(seconds * 0.8, 1)


def test_changed_threads_are_named(worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run = worlds.started(workspace, worlds.job(worlds.dataset(workspace), 6))
    events = worlds.carried_on(workspace, run, save_steps=2)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 3)
    events.close()
    from genloom.train import checkpoint

    now = checkpoint.describe_machine()
    monkeypatch.setattr(checkpoint, "describe_machine", lambda: {**now, "threads": 64})
    warned = [event.text for event in worlds.carried_on(workspace, run) if isinstance(event, RunWarning)]
    assert len(warned) == 1
    assert f"threads {now['threads']} → 64" in warned[0]


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(worlds: ModuleType, workspace: Workspace) -> None:
    planned = worlds.job(worlds.dataset(workspace), 9, **AVERAGED)
    whole, hurt = worlds.started(workspace, planned), worlds.started(workspace, planned)
    list(worlds.carried_on(workspace, whole))
    events = worlds.carried_on(workspace, hurt, save_steps=1)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 8)
    newest = max((workspace.get_run(hurt).folder / "state").glob("*.safetensors"))
    events.close()
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    seen = list(worlds.carried_on(workspace, hurt))
    warned = [event.text for event in seen if isinstance(event, RunWarning)]
    assert len(warned) == 1
    assert "000000008.safetensors is damaged" in warned[0]
    assert outcome(worlds, workspace, hurt)[:2] == outcome(worlds, workspace, whole)[:2]


def test_a_full_disk_leaves_the_state_before_and_names_the_cure(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = worlds.job(worlds.dataset(workspace), 9)
    whole, full = worlds.started(workspace, planned), worlds.started(workspace, planned)
    list(worlds.carried_on(workspace, whole))
    events = worlds.carried_on(workspace, full, save_steps=3)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 4)

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", no_space)
        with pytest.raises(ValueError, match=r"the disk is full\. Free some space .* nothing that was"):
            list(events)
    assert worlds.newest_state(workspace, full)[0] == "000000004.safetensors", "where the decay begins"
    assert not list((workspace.get_run(full).folder / "state").glob(".*.draft"))
    list(worlds.carried_on(workspace, full))
    assert outcome(worlds, workspace, full)[:2] == outcome(worlds, workspace, whole)[:2]


def test_a_log_that_cannot_be_written_is_one_clear_error(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = worlds.started(workspace, worlds.job(worlds.dataset(workspace), 12))
    from genloom.train import log

    def read_only(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(log, "open", read_only, raising=False)
    with pytest.raises(ValueError, match=r"progress.jsonl: the file system is read-only. Mount it for writing"):
        list(worlds.carried_on(workspace, run))


def test_one_process_at_a_time_trains_a_run(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.started(workspace, worlds.job(worlds.dataset(workspace), 6))
    events = worlds.carried_on(workspace, run)
    next(event for event in events if isinstance(event, StepMetrics))
    with pytest.raises(ValueError, match=f"The run {run} is being trained by another process"):
        list(worlds.carried_on(workspace, run))
    events.close()
    assert isinstance(list(worlds.carried_on(workspace, run))[-1], RunResult)


def test_a_run_goes_on_with_its_own_version_of_the_data(worlds: ModuleType, workspace: Workspace) -> None:
    planned = worlds.job(worlds.dataset(workspace), 4)
    run = worlds.started(workspace, planned)
    newer = worlds.dataset(workspace, seed=5)
    assert newer.digest != planned.digest
    *_, last = worlds.carried_on(workspace, run)
    assert workspace.get_model(last.ref).card["data"]["digest"] == planned.digest
    missing = worlds.started(workspace, worlds.job(newer, 4, digest='"' + "0" * 64 + '"'))
    with pytest.raises(ValueError, match="The version 000000000000 of the data set 'tales' is not in the workspace"):
        list(worlds.carried_on(workspace, missing))


def test_a_run_that_failed_before_its_job_leaves_nothing(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.dataset(workspace)
    with pytest.raises(ValueError, match=r"Unknown setting plan\.decya\. Did you mean 'decay'"):
        list(train_model(workspace, TrainRequest("tales", overrides={"plan.cooldwon": "1"})))
    stopped = train_model(workspace, TrainRequest("tales"))
    assert isinstance(next(stopped), Status)
    stopped.close()
    assert workspace.list_runs() == []
    assert list((workspace.root / "runs").iterdir()) == []


def test_a_run_killed_before_its_job_does_not_hide_the_one_before(worlds: ModuleType, workspace: Workspace) -> None:
    older = worlds.started(workspace, worlds.job(worlds.dataset(workspace), 4))
    workspace.create_run("tales")
    *_, last = worlds.carried_on(workspace, "tales")
    assert last.run == older
    bare = workspace.create_run("others")
    with pytest.raises(ValueError, match=f"The run {bare.name} was stopped before training began"):
        list(worlds.carried_on(workspace, "others"))


@pytest.mark.parametrize("wrong", [{"steps": -5}, {"threads": -2}, {"save_steps": -1}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        TrainRequest("tales", **wrong)


def test_the_looks_at_held_out_text_change_nothing(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They put the network in another mode and back."""
    data = worlds.dataset(workspace)
    watched = worlds.finished(workspace, worlds.job(data, 12, **COUNTED))
    unwatched = Workspace(workspace.root.with_name("unwatched"))
    monkeypatch.setattr("genloom.train.run.NUM_EVALS", 0)
    alone = worlds.finished(unwatched, worlds.job(worlds.dataset(unwatched), 12, **COUNTED))
    assert worlds.files_of(unwatched, alone.ref) == worlds.files_of(workspace, watched.ref)


def test_the_lock_of_a_killed_process_is_gone(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.started(workspace, worlds.job(worlds.dataset(workspace), 6))
    assert killed(workspace, run, [{"call": 12}], 1) == [-signal.SIGKILL, 0]
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
    """Dropout too: what a compiled program draws follows from the step. Nothing is compiled before it starts."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    deaths: list[dict[str, float]] = [{"call": 25}, {"call": 40}, {"after": 12}]
    codes = proven(worlds, workspace, deaths, {**changes, "plan__compiled": "true"})
    assert codes.count(-signal.SIGKILL) >= 2, codes
    facts = [json.loads(path.read_text()) for path in (workspace.root / "runs").glob("*/state/*.json")]
    assert {state["machine"]["compiled"] for state in facts} == {True}, "none went on without"


def test_a_run_that_is_compiled_no_longer_is_named(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without a compiler takes a run over."""
    planned = worlds.job(worlds.dataset(workspace), 6)
    run = worlds.started(workspace, planned)
    events = worlds.carried_on(workspace, run, save_steps=2)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 3)
    events.close()
    newest = max((workspace.get_run(run).folder / "state").glob("*.json"))
    facts = json.loads(newest.read_text())
    newest.write_text(json.dumps({**facts, "machine": {**facts["machine"], "compiled": True}}))
    replace(planned, plan=replace(planned.plan, compiled=True)).save(workspace.get_run(run).folder / "job.toml")
    monkeypatch.setattr("genloom.train.run.find_compile_error", lambda: "no C++ compiler")
    warned = [event.text for event in worlds.carried_on(workspace, run) if isinstance(event, RunWarning)]
    assert len(warned) == 2
    assert "torch.compile does not work here" in warned[0]
    assert "no C++ compiler" in warned[0]
    assert "compiled True → False" in warned[1]
    assert "not to the same bits" in warned[1]


def test_damaged_symbols_are_noticed_and_made_again(worlds: ModuleType, workspace: Workspace) -> None:
    planned = worlds.job(worlds.dataset(workspace), 9)
    whole, hurt = worlds.started(workspace, planned), worlds.started(workspace, planned)
    list(worlds.carried_on(workspace, whole))
    events = worlds.carried_on(workspace, hurt)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 4)
    events.close()
    symbols = workspace.get_run(hurt).folder / "train.symbols"
    content = symbols.read_bytes()
    symbols.write_bytes(content[:-2] + b"\x00\x00")
    warned = [event.text for event in worlds.carried_on(workspace, hurt) if isinstance(event, RunWarning)]
    assert len(warned) == 1
    assert "train.symbols is damaged" in warned[0]
    assert symbols.read_bytes() == content
    assert outcome(worlds, workspace, hurt)[:2] == outcome(worlds, workspace, whole)[:2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network__width": "1_000_000_000"}, "network.width is 1,000,000,000; it can be at most 1,048,576."),
        ({"network__depth": "1_000_000_000"}, "network.depth is 1,000,000,000; it can be at most 1,024."),
        ({"network__width": "1_000_000", "network__depth": "2"}, "Choose a smaller network.width or network.depth."),
        ({"batch_size": "2_000_000_000"}, "Close other programs or ask for fewer parameters"),
        ({"context_length": "2_000_000_000"}, "and the model reads 2000000000 at once"),
        ({"network": "{name = 'ngram', folds = 1_000_000}"}, "and the model reads 32 at once"),
    ],
)
def test_sizes_of_an_edited_job_that_no_machine_has_are_one_clear_error(
    worlds: ModuleType, workspace: Workspace, changes: dict[str, str], words: str
) -> None:
    run = worlds.started(workspace, worlds.job(worlds.dataset(workspace), 4, **changes))
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        list(worlds.carried_on(workspace, run))
    assert words in str(caught.value)
