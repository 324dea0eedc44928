"""Image models through the one trainer: job, trained, killed, resumed to the same bits, loaded and fine-tuned."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from genloom.cli import run as run_cli
from genloom.model import load_model
from genloom.model.likelihood import compute_mean_loss
from genloom.store.workspace import Workspace
from genloom.train.data import samples
from genloom.train.data.samples import load_held_out_samples
from genloom.train.events import EvalMetrics, Event, RunEstimate, RunResult, RunWarning, StepMetrics
from genloom.train.job import read_job
from genloom.train.planning.auto_config import Budget
from genloom.train.run import TrainRequest, train_model
from tests.errors import raises_code
from tests.train.test_resume import outcome, run_with_deaths

SMALL = {
    "codec.name": "pixels",
    "codec.size": "8",
    "network.name": "dit",
    "network.width": "32",
    "network.depth": "2",
    "network.head_width": "16",
    "text_encoder.name": "words",
    "batch_size": "8",
    "plan.precision": "float32",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def train(workspace: Workspace, **options: Any) -> list[Event]:
    options = {"steps": 12, "overrides": SMALL, **options}
    return list(train_model(workspace, TrainRequest("tiles", **options)))


def finetune_model(workspace: Workspace, data: str = "mine", **options: Any) -> list[Event]:
    options = {"base": "tiles", "steps": 8, "overrides": {"plan.precision": "float32"}, **options}
    return list(train_model(workspace, TrainRequest(data, **options)))


def result(events: list[Event]) -> RunResult:
    assert isinstance(events[-1], RunResult)
    return events[-1]


def test_images_are_encoded_once_for_all_runs(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds.create_image_dataset(workspace)
    folders, write_samples = [], samples.write_samples
    monkeypatch.setattr(
        samples, "write_samples", lambda parts, folder, c: folders.append(folder) or write_samples(parts, folder, c)
    )
    runs = [workspace.get_run(result(train(workspace, steps=1)).run).folder for _ in range(2)]
    assert folders == runs[:1]
    assert (runs[1] / samples.SAMPLES_FILE).samefile(runs[0] / samples.SAMPLES_FILE)
    other = result(train(workspace, steps=1, overrides={**SMALL, "text_encoder.width": "8"})).run
    assert folders == [runs[0], workspace.get_run(other).folder], "another text encoder gives other states"
    for run_folder in runs:
        (run_folder / samples.SAMPLES_FILE).write_bytes(b"damaged")
    last = workspace.get_run(result(train(workspace, steps=1)).run).folder
    assert folders[-1] == last, "damaged data are not shared"


def test_training_on_images_reports_samples_and_loss(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.create_image_dataset(workspace)
    events = train(workspace)
    (estimate,) = [event for event in events if isinstance(event, RunEstimate)]
    steps = [event for event in events if isinstance(event, StepMetrics)]
    evaluations = [event for event in events if isinstance(event, EvalMetrics)]
    last = result(events)
    assert (estimate.unit.word, estimate.metric, estimate.total_units) == ("pictures", "held-out loss", 12 * 8)
    assert estimate.memory_bytes > 0
    assert "samples_per_second" in steps[-1].to_record()
    assert {evaluation.held_out_metric.name for evaluation in evaluations} == {"held-out loss"}
    assert last.held_out_metric is not None
    assert last.actual["held_out_loss"] == last.held_out_metric.value
    assert last.actual["samples_per_second"] > 0
    assert "bits_per_byte" not in last.to_record()
    card = workspace.get_model(last.ref).card
    assert card["forecast"]["samples"] == 96
    assert card["fact"]["held_out_loss"] == last.held_out_metric.value


def test_an_image_model_loads_with_its_text_encoder(worlds: ModuleType, workspace: Workspace) -> None:
    data = worlds.create_image_dataset(workspace)
    last = result(train(workspace))
    model = load_model(workspace, last.ref)
    assert model.text_encoder is not None
    assert model.design.text_encoder == "words"
    assert model.design.medium == "image"
    held_out = load_held_out_samples(data, model.codec, model.conditioners, 1024)
    assert last.held_out_metric is not None
    assert compute_mean_loss(model, held_out) == pytest.approx(last.held_out_metric.value, rel=1e-5)  # ty: ignore[invalid-argument-type]
    job = read_job(workspace.get_model(last.ref).folder / "job.toml")
    assert (job.cond_dropout, job.design.context_length, job.units_per_step) == (0.1, 0, 8)


def test_a_trained_model_follows_its_prompt(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.finish_run(workspace, worlds.build_image_job(worlds.create_image_dataset(workspace), 150, batch_size="32"))
    model = load_model(workspace, "tiles")
    assert model.text_encoder is not None
    from genloom.noise import Noise
    from genloom.objectives.flow import SamplingParams
    from genloom.types import Condition

    for colour, channel in (("red", 0), ("blue", 2)):
        states = torch.from_numpy(model.text_encoder.encode([f"a {colour} tile"])[0])[None].expand(8, -1, -1)
        noise = Noise(1, tuple(range(8)))
        *_, x = model.objective.sample(
            dict(model.parts.items()), 8, Condition(tokens=states), noise, SamplingParams(steps=8)
        )
        assert (x.mean((2, 3)).argmax(1) == channel).float().mean() > 0.8, colour


@pytest.mark.slow
def test_an_image_run_killed_at_random_moments_ends_in_the_same_bits(worlds: ModuleType, workspace: Workspace) -> None:
    job = worlds.build_image_job(worlds.create_image_dataset(workspace), 16, plan__ema_decay="0.99")
    uninterrupted, killed = worlds.start_run(workspace, job), worlds.start_run(workspace, job)
    assert run_with_deaths(workspace, uninterrupted, [], 2) == [0]
    deaths: list[dict[str, float]] = [{"call": n} for n in (1, 2, 4, 7, 12, 20, 31)]
    assert run_with_deaths(workspace, killed, deaths, 2).count(-9) >= 6
    assert outcome(worlds, workspace, killed) == outcome(worlds, workspace, uninterrupted)


@pytest.mark.parametrize("name", ["train.samples", "train.states", "train.ends"])
def test_damaged_samples_are_encoded_again(worlds: ModuleType, workspace: Workspace, name: str) -> None:
    run = worlds.start_run(workspace, worlds.build_image_job(worlds.create_image_dataset(workspace), 6))
    events = worlds.resume_run(workspace, run)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 2)
    events.close()
    path = workspace.get_run(run).folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1, content[-1]]))
    warnings = [event.text for event in worlds.resume_run(workspace, run) if isinstance(event, RunWarning)]
    assert len(warnings) == 1
    assert f"{name} is damaged" in warnings[0]
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "overrides",
    [
        {"objective.name": "adversarial", "network.name": "dense", "network.width": "16", "text_encoder.name": "''"},
        {"objective.name": "variational", "network.name": "dense", "network.width": "16", "text_encoder.name": "''"},
    ],
    ids=["adversarial", "variational"],
)
def test_every_family_trains_on_images(worlds: ModuleType, workspace: Workspace, overrides: dict[str, str]) -> None:
    worlds.create_image_dataset(workspace)
    settings = {k: v for k, v in SMALL.items() if not k.startswith(("network", "text_encoder"))}
    last = result(train(workspace, steps=3, overrides={**settings, **overrides}))
    assert load_model(workspace, last.ref).text_encoder is None
    assert last.held_out_metric is not None


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({"network.name": "dense"}, ["dense", "prompt"]),
        ({"text_encoder.name": "wrds"}, ["'wrds'", "'words'"]),
        ({"text_encoder.widht": "3"}, ["text_encoder.widht", "'width'"]),
        ({"cond_dropout": "2"}, ["cond_dropout"]),
        ({"objective.name": "autoregressive"}, ["autoregressive", "pixels"]),
    ],
)
def test_an_invalid_image_job_is_an_error(
    worlds: ModuleType, workspace: Workspace, overrides: dict[str, str], names: list[str]
) -> None:
    worlds.create_image_dataset(workspace)
    settings = {**SMALL, **overrides}
    if overrides.get("network.name"):
        settings = {k: v for k, v in settings.items() if k not in ("network.depth", "network.head_width")}
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        train(workspace, steps=2, overrides=settings)
    assert all(name in str(caught.value) for name in names), caught.value
    assert workspace.list_runs() == []


def test_a_batch_beyond_memory_is_an_error(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.start_run(
        workspace, worlds.build_image_job(worlds.create_image_dataset(workspace), 4, batch_size="100000000")
    )
    with raises_code("train.out_of_memory"):
        list(worlds.resume_run(workspace, run))


def test_a_condition_that_no_item_has_is_an_error(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.create_dataset(workspace)
    with raises_code("train.no_condition_values", condition="prompt"):
        list(train_model(workspace, TrainRequest("tales", steps=2, overrides={"text_encoder.name": "words"})))


def test_sizes_and_steps_are_chosen_for_the_time(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.create_image_dataset(workspace)
    options = {k: v for k, v in SMALL.items() if k not in ("network.width", "network.depth", "network.head_width")}
    events = train_model(workspace, TrainRequest("tiles", budget=Budget(minutes=0.4), overrides=options))
    estimate = next(event for event in events if isinstance(event, RunEstimate))
    events.close()
    assert 8 < estimate.seconds < 24
    assert estimate.num_parameters > 10_000
    assert estimate.expected_loss is None
    assert estimate.ngram_baseline is None


@pytest.fixture
def with_model(worlds: ModuleType, workspace: Workspace) -> Workspace:
    """A model of red, green and blue tiles, and a few images of another colour."""
    worlds.finish_run(workspace, worlds.build_image_job(worlds.create_image_dataset(workspace), 60, batch_size="16"))
    worlds.create_image_dataset(workspace, "mine", 18, colours={"grey": (120, 120, 120)})
    return workspace


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_few_images_fine_tune_a_model_and_it_reports_what_it_forgot(with_model: Workspace, method: str) -> None:
    rates = {"plan.optimizer.lr_adapter": "0.01", "plan.optimizer.lr_matrix": "0.003", "plan.precision": "float32"}
    events = finetune_model(with_model, method=method, steps=40, overrides=rates)
    (estimate,) = [event for event in events if isinstance(event, RunEstimate)]
    last = result(events)
    assert last.held_out_metric is not None
    assert estimate.loss_before is not None
    assert last.held_out_metric.value < 0.8 * estimate.loss_before
    assert (estimate.unit.word, estimate.total_units) == ("pictures", 40 * 16)
    assert estimate.general_loss_before is not None
    assert last.actual["general_held_out_loss"] > estimate.general_loss_before
    model_folder = with_model.get_model(last.ref)
    assert model_folder.is_adapter == (method == "lora")
    assert model_folder.parent_ref == "tiles/1"
    model = load_model(with_model, last.ref)
    held_out = load_held_out_samples(with_model.get_dataset("mine"), model.codec, model.conditioners, 1024)
    assert compute_mean_loss(model, held_out) == pytest.approx(last.held_out_metric.value, rel=1e-4)  # ty: ignore[invalid-argument-type]


@pytest.mark.slow
def test_a_killed_fine_tuning_on_images_ends_in_the_same_bits(worlds: ModuleType, with_model: Workspace) -> None:
    job = read_job(with_model.get_model(result(finetune_model(with_model)).ref).folder / "job.toml")
    uninterrupted, killed = worlds.start_run(with_model, job), worlds.start_run(with_model, job)
    assert run_with_deaths(with_model, uninterrupted, [], 2) == [0]
    assert run_with_deaths(with_model, killed, [{"call": 2}, {"call": 9}, {"call": 17}], 2) == [-9, -9, -9, 0]
    assert outcome(worlds, with_model, killed) == outcome(worlds, with_model, uninterrupted)


def test_fine_tuning_can_replace_the_objective(with_model: Workspace) -> None:
    """The velocities of a trained flow become shortcuts of few steps."""
    settings = {"objective.name": "shortcut", "objective.num_levels": "3", "plan.precision": "float32"}
    last = result(finetune_model(with_model, "tiles", name="fast", method="full", steps=4, overrides=settings))
    model = load_model(with_model, last.ref)
    assert model.design.objective == "shortcut"
    assert model.design.network == "dit"
    assert with_model.get_model("fast").parent_ref == "tiles/1"


def test_an_objective_of_other_networks_is_an_error(with_model: Workspace) -> None:
    with pytest.raises(ValueError, match="network"):
        finetune_model(with_model, "tiles", name="other", method="full", overrides={"objective.name": "variational"})


def test_fine_tuning_on_another_medium_is_an_error(worlds: ModuleType, with_model: Workspace) -> None:
    worlds.create_dataset(with_model)
    with raises_code("train.other_medium", base="tiles/1", data="tales"):
        finetune_model(with_model, "tales")


def test_the_commands_count_images(
    worlds: ModuleType, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    worlds.create_image_dataset(workspace)
    few = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    here = ["--workspace", str(workspace.root)]
    assert run_cli(["train", "tiles", "--steps", "6", *few, *here]) == 0
    captured = capsys.readouterr()
    assert "48 pictures" in captured.err
    assert "held-out loss" in captured.out
    assert "bits per byte" not in captured.out + captured.err
    assert "genloom promote" not in captured.out
    assert run_cli(["promote", "tiles", "--to", "1", *here]) == 0
    assert run_cli(["train", "tiles", "--steps", "6", *few, *here]) == 0
    assert re.search(r"genloom promote --workspace \S+ tiles --to 2", capsys.readouterr().out)
