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
from genloom.train.events import Event, RunEstimate, RunResult, RunWarning, Status
from genloom.train.job import Job, read_job
from genloom.train.planning import auto_config, forecast
from genloom.train.planning.auto_config import Budget
from genloom.train.planning.benchmark import Benchmark, StepBenchmark
from genloom.train.run import TrainRequest, train_model

SMALL = {
    "network.base.width": "16",
    "network.base.depth": "1",
    "network.base.heads": "2",
    "context_length": "32",
    "batch_size": "4",
    "plan.precision": "float32",
}


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    worlds.dataset(workspace)
    return workspace


def until_contract(workspace: Workspace, **wanted: Any) -> tuple[RunEstimate, list[Event]]:
    """The contract and what was told before it; the run is stopped there and leaves nothing."""
    seen, events = [], train_model(workspace, TrainRequest("tales", **wanted))
    for event in events:
        if isinstance(event, RunEstimate):
            events.close()
            return event, seen
        seen.append(event)
    raise AssertionError("a run begins with its contract")


def job_of(workspace: Workspace, wishes: Budget) -> tuple[Job, list[Event]]:
    """The job of a small network for the wishes, and what is told on the way."""
    folder, seen = workspace.create_run("tales"), []
    planning = auto_config.plan_training(folder, workspace, workspace.get_dataset("tales"), "tales", wishes, SMALL)
    while True:
        try:
            seen.append(next(planning))
        except StopIteration as ended:
            return ended.value, seen


