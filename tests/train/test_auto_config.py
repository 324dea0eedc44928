"""Automatic configuration: from a budget to a job, its estimate, and the measurements stored with it."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from genloom.memory import Memory
from genloom.model import Design, build_objective, count_network_parameters, resolve_space
from genloom.running_time import read_running_seconds
from genloom.store.workspace import Workspace
from genloom.train.events import Event, RunEstimate, RunResult, RunWarning, Status
from genloom.train.job import Job, read_job
from genloom.train.planning import auto_config, forecast
from genloom.train.planning.auto_config import Budget
from genloom.train.planning.benchmark import Benchmark, StepBenchmark
from genloom.train.run import TrainRequest, train_model
from tests.errors import raises_code

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
    worlds.create_dataset(workspace)
    return workspace


def plan(workspace: Workspace, **options: Any) -> tuple[RunEstimate, list[Event]]:
    """Return the estimate and the events before it; the run is stopped there and leaves nothing."""
    events, run = [], train_model(workspace, TrainRequest("tales", **options))
    for event in run:
        if isinstance(event, RunEstimate):
            run.close()
            return event, events
        events.append(event)
    raise AssertionError("a run begins with its estimate")


def plan_job(workspace: Workspace, budget: Budget) -> tuple[Job, list[Event]]:
    """Return the job of a small network for the budget, and the events before it."""
    folder, events = workspace.create_run("tales"), []
    planning = auto_config.plan_training(folder, workspace, workspace.get_dataset("tales"), "tales", budget, SMALL)
    while True:
        try:
            events.append(next(planning))
        except StopIteration as ended:
            return ended.value, events


@pytest.mark.parametrize("budget", [{"minutes": 1.0, "tokens": 100}, {"minutes": 1.0, "steps": 5}])
def test_conflicting_limits_are_an_error(workspace: Workspace, budget: dict[str, Any]) -> None:
    with raises_code("train.several_lengths"):
        plan(workspace, budget=Budget(**budget))
    assert workspace.list_runs() == []


def test_the_estimate_and_the_measurements_are_stored(workspace: Workspace) -> None:
    events = list(train_model(workspace, TrainRequest("tales", steps=12, overrides=SMALL)))
    (estimate,) = [event for event in events if isinstance(event, RunEstimate)]
    last = events[-1]
    assert isinstance(last, RunResult)
    record = estimate.to_record()
    assert read_job(workspace.get_run(last.run).folder / "job.toml").estimate == record
    assert read_job(workspace.get_model(last.ref).folder / "job.toml").estimate == record
    assert last.estimate == record
    card = workspace.get_model(last.ref).card
    assert card["forecast"] == json.loads(json.dumps(record))
    assert card["fact"] == json.loads(json.dumps(last.actual))
    assert estimate.steps == last.actual["steps"] == 12
    assert estimate.total_units == 12 * 4 * 31
    assert record["tokens"] == estimate.total_units
    assert last.held_out_metric is not None
    assert (last.held_out_metric.name, last.held_out_metric.value) == ("bits per byte", last.actual["bits_per_byte"])
    assert 0 < last.held_out_metric.value < 8
    assert last.to_record()["bits_per_byte"] == last.held_out_metric.value
    assert estimate.num_parameters == card["parameters"]
    assert estimate.ngram_baseline is not None
    assert 0.3 < estimate.ngram_baseline < 4


def test_the_parts_are_named_before_the_work(workspace: Workspace) -> None:
    overrides = {**SMALL, "codec.name": "bytes"}
    _, event = islice(train_model(workspace, TrainRequest("tales", overrides=overrides, budget=Budget(steps=1))), 2)
    assert isinstance(event, Status)
    assert "codec bytes (set), network ngram, objective autoregressive" in event.text


def test_settings_of_an_objective_are_checked_before_the_work(workspace: Workspace) -> None:
    for setting, code in (("objective.z_loss", "core.bad_setting_value"), ("objective.zloss", "core.unknown_setting")):
        with raises_code(code):
            list(train_model(workspace, TrainRequest("tales", overrides={setting: "no"}, budget=Budget(steps=1))))


def test_steps_are_exact_and_tokens_approximate(workspace: Workspace) -> None:
    by_steps, _ = plan(workspace, steps=7, overrides=SMALL)
    assert by_steps.steps == 7
    by_tokens, _ = plan(workspace, budget=Budget(tokens=10_000), overrides=SMALL)
    assert 10_000 <= by_tokens.total_units < 10_000 + 4 * 31


def test_minutes_become_steps_at_the_speed_of_this_machine(workspace: Workspace) -> None:
    estimate, _ = plan(workspace, budget=Budget(minutes=0.5), overrides=SMALL)
    assert 15 < estimate.seconds < 30
    assert estimate.steps == pytest.approx(estimate.seconds * estimate.units_per_second / (4 * 31), rel=0.02)


@pytest.mark.parametrize(("compiled_seconds", "wanted"), [(0.01, True), (0.03, False)])
def test_a_long_run_is_compiled_if_that_is_faster(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, compiled_seconds: float, wanted: bool
) -> None:
    def measure(bench: Benchmark, job: Job) -> StepBenchmark:
        return StepBenchmark(compiled_seconds if job.plan.torch_compile else 0.02, 1000)

    monkeypatch.setattr(Benchmark, "measure_step", measure)
    monkeypatch.setattr(auto_config, "find_compile_error", str)
    job, _ = plan_job(workspace, Budget(minutes=15.0))
    assert job.plan.torch_compile is wanted
    seconds = min(compiled_seconds, 0.02) * job.batch_size / 4
    assert 700 < job.plan.steps * seconds < 900
    short, _ = plan_job(workspace, Budget(minutes=2.0))
    assert not short.plan.torch_compile, "too short to repay it"
    fixed, _ = plan_job(workspace, Budget(steps=50_000))
    assert (fixed.plan.steps, fixed.plan.torch_compile) == (50_000, wanted)


def test_a_pilot_run_forecasts_the_quality_on_much_text(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "PILOT_MIN_TOKENS", 100)
    pilots: list[tuple[int, int]] = []
    share = 0.9

    def train_pilot(bench: Benchmark, job: Job, steps: int) -> float:
        pilots.append((steps, job.units_per_step))
        return share * bench.source.compute_ngram_baseline(job.design)

    monkeypatch.setattr(Benchmark, "train_and_evaluate", train_pilot)
    monkeypatch.setattr(Benchmark, "measure_step", lambda bench, job: StepBenchmark(0.001, forecast.PILOT_PARAMETERS))
    short, _ = plan(workspace, budget=Budget(minutes=0.5), overrides=SMALL)
    assert not pilots, "4,936 steps of a millisecond are more than 8 % of half a minute"
    long, events = plan(workspace, budget=Budget(minutes=5), overrides=SMALL)
    assert [e for e in events if isinstance(e, Status) and "pilot" in e.text]
    steps, units_per_step = pilots[0]
    assert forecast.PILOT_TOKENS <= steps * units_per_step < forecast.PILOT_TOKENS + units_per_step
    assert (short.error_margin, long.error_margin) == (0.12, 0.08)
    assert long.expected_loss is not None
    assert long.ngram_baseline is not None
    share = 0.7
    easier, _ = plan(workspace, budget=Budget(minutes=5), overrides=SMALL)
    assert easier.expected_loss is not None
    assert easier.expected_loss < 0.9 * long.expected_loss
    monkeypatch.setattr(
        Benchmark, "measure_step", lambda bench, job: StepBenchmark(0.001, 10 * forecast.PILOT_PARAMETERS)
    )
    plan(workspace, budget=Budget(minutes=5), overrides=SMALL)
    assert len(pilots) == 2, "a pilot network that is too large says nothing"


def test_a_forecast_starts_at_the_pilot_and_falls_with_size_and_data() -> None:
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
            "repeated text is worth less"
        )
    assert forecast.find_scaling_law(Design("bytes", "autoregressive", "transformer"), 10**6) is None


@pytest.mark.slow
def test_the_pilot_run_trains(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "PILOT_MIN_TOKENS", 100)
    monkeypatch.setattr(forecast, "PILOT_TOKENS", 2_000)
    estimate, events = plan(workspace, budget=Budget(minutes=1), overrides=SMALL)
    assert [e for e in events if isinstance(e, Status) and "pilot" in e.text]
    assert estimate.error_margin == 0.08
    assert estimate.expected_loss is not None
    assert estimate.ngram_baseline is not None
    assert 0.2 * estimate.ngram_baseline < estimate.expected_loss < 1.1 * estimate.ngram_baseline


def test_too_little_time_after_setup_gives_a_warning(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Benchmark, "measure_step", lambda bench, job: StepBenchmark(40.0, 1000))
    job, events = plan_job(workspace, Budget(minutes=1.0))
    assert job.plan.steps == 1
    (warning,) = [event.text for event in events if isinstance(event, RunWarning)]
    assert "only 1 step." in warning


def test_without_a_compiler_a_long_run_gives_a_warning(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Benchmark, "measure_step", lambda bench, job: StepBenchmark(0.02, 1000))
    monkeypatch.setattr(auto_config, "find_compile_error", lambda: "no C++ compiler")
    job, events = plan_job(workspace, Budget(minutes=15.0))
    assert not job.plan.torch_compile
    assert [e.text for e in events if isinstance(e, RunWarning) and "no C++ compiler" in e.text]


@pytest.mark.slow
def test_a_missing_compiler_is_found(tmp_path: Path) -> None:
    """In a process of its own, whose compiler is a file that does not exist."""
    code = "from genloom.train.planning.benchmark import find_compile_error; print(repr(find_compile_error()))"
    environment = {**os.environ, "CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() not in ("", "''")


@pytest.mark.parametrize("wanted", [150_000, 1_000_000])
def test_the_network_has_about_the_requested_parameters(workspace: Workspace, wanted: int) -> None:
    overrides = {"network.name": "transformer", "context_length": "32", "batch_size": "4", "plan.precision": "float32"}
    estimate, _ = plan(workspace, steps=3, budget=Budget(params=wanted), overrides=overrides)
    assert wanted / 2 < estimate.num_parameters < wanted * 2


def test_too_little_memory_is_an_error_before_the_run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_config, "measure_memory", lambda: Memory(10**8, 50_000_000))
    with raises_code("train.out_of_memory", available_gb=0.05):
        plan(workspace, steps=3, overrides=SMALL)
    assert workspace.list_runs() == []


@pytest.mark.parametrize(
    "setting", [{"batch_size": "1000000000"}, {"network.base.depth": "1000", "batch_size": "999999"}]
)
def test_sizes_beyond_memory_are_an_error_before_memory_is_taken(
    workspace: Workspace, setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genloom.train.planning.benchmark.train", lambda *_: pytest.fail("a step was tried"))
    with raises_code("train.out_of_memory"):
        plan(workspace, steps=3, overrides={**SMALL, **setting})
    assert workspace.list_runs() == []


def test_networks_beyond_memory_are_not_chosen(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest network that a long run would pay for may need more memory than there is."""
    sizes: list[int] = []

    def measure_step(_: Benchmark, job: Job) -> StepBenchmark:
        sizes.append(job.design.network_settings["base"]["width"])
        if sizes[-1] > 96:
            forecast.require_memory(2, 1)
        return StepBenchmark(1e-6, 1000 * sizes[-1])

    monkeypatch.setattr(Benchmark, "measure_step", measure_step)
    job = Job.from_tables(
        auto_config.default_job(workspace, workspace.get_dataset("tales"), "x", Budget(minutes=9), {})
    )
    time_left = auto_config.TimeLeft(Budget(minutes=9), 9, 0, read_running_seconds())
    law = auto_config.ScalingForecast(0.0, None, 10**6)
    candidates = auto_config.iter_candidates(job, Benchmark(SimpleNamespace(tokens_per_sample=1)), time_left, law, {})  # ty: ignore[invalid-argument-type]
    assert len(list(candidates)) == 2
    assert sizes == [64, 96, 128]


