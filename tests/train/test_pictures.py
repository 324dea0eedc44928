"""Models of pictures through the one trainer: promised, trained, killed and resumed to the same bits, opened, tuned."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from genloom.cli import run
from genloom.model import load_model
from genloom.model.likelihood import mean_loss
from genloom.store.workspace import Workspace
from genloom.train.data import samples
from genloom.train.data.samples import load_held_out_samples
from genloom.train.events import EvalMetrics, Event, RunEstimate, RunResult, RunWarning, StepMetrics
from genloom.train.job import read_job
from genloom.train.planning.auto_config import Budget
from genloom.train.run import TrainRequest, train_model
from tests.train.test_resume import killed, outcome

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


def trained(workspace: Workspace, **wanted: Any) -> list[Event]:
    wanted = {"steps": 12, "overrides": SMALL, **wanted}
    return list(train_model(workspace, TrainRequest("tiles", **wanted)))


def tuned(workspace: Workspace, data: str = "mine", **wanted: Any) -> list[Event]:
    wanted = {"base": "tiles", "steps": 8, "overrides": {"plan.precision": "float32"}, **wanted}
    return list(train_model(workspace, TrainRequest(data, **wanted)))


def result(events: list[Event]) -> RunResult:
    assert isinstance(events[-1], RunResult)
    return events[-1]


def test_pictures_are_encoded_once_for_all_runs_on_them(
    worlds: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds.pictures(workspace)
    looks, write_rows = [], samples.write_samples
    monkeypatch.setattr(
        samples, "write_samples", lambda parts, folder: looks.append(folder) or write_samples(parts, folder)
    )
    runs = [workspace.get_run(result(trained(workspace, steps=1)).run).folder for _ in range(2)]
    assert looks == runs[:1]
    assert (runs[1] / samples.SAMPLES_FILE).samefile(runs[0] / samples.SAMPLES_FILE)
    other = result(trained(workspace, steps=1, overrides={**SMALL, "prompts.width": "8"})).run
    assert looks == [runs[0], workspace.get_run(other).folder], "other prompts, other states"
    for run_folder in runs:
        (run_folder / samples.SAMPLES_FILE).write_bytes(b"damaged")
    last = workspace.get_run(result(trained(workspace, steps=1)).run).folder
    assert looks[-1] == last, "what is damaged is not taken over"


def test_pictures_are_trained_on_by_one_command(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.pictures(workspace)
    events = trained(workspace)
    (contract,) = [event for event in events if isinstance(event, RunEstimate)]
    steps = [event for event in events if isinstance(event, StepMetrics)]
    looks = [event for event in events if isinstance(event, EvalMetrics)]
    last = result(events)
    assert (contract.unit.word, contract.metric, contract.total_units) == ("pictures", "held-out loss", 12 * 8)
    assert contract.memory_bytes > 0
    assert "samples_per_second" in steps[-1].to_record()
    assert {look.held_out_metric.name for look in looks} == {"held-out loss"}
    assert last.held_out_metric is not None
    assert last.actual["held_out_loss"] == last.held_out_metric.value
    assert last.actual["samples_per_second"] > 0
    assert "bits_per_byte" not in last.to_record()
    card = workspace.get_model(last.ref).card
    assert card["forecast"]["samples"] == 96
    assert card["fact"]["held_out_loss"] == last.held_out_metric.value


def test_a_model_of_pictures_opens_with_what_reads_its_prompts(worlds: ModuleType, workspace: Workspace) -> None:
    data = worlds.pictures(workspace)
    last = result(trained(workspace))
    model = load_model(workspace, last.ref)
    assert model.text_encoder is not None
    assert model.design.text_encoder == "words"
    assert model.design.medium == "image"
    held = load_held_out_samples(data, model.codec, model.text_encoder, 1024)
    assert last.held_out_metric is not None
    assert mean_loss(model, held) == pytest.approx(last.held_out_metric.value, rel=1e-5)  # ty: ignore[invalid-argument-type]
    job = read_job(workspace.get_model(last.ref).folder / "job.toml")
    assert (job.cond_dropout, job.design.context_length, job.units_per_step) == (0.1, 0, 8)


def test_what_is_trained_learns_what_a_prompt_says(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.finished(workspace, worlds.picture_job(worlds.pictures(workspace), 150, batch_size="32"))
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


def test_a_run_on_pictures_killed_at_random_moments_ends_in_the_same_bits(
    worlds: ModuleType, workspace: Workspace
) -> None:
    planned = worlds.picture_job(worlds.pictures(workspace), 16, plan__average="0.99")
    whole, torn = worlds.started(workspace, planned), worlds.started(workspace, planned)
    assert killed(workspace, whole, [], 2) == [0]
    deaths: list[dict[str, float]] = [{"call": n} for n in (1, 2, 4, 7, 12, 20, 31)]
    assert killed(workspace, torn, deaths, 2).count(-9) >= 6
    assert outcome(worlds, workspace, torn) == outcome(worlds, workspace, whole)


@pytest.mark.parametrize("name", ["train.samples", "train.states", "train.ends"])
def test_damaged_samples_are_noticed_and_made_again(worlds: ModuleType, workspace: Workspace, name: str) -> None:
    run = worlds.started(workspace, worlds.picture_job(worlds.pictures(workspace), 6))
    events = worlds.carried_on(workspace, run)
    next(event for event in events if isinstance(event, StepMetrics) and event.step == 2)
    events.close()
    path = workspace.get_run(run).folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1, content[-1]]))
    warned = [event.text for event in worlds.carried_on(workspace, run) if isinstance(event, RunWarning)]
    assert len(warned) == 1
    assert f"{name} is damaged" in warned[0]
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "overrides",
    [
        {"objective.name": "adversarial", "network.name": "dense", "network.width": "16", "text_encoder.name": "''"},
        {"objective.name": "variational", "network.name": "dense", "network.width": "16", "text_encoder.name": "''"},
    ],
    ids=["adversarial", "variational"],
)
def test_every_family_trains_on_pictures(worlds: ModuleType, workspace: Workspace, overrides: dict[str, str]) -> None:
    worlds.pictures(workspace)
    kept = {k: v for k, v in SMALL.items() if not k.startswith(("network", "prompts"))}
    last = result(trained(workspace, steps=3, overrides={**kept, **overrides}))
    assert load_model(workspace, last.ref).text_encoder is None
    assert last.held_out_metric is not None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"network.name": "dense"}, "The dense network cannot attend to a prompt's states"),
        ({"text_encoder.name": "wrds"}, "There is no text encoder 'wrds'. Did you mean 'words'?"),
        ({"prompts.widht": "3"}, "Unknown setting prompts.widht. Did you mean 'width'?"),
        ({"cond_dropout": "2"}, "cond_dropout must be a share from 0 to below 1, got 2."),
        ({"objective.name": "autoregressive"}, "does not learn what the codec 'pixels' makes of the data"),
    ],
)
def test_a_job_on_pictures_that_cannot_be_is_one_clear_error(
    worlds: ModuleType, workspace: Workspace, overrides: dict[str, str], words: str
) -> None:
    worlds.pictures(workspace)
    settings = {**SMALL, **overrides}
    if overrides.get("network.name"):
        settings = {k: v for k, v in settings.items() if k not in ("network.depth", "network.head_width")}
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        trained(workspace, steps=2, overrides=settings)
    assert words in str(caught.value)
    assert workspace.list_runs() == []


def test_rows_that_no_machine_has_room_for_are_refused(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.started(workspace, worlds.picture_job(worlds.pictures(workspace), 4, batch_size="100_000_000"))
    with pytest.raises(ValueError, match="GB of memory, and there are"):
        list(worlds.carried_on(workspace, run))


def test_text_has_no_prompts_beside_it(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.dataset(workspace)
    with pytest.raises(ValueError, match="Text is read as one stream, with no prompts beside it"):
        list(train_model(workspace, TrainRequest("tales", steps=2, overrides={"text_encoder.name": "words"})))


def test_the_dial_chooses_by_the_time_there_is(worlds: ModuleType, workspace: Workspace) -> None:
    """A network's size, and steps in the time; what the objective trains well with comes with it."""
    worlds.pictures(workspace)
    wanted = {k: v for k, v in SMALL.items() if k not in ("network.width", "network.depth", "network.head_width")}
    events = train_model(workspace, TrainRequest("tiles", budget=Budget(minutes=0.4), overrides=wanted))
    contract = next(event for event in events if isinstance(event, RunEstimate))
    events.close()
    assert 8 < contract.seconds < 24
    assert contract.num_parameters > 10_000
    assert contract.expected_loss is None
    assert contract.ngram_baseline is None