@pytest.mark.parametrize("wishes", [{"minutes": 1.0, "tokens": 100}, {"minutes": 1.0, "steps": 5}])
def test_wishes_that_exclude_each_other_are_refused(workspace: Workspace, wishes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Choose one of --minutes, --tokens and --steps"):
        until_contract(workspace, budget=Budget(**wishes))
    assert workspace.list_runs() == []


def test_the_contract_is_stored_and_the_fact_stands_beside_it(workspace: Workspace) -> None:
    seen = list(train_model(workspace, TrainRequest("tales", steps=12, overrides=SMALL)))
    (contract,) = [event for event in seen if isinstance(event, RunEstimate)]
    last = seen[-1]
    assert isinstance(last, RunResult)
    kept = contract.to_record()
    assert read_job(workspace.get_run(last.run).folder / "job.toml").estimate == kept
    assert read_job(workspace.get_model(last.ref).folder / "job.toml").estimate == kept
    assert last.estimate == kept
    card = workspace.get_model(last.ref).card
    assert card["forecast"] == json.loads(json.dumps(kept))
    assert card["fact"] == json.loads(json.dumps(last.actual))
    assert contract.steps == last.actual["steps"] == 12
    assert contract.total_units == 12 * 4 * 31
    assert kept["tokens"] == contract.total_units
    assert last.held_out_metric is not None
    assert (last.held_out_metric.name, last.held_out_metric.value) == ("bits per byte", last.actual["bits_per_byte"])
    assert 0 < last.held_out_metric.value < 8
    assert last.to_record()["bits_per_byte"] == last.held_out_metric.value
    assert contract.num_parameters == card["parameters"]
    assert contract.ngram_baseline is not None
    assert 0.3 < contract.ngram_baseline < 4


def test_steps_are_taken_exactly_and_tokens_about(workspace: Workspace) -> None:
    by_steps, _ = until_contract(workspace, steps=7, overrides=SMALL)
    assert by_steps.steps == 7
    by_tokens, _ = until_contract(workspace, budget=Budget(tokens=10_000), overrides=SMALL)
    assert 10_000 <= by_tokens.total_units < 10_000 + 4 * 31


def test_minutes_become_steps_at_the_speed_of_this_machine(workspace: Workspace) -> None:
    contract, _ = until_contract(workspace, budget=Budget(minutes=0.5), overrides=SMALL)
    assert 15 < contract.seconds < 30
    assert contract.steps == pytest.approx(contract.seconds * contract.units_per_second / (4 * 31), rel=0.02)


@pytest.mark.parametrize(("compiled_seconds", "wanted"), [(0.01, True), (0.03, False)])
def test_a_long_run_is_compiled_where_that_is_faster(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, compiled_seconds: float, wanted: bool
) -> None:
    def speed(bench: Benchmark, job: Job) -> StepBenchmark:
        return StepBenchmark(compiled_seconds if job.plan.torch_compile else 0.02, 1000)

    monkeypatch.setattr(Benchmark, "measure_step", speed)
    monkeypatch.setattr(auto_config, "find_compile_error", str)
    job, _ = job_of(workspace, Budget(minutes=15.0))
    assert job.plan.torch_compile is wanted
    seconds = min(compiled_seconds, 0.02) * job.batch_size / 4
    assert 700 < job.plan.steps * seconds < 900
    short, _ = job_of(workspace, Budget(minutes=2.0))
    assert not short.plan.torch_compile, "too short to repay it"
    fixed, _ = job_of(workspace, Budget(steps=50_000))
    assert (fixed.plan.steps, fixed.plan.torch_compile) == (50_000, wanted)


def test_of_much_text_a_short_run_tells_what_to_expect(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "PILOT_MIN_TOKENS", 100)
    tried: list[tuple[int, int]] = []
    share = 0.9

    def reached(bench: Benchmark, job: Job, steps: int) -> float:
        tried.append((steps, job.units_per_step))
        return share * bench.source.compute_ngram_baseline(job.design)

    monkeypatch.setattr(Benchmark, "train_and_evaluate", reached)
    monkeypatch.setattr(Benchmark, "measure_step", lambda bench, job: StepBenchmark(0.001, forecast.PILOT_PARAMETERS))
    short, _ = until_contract(workspace, budget=Budget(minutes=0.5), overrides=SMALL)
    assert not tried, "4,936 steps of a millisecond are more than 8 % of half a minute"
    long, seen = until_contract(workspace, budget=Budget(minutes=5), overrides=SMALL)
    assert "Trying a small network, to see how this text is learned" in [e.text for e in seen if isinstance(e, Status)]
    steps, amount = tried[0]
    assert forecast.PILOT_TOKENS <= steps * amount < forecast.PILOT_TOKENS + amount
    assert (short.error_margin, long.error_margin) == (0.12, 0.08)
    assert long.expected_loss is not None
    assert long.ngram_baseline is not None
    share = 0.7
    easier, _ = until_contract(workspace, budget=Budget(minutes=5), overrides=SMALL)
    assert easier.expected_loss is not None
    assert easier.expected_loss < 0.9 * long.expected_loss
    monkeypatch.setattr(
        Benchmark, "measure_step", lambda bench, job: StepBenchmark(0.001, 10 * forecast.PILOT_PARAMETERS)
    )
    until_contract(workspace, budget=Budget(minutes=5), overrides=SMALL)
    assert len(tried) == 2, "what a large network gains says nothing of a small one's"


def test_a_forecast_begins_where_the_short_run_ended_and_falls_from_there() -> None:
    design = Design("bytes", "autoregressive", "ngram")
    for gain in (-0.01, 0.02, 0.2):
        law = forecast.find_scaling_law(design, 10**9, gain)
        assert law is not None
        assert law.predict_ratio(forecast.PILOT_PARAMETERS, forecast.PILOT_TOKENS, 10**9) == pytest.approx(
            1 - gain, abs=1e-3
        )
        shares = [
            law.predict_ratio(size, reads, 10**9) for size in (160_000, 10**6) for reads in (10**6, 3 * 10**6, 10**7)
        ]
        assert shares[0] > shares[1] > shares[2]
        assert all(small > large for small, large in zip(shares[:3], shares[3:], strict=True))
        assert law.predict_ratio(160_000, 10**7, 10**5) > law.predict_ratio(160_000, 10**7, 10**9), (
            "what is read again teaches less"
        )
    assert forecast.find_scaling_law(Design("bytes", "autoregressive", "transformer"), 10**6) is None


@pytest.mark.slow
def test_the_short_run_is_a_real_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "PILOT_MIN_TOKENS", 100)
    monkeypatch.setattr(forecast, "PILOT_TOKENS", 2_000)
    contract, seen = until_contract(workspace, budget=Budget(minutes=1), overrides=SMALL)
    assert [e for e in seen if isinstance(e, Status) and e.text.startswith("Trying")]
    assert contract.error_margin == 0.08
    assert contract.expected_loss is not None
    assert contract.ngram_baseline is not None
    assert 0.2 * contract.ngram_baseline < contract.expected_loss < 1.1 * contract.ngram_baseline


def test_minutes_that_measuring_uses_up_are_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Benchmark, "measure_step", lambda bench, job: StepBenchmark(40.0, 1000))
    job, seen = job_of(workspace, Budget(minutes=1.0))
    assert job.plan.steps == 1
    (warned,) = [event.text for event in seen if isinstance(event, RunWarning)]
    assert "of the 1 minutes, which leaves time for 1 step, too few to learn much" in warned
    assert "--steps" in warned