def test_a_data_set_without_training_text_is_an_error(worlds: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    worlds.create_dataset(workspace, documents=1)  # one document, and it is for validation
    with raises_code("train.no_data", data="tales"):
        list(train_model(workspace, TrainRequest("tales", steps=3)))


def test_little_text_trains_with_a_shorter_context(worlds: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    worlds.create_dataset(workspace, documents=3)  # one to learn from
    overrides = {key: value for key, value in SMALL.items() if key != "context_length"}
    *_, last = train_model(workspace, TrainRequest("tales", steps=3, overrides=overrides))
    assert isinstance(last, RunResult)
    assert 8 <= read_job(workspace.get_model(last.ref).folder / "job.toml").design.context_length < 256


@pytest.mark.parametrize("params", [2**31, 10**12])
def test_a_size_beyond_all_networks_is_an_error_before_anything_is_encoded_or_measured(
    workspace: Workspace, params: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "genloom.train.data.stream_encoding"
    monkeypatch.setattr(f"{module}.write_token_stream", lambda *_: pytest.fail("a text was encoded"))
    monkeypatch.setattr(Benchmark, "measure_step", lambda *_: pytest.fail("a size was measured"))
    with raises_code("train.no_such_size", params=params) as caught:
        plan(workspace, budget=Budget(params=params))
    assert 10**6 < caught.value.fields["closest"] < 10**9
    assert workspace.list_runs() == []


def test_only_the_size_closest_to_the_request_is_measured(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def measure_step(_: Benchmark, job: Job) -> StepBenchmark:
        sizes.append(job.design.network_settings["base"]["width"])
        return StepBenchmark(1e-6, 10**7)

    monkeypatch.setattr(Benchmark, "measure_step", measure_step)
    plan(workspace, budget=Budget(params=10**7, steps=3), overrides={"plan.precision": "float32"})
    assert sizes == [sizes[0]]
    assert sizes[0] > 192


@pytest.mark.parametrize(("parameters_per_token", "most"), [(16, 3), (10**6, 10)])
def test_only_networks_that_the_data_can_use_are_measured(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, parameters_per_token: int, most: int
) -> None:
    """On a fast machine, minutes alone would let every size be tried, however little there is to learn from."""
    measured: dict[int, int] = {}  # parameters by width

    def measure_step(bench: Benchmark, job: Job) -> StepBenchmark:
        objective = build_objective(job.design, resolve_space(job.design, bench.source.codec))
        count = count_network_parameters(job.design, objective)
        measured[job.design.network_settings["width"]] = count
        return StepBenchmark(1e-6, count)

    monkeypatch.setattr(auto_config, "MAX_PARAMETERS_PER_TOKEN", parameters_per_token)
    monkeypatch.setattr(Benchmark, "measure_step", measure_step)
    overrides = {"network.name": "transformer", "context_length": "32", "plan.torch_compile": "false"}
    plan(workspace, budget=Budget(minutes=30.0), overrides=overrides)
    num_tokens = workspace.get_dataset("tales").count_bytes("train")
    smallest = auto_config.SMALLEST_SIZE[0]
    assert smallest in measured
    assert len(measured) <= most
    assert all(
        count <= 1.1 * parameters_per_token * num_tokens for width, count in measured.items() if width != smallest
    )


def test_fewer_tokens_than_one_step_has_give_a_warning(workspace: Workspace) -> None:
    (few, few_events), (_, more_events) = (
        plan(workspace, budget=Budget(tokens=tokens), overrides=SMALL) for tokens in (100, 128)
    )
    assert few.total_units == 124
    assert [event.text for event in few_events if isinstance(event, RunWarning)]
    assert not [event for event in more_events if isinstance(event, RunWarning)]


def test_many_epochs_give_a_warning(workspace: Workspace) -> None:
    settings = {**SMALL, "plan.torch_compile": "false"}  # a busy machine would try
    _, events = plan(workspace, budget=Budget(tokens=2_000_000), overrides=settings)
    (warning,) = [event.text for event in events if isinstance(event, RunWarning)]
    assert "epochs" in warning


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({"network.base.widht": "3"}, ["network.base.widht", "'width'"]),
        ({"network.name": "tranformer"}, ["'tranformer'", "'transformer'"]),
        ({"codec.name": "byte"}, ["'byte'", "'bytes'"]),
        ({"codec.vocab_size": "500"}, ["codec.vocab_size"]),
        ({"objective.name": "masked", "network.name": "recurrent"}, ["recurrent"]),
        ({"objective.name": "variational"}, ["variational", "bpe"]),
        ({"plan.precision": "int8"}, ["'int8'"]),
        ({"plan.optimizer.family": "sgd"}, ["'sgd'"]),
        ({"network.base.heads": "3", "network.base.width": "16"}, ["width", "heads"]),
    ],
)
def test_an_invalid_job_is_an_error_and_leaves_no_run(
    workspace: Workspace, overrides: dict[str, str], names: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        plan(workspace, steps=2, overrides={"context_length": "32", "batch_size": "4", **overrides})
    assert all(name in str(caught.value) for name in names), caught.value
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