@pytest.fixture
def tuneable(worlds: ModuleType, workspace: Workspace) -> Workspace:
    """A model of red, green and blue tiles, and a few pictures of another colour."""
    worlds.finished(workspace, worlds.picture_job(worlds.pictures(workspace), 60, batch_size="16"))
    worlds.pictures(workspace, "mine", 18, colours={"grey": (120, 120, 120)})
    return workspace


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_few_pictures_tune_a_model_and_it_says_what_it_forgot(tuneable: Workspace, method: str) -> None:
    rates = {"plan.optimizer.lr_adapter": "0.01", "plan.optimizer.lr_matrix": "0.003", "plan.precision": "float32"}
    events = tuned(tuneable, method=method, steps=40, overrides=rates)
    (contract,) = [event for event in events if isinstance(event, RunEstimate)]
    last = result(events)
    assert last.held_out_metric is not None
    assert contract.loss_before is not None
    assert last.held_out_metric.value < 0.8 * contract.loss_before
    assert (contract.unit.word, contract.total_units) == ("pictures", 40 * 16)
    assert contract.general_loss_before is not None
    assert last.actual["general_held_out_loss"] > contract.general_loss_before
    made = tuneable.get_model(last.ref)
    assert made.is_adapter == (method == "lora")
    assert made.parent_ref == "tiles/1"
    model = load_model(tuneable, last.ref)
    held = load_held_out_samples(tuneable.get_dataset("mine"), model.codec, model.text_encoder, 1024)
    assert mean_loss(model, held) == pytest.approx(last.held_out_metric.value, rel=1e-4)  # ty: ignore[invalid-argument-type]