def test_without_a_compiler_a_long_run_says_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Benchmark, "measure_step", lambda bench, job: StepBenchmark(0.02, 1000))
    monkeypatch.setattr(auto_config, "find_compile_error", lambda: "no C++ compiler")
    job, seen = job_of(workspace, Budget(minutes=15.0))
    assert not job.plan.torch_compile
    assert [e.text for e in seen if isinstance(e, RunWarning) and "torch.compile does not work here" in e.text]


@pytest.mark.slow
def test_a_compiler_that_is_missing_is_told(tmp_path: Path) -> None:
    """In a process of its own, whose compiler is a file that does not exist."""
    code = "from genloom.train.planning.benchmark import find_compile_error; print(repr(uncompilable()))"
    environment = {**os.environ, "CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() not in ("", "''")


@pytest.mark.parametrize("wanted", [150_000, 1_000_000])
def test_about_as_many_parameters_as_wished(workspace: Workspace, wanted: int) -> None:
    overrides = {"network.name": "transformer", "context_length": "32", "batch_size": "4", "plan.precision": "float32"}
    contract, _ = until_contract(workspace, steps=3, budget=Budget(params=wanted), overrides=overrides)
    assert wanted / 2 < contract.num_parameters < wanted * 2


def test_more_memory_than_there_is_is_refused_before_the_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        auto_config.psutil, "virtual_memory", lambda: SimpleNamespace(get_unavailable_reason=50_000_000, total=10**8)
    )
    with pytest.raises(ValueError, match=r"needs about \d.\d GB of memory, and there are 0.1 GB. Close"):
        until_contract(workspace, steps=3, overrides=SMALL)
    assert workspace.list_runs() == []


def test_a_text_too_small_to_learn_from_says_so(worlds: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    worlds.dataset(workspace, documents=1)  # one document, and it is for validation
    with pytest.raises(ValueError, match=r"has no training text\. Collect more, then train"):
        list(train_model(workspace, TrainRequest("tales", steps=3)))


def test_little_text_trains_with_a_shorter_length(worlds: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    worlds.dataset(workspace, documents=3)  # one to learn from
    overrides = {key: value for key, value in SMALL.items() if key != "length"}
    *_, last = train_model(workspace, TrainRequest("tales", steps=3, overrides=overrides))
    assert isinstance(last, RunResult)
    assert 8 <= read_job(workspace.get_model(last.ref).folder / "job.toml").design.context_length < 256


def test_text_read_many_times_over_is_named(workspace: Workspace) -> None:
    settings = {**SMALL, "plan.torch_compile": "false"}  # a busy machine would try
    _, seen = until_contract(workspace, budget=Budget(tokens=2_000_000), overrides=settings)
    (warned,) = [event.text for event in seen if isinstance(event, RunWarning)]
    assert "times over" in warned


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"network.base.widht": "3"}, "Unknown setting network.base.widht. Did you mean 'width'?"),
        ({"network.name": "tranformer"}, "There is no network 'tranformer'. Did you mean 'transformer'?"),
        ({"codec.name": "byte"}, "There is no codec 'byte'. Did you mean 'bytes'?"),
        ({"codec.vocab_size": "500"}, "Unknown setting codec.vocab_size."),
        ({"objective.name": "masked", "network.name": "recurrent"}, "reads symbols from left to right"),
        ({"objective.name": "variational"}, "does not learn what the codec 'bytes' makes of the data"),
        ({"plan.precision": "int8"}, "Unknown precision 'int8': choose float32 or bfloat16."),
        ({"plan.optimizer.family": "sgd"}, "Unknown optimizer family 'sgd': choose muon or adamw."),
        ({"network.base.heads": "3", "network.base.width": "16"}, "width must be heads x an even number"),
    ],
)
def test_a_job_that_cannot_be_is_one_clear_error_and_no_run(
    workspace: Workspace, overrides: dict[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        until_contract(workspace, steps=2, overrides={"context_length": "32", "batch_size": "4", **overrides})
    assert words in str(caught.value)
    assert workspace.list_runs() == []


@pytest.mark.parametrize(
    "overrides",
    [
        {"objective.name": "masked"},
        {"network.name": "recurrent", "network.width": "16", "network.depth": "1"},
        {"codec.name": "bpe", "codec.vocab_size": "300"},
    ],
)
def test_every_kind_of_model_trains_from_one_setting(workspace: Workspace, overrides: dict[str, str]) -> None:
    settings = {"context_length": "32", "batch_size": "4", "plan.precision": "float32", **overrides}
    *_, last = train_model(workspace, TrainRequest("tales", steps=3, overrides=settings))
    assert isinstance(last, RunResult)
    assert last.actual["steps"] == 3
