"""From one wish to a whole job: what is promised, stored, and told after."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from genloom.model import Design
from genloom.store.workspace import Workspace
from genloom.train import dial, forecast
from genloom.train.dial import Wishes
from genloom.train.events import Contract, Event, Finished, Stage, Warned
from genloom.train.job import Job, read_job
from genloom.train.run import Request, train_model
from genloom.train.speed import Bench, Speed

SMALL = {
    "network.base.width": "16",
    "network.base.depth": "1",
    "network.base.heads": "2",
    "length": "32",
    "rows": "4",
    "plan.precision": "float32",
}


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    worlds.dataset(workspace)
    return workspace


def until_contract(workspace: Workspace, **wanted: Any) -> tuple[Contract, list[Event]]:
    """The contract and what was told before it; the run is stopped there and leaves nothing."""
    seen, events = [], train_model(workspace, Request("tales", **wanted))
    for event in events:
        if isinstance(event, Contract):
            events.close()
            return event, seen
        seen.append(event)
    raise AssertionError("a run begins with its contract")


def job_of(workspace: Workspace, wishes: Wishes) -> tuple[Job, list[Event]]:
    """The job of a small network for the wishes, and what is told on the way."""
    folder, seen = workspace.new_run("tales"), []
    planning = dial.planned(folder, workspace, workspace.dataset("tales"), "tales", wishes, SMALL)
    while True:
        try:
            seen.append(next(planning))
        except StopIteration as ended:
            return ended.value, seen


@pytest.mark.parametrize("wishes", [{"minutes": 1.0, "tokens": 100}, {"minutes": 1.0, "steps": 5}])
def test_wishes_that_exclude_each_other_are_refused(workspace: Workspace, wishes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Choose one of --minutes, --tokens and --steps"):
        until_contract(workspace, wishes=Wishes(**wishes))
    assert workspace.runs() == []


def test_the_contract_is_stored_and_the_fact_stands_beside_it(workspace: Workspace) -> None:
    seen = list(train_model(workspace, Request("tales", steps=12, overrides=SMALL)))
    (contract,) = [event for event in seen if isinstance(event, Contract)]
    last = seen[-1]
    assert isinstance(last, Finished)
    kept = contract.facts()
    assert read_job(workspace.run(last.run).folder / "job.toml").contract == kept
    assert read_job(workspace.model(last.ref).folder / "job.toml").contract == kept
    assert last.forecast == kept
    card = workspace.model(last.ref).card
    assert card["forecast"] == json.loads(json.dumps(kept))
    assert card["fact"] == json.loads(json.dumps(last.fact))
    assert contract.steps == last.fact["steps"] == 12
    assert contract.amount == 12 * 4 * 31
    assert kept["tokens"] == contract.amount
    assert last.found is not None
    assert (last.found.name, last.found.value) == ("bits per byte", last.fact["bits_per_byte"])
    assert 0 < last.found.value < 8
    assert last.facts()["bits_per_byte"] == last.found.value
    assert contract.parameters == card["parameters"]
    assert contract.floor is not None
    assert 0.3 < contract.floor < 4


def test_steps_are_taken_exactly_and_tokens_about(workspace: Workspace) -> None:
    by_steps, _ = until_contract(workspace, steps=7, overrides=SMALL)
    assert by_steps.steps == 7
    by_tokens, _ = until_contract(workspace, wishes=Wishes(tokens=10_000), overrides=SMALL)
    assert 10_000 <= by_tokens.amount < 10_000 + 4 * 31


def test_minutes_become_steps_at_the_speed_of_this_machine(workspace: Workspace) -> None:
    contract, _ = until_contract(workspace, wishes=Wishes(minutes=0.5), overrides=SMALL)
    assert 15 < contract.seconds < 30
    assert contract.steps == pytest.approx(contract.seconds * contract.speed / (4 * 31), rel=0.02)


@pytest.mark.parametrize(("compiled_seconds", "wanted"), [(0.01, True), (0.03, False)])
def test_a_long_run_is_compiled_where_that_is_faster(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, compiled_seconds: float, wanted: bool
) -> None:
    def speed(bench: Bench, job: Job) -> Speed:
        return Speed(compiled_seconds if job.plan.compiled else 0.02, 1000)

    monkeypatch.setattr(Bench, "speed", speed)
    monkeypatch.setattr(dial, "uncompilable", str)
    job, _ = job_of(workspace, Wishes(minutes=15.0))
    assert job.plan.compiled is wanted
    seconds = min(compiled_seconds, 0.02) * job.rows / 4
    assert 700 < job.plan.steps * seconds < 900
    short, _ = job_of(workspace, Wishes(minutes=2.0))
    assert not short.plan.compiled, "too short to repay it"
    fixed, _ = job_of(workspace, Wishes(steps=50_000))
    assert (fixed.plan.steps, fixed.plan.compiled) == (50_000, wanted)


def test_of_much_text_a_short_run_tells_what_to_expect(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "MUCH", 100)
    tried: list[tuple[int, int]] = []
    share = 0.9

    def reached(bench: Bench, job: Job, steps: int) -> float:
        tried.append((steps, job.amount))
        return share * bench.material.floor(job.design)

    monkeypatch.setattr(Bench, "reached", reached)
    monkeypatch.setattr(Bench, "speed", lambda bench, job: Speed(0.001, forecast.PILOT_SIZE))
    short, _ = until_contract(workspace, wishes=Wishes(minutes=0.5), overrides=SMALL)
    assert not tried, "4,936 steps of a millisecond are more than 8 % of half a minute"
    long, seen = until_contract(workspace, wishes=Wishes(minutes=5), overrides=SMALL)
    assert "Trying a small network, to see how this text is learned" in [e.text for e in seen if isinstance(e, Stage)]
    steps, amount = tried[0]
    assert forecast.PILOT <= steps * amount < forecast.PILOT + amount
    assert (short.error, long.error) == (0.12, 0.08)
    assert long.expected is not None
    assert long.floor is not None
    share = 0.7
    easier, _ = until_contract(workspace, wishes=Wishes(minutes=5), overrides=SMALL)
    assert easier.expected is not None
    assert easier.expected < 0.9 * long.expected
    monkeypatch.setattr(Bench, "speed", lambda bench, job: Speed(0.001, 10 * forecast.PILOT_SIZE))
    until_contract(workspace, wishes=Wishes(minutes=5), overrides=SMALL)
    assert len(tried) == 2, "what a large network gains says nothing of a small one's"


def test_a_forecast_begins_where_the_short_run_ended_and_falls_from_there() -> None:
    design = Design("bytes", "autoregressive", "ngram")
    for gain in (-0.01, 0.02, 0.2):
        law = forecast.law_of(design, 10**9, gain)
        assert law is not None
        assert law.share(forecast.PILOT_SIZE, forecast.PILOT, 10**9) == pytest.approx(1 - gain, abs=1e-3)
        shares = [law.share(size, reads, 10**9) for size in (160_000, 10**6) for reads in (10**6, 3 * 10**6, 10**7)]
        assert shares[0] > shares[1] > shares[2]
        assert all(small > large for small, large in zip(shares[:3], shares[3:], strict=True))
        assert law.share(160_000, 10**7, 10**5) > law.share(160_000, 10**7, 10**9), "what is read again teaches less"
    assert forecast.law_of(Design("bytes", "autoregressive", "transformer"), 10**6) is None


@pytest.mark.slow
def test_the_short_run_is_a_real_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "MUCH", 100)
    monkeypatch.setattr(forecast, "PILOT", 2_000)
    contract, seen = until_contract(workspace, wishes=Wishes(minutes=1), overrides=SMALL)
    assert [e for e in seen if isinstance(e, Stage) and e.text.startswith("Trying")]
    assert contract.error == 0.08
    assert contract.expected is not None
    assert contract.floor is not None
    assert 0.2 * contract.floor < contract.expected < 1.1 * contract.floor


def test_minutes_that_measuring_uses_up_are_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "speed", lambda bench, job: Speed(40.0, 1000))
    job, seen = job_of(workspace, Wishes(minutes=1.0))
    assert job.plan.steps == 1
    (warned,) = [event.text for event in seen if isinstance(event, Warned)]
    assert "of the 1 minutes, which leaves time for 1 step, too few to learn much" in warned
    assert "--steps" in warned


def test_without_a_compiler_a_long_run_says_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "speed", lambda bench, job: Speed(0.02, 1000))
    monkeypatch.setattr(dial, "uncompilable", lambda: "no C++ compiler")
    job, seen = job_of(workspace, Wishes(minutes=15.0))
    assert not job.plan.compiled
    assert [e.text for e in seen if isinstance(e, Warned) and "torch.compile does not work here" in e.text]


@pytest.mark.slow
def test_a_compiler_that_is_missing_is_told(tmp_path: Path) -> None:
    """In a process of its own, whose compiler is a file that does not exist."""
    code = "from genloom.train.speed import uncompilable; print(repr(uncompilable()))"
    environment = {**os.environ, "CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() not in ("", "''")


@pytest.mark.parametrize("wanted", [150_000, 1_000_000])
def test_about_as_many_parameters_as_wished(workspace: Workspace, wanted: int) -> None:
    overrides = {"network.name": "transformer", "length": "32", "rows": "4", "plan.precision": "float32"}
    contract, _ = until_contract(workspace, steps=3, wishes=Wishes(params=wanted), overrides=overrides)
    assert wanted / 2 < contract.parameters < wanted * 2


def test_more_memory_than_there_is_is_refused_before_the_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial.psutil, "virtual_memory", lambda: SimpleNamespace(available=50_000_000, total=10**8))
    with pytest.raises(ValueError, match=r"needs about \d.\d GB of memory, and there are 0.1 GB. Close"):
        until_contract(workspace, steps=3, overrides=SMALL)
    assert workspace.runs() == []


def test_a_text_too_small_to_learn_from_says_so(worlds: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    worlds.dataset(workspace, documents=1)  # one document, and it is for validation
    with pytest.raises(ValueError, match=r"has no training text\. Collect more, then train"):
        list(train_model(workspace, Request("tales", steps=3)))


def test_little_text_trains_with_a_shorter_length(worlds: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    worlds.dataset(workspace, documents=3)  # one to learn from
    overrides = {key: value for key, value in SMALL.items() if key != "length"}
    *_, last = train_model(workspace, Request("tales", steps=3, overrides=overrides))
    assert isinstance(last, Finished)
    assert 8 <= read_job(workspace.model(last.ref).folder / "job.toml").design.length < 256


def test_text_read_many_times_over_is_named(workspace: Workspace) -> None:
    settings = {**SMALL, "plan.compiled": "false"}  # a busy machine would try
    _, seen = until_contract(workspace, wishes=Wishes(tokens=2_000_000), overrides=settings)
    (warned,) = [event.text for event in seen if isinstance(event, Warned)]
    assert "times over" in warned


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"network.base.widht": "3"}, "Unknown setting network.base.widht. Did you mean 'width'?"),
        ({"network.name": "tranformer"}, "There is no network 'tranformer'. Did you mean 'transformer'?"),
        ({"codec.name": "byte"}, "There is no codec 'byte'. Did you mean 'bytes'?"),
        ({"codec.vocab": "500"}, "Unknown setting codec.vocab."),
        ({"objective.name": "masked", "network.name": "recurrent"}, "reads symbols from left to right"),
        ({"objective.name": "variational"}, "does not learn what the codec 'bytes' makes of the data"),
        ({"plan.precision": "int8"}, "Unknown precision 'int8': choose float32 or bfloat16."),
        ({"plan.rates.family": "sgd"}, "Unknown optimizer family 'sgd': choose muon or adamw."),
        ({"network.base.heads": "3", "network.base.width": "16"}, "width must be heads x an even number"),
    ],
)
def test_a_job_that_cannot_be_is_one_clear_error_and_no_run(
    workspace: Workspace, overrides: dict[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        until_contract(workspace, steps=2, overrides={"length": "32", "rows": "4", **overrides})
    assert words in str(caught.value)
    assert workspace.runs() == []


@pytest.mark.parametrize(
    "overrides",
    [
        {"objective.name": "masked"},
        {"network.name": "recurrent", "network.width": "16", "network.depth": "1"},
        {"codec.name": "bpe", "codec.vocab": "300"},
    ],
)
def test_every_kind_of_model_trains_from_one_setting(workspace: Workspace, overrides: dict[str, str]) -> None:
    settings = {"length": "32", "rows": "4", "plan.precision": "float32", **overrides}
    *_, last = train_model(workspace, Request("tales", steps=3, overrides=settings))
    assert isinstance(last, Finished)
    assert last.fact["steps"] == 3