@pytest.mark.slow
def test_a_tuned_model_of_pictures_killed_ends_in_the_same_bits(worlds: ModuleType, tuneable: Workspace) -> None:
    job = read_job(tuneable.get_model(result(tuned(tuneable)).ref).folder / "job.toml")
    whole, torn = worlds.started(tuneable, job), worlds.started(tuneable, job)
    assert killed(tuneable, whole, [], 2) == [0]
    assert killed(tuneable, torn, [{"call": 2}, {"call": 9}, {"call": 17}], 2) == [-9, -9, -9, 0]
    assert outcome(worlds, tuneable, torn) == outcome(worlds, tuneable, whole)


def test_another_objective_goes_around_the_same_network(tuneable: Workspace) -> None:
    """Velocities of a trained flow become jumps: few steps in place of many."""
    settings = {"objective.name": "shortcut", "objective.num_levels": "3", "plan.precision": "float32"}
    last = result(tuned(tuneable, "tiles", name="fast", method="full", steps=4, overrides=settings))
    model = load_model(tuneable, last.ref)
    assert model.design.objective == "shortcut"
    assert model.design.network == "dit"
    assert tuneable.get_model("fast").parent_ref == "tiles/1"


def test_an_objective_of_other_networks_is_refused(tuneable: Workspace) -> None:
    with pytest.raises(ValueError, match=r"other networks than tiles/1 has|needs another network"):
        tuned(tuneable, "tiles", name="other", method="full", overrides={"objective.name": "variational"})


def test_text_does_not_tune_what_makes_pictures(worlds: ModuleType, tuneable: Workspace) -> None:
    worlds.dataset(tuneable)
    with pytest.raises(ValueError, match="tiles/1 makes pictures, and 'tales' holds text"):
        tuned(tuneable, "tales")


def test_the_commands_say_pictures(
    worlds: ModuleType, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    worlds.pictures(workspace)
    few = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    here = ["--workspace", str(workspace.root)]
    assert run(["train", "tiles", "--steps", "6", *few, *here]) == 0
    told = capsys.readouterr()
    assert "48 pictures in 6 steps" in told.err
    assert "held-out loss" in told.out
    assert "bits per byte" not in told.out + told.err
    assert "In use is still" not in told.out
    assert run(["promote", "tiles", "--to", "1", *here]) == 0
    assert run(["train", "tiles", "--steps", "6", *few, *here]) == 0
    assert "In use is still tiles/1. To use the new one: genloom promote tiles --to 2" in capsys.readouterr().out
