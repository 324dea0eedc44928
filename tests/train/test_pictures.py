"""Models of pictures through the one trainer: promised, trained, killed and resumed to the same bits, opened, tuned."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from genloom.cli import run
from genloom.likelihood import mean_loss
from genloom.model import open_model
from genloom.store.workspace import Workspace
from genloom.train.dial import Wishes
from genloom.train.events import Checked, Contract, Event, Finished, Stepped, Warned
from genloom.train.job import read_job
from genloom.train.run import Request, train_model
from genloom.train.samples import held_out
from tests.train.test_resume import killed, outcome

SMALL = {
    "codec.name": "pixels",
    "codec.size": "8",
    "network.name": "dit",
    "network.width": "32",
    "network.depth": "2",
    "network.head_width": "16",
    "prompts.name": "words",
    "rows": "8",
    "plan.precision": "float32",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def trained(workspace: Workspace, **wanted: Any) -> list[Event]:
    wanted = {"steps": 12, "overrides": SMALL, **wanted}
    return list(train_model(workspace, Request("tiles", **wanted)))


def result(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


def test_pictures_are_trained_on_by_one_command(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.pictures(workspace)
    events = trained(workspace)
    (contract,) = [event for event in events if isinstance(event, Contract)]
    steps = [event for event in events if isinstance(event, Stepped)]
    looks = [event for event in events if isinstance(event, Checked)]
    last = result(events)
    assert (contract.unit.word, contract.measure, contract.amount) == ("pictures", "held-out loss", 12 * 8)
    assert contract.memory_bytes > 0
    assert "samples_per_second" in steps[-1].facts()
    assert {look.found.name for look in looks} == {"held-out loss"}
    assert last.found is not None
    assert last.fact["held_out_loss"] == last.found.value
    assert last.fact["samples_per_second"] > 0
    assert "bits_per_byte" not in last.facts()
    card = workspace.model(last.ref).card
    assert card["forecast"]["samples"] == 96
    assert card["fact"]["held_out_loss"] == last.found.value


def test_a_model_of_pictures_opens_with_what_reads_its_prompts(worlds: ModuleType, workspace: Workspace) -> None:
    data = worlds.pictures(workspace)
    last = result(trained(workspace))
    model = open_model(workspace, last.ref)
    assert model.prompts is not None
    assert model.design.prompts == "words"
    assert model.design.medium == "image"
    held = held_out(data, model.codec, model.prompts, 1024)
    assert last.found is not None
    assert mean_loss(model, held) == pytest.approx(last.found.value, rel=1e-5)  # ty: ignore[invalid-argument-type]
    job = read_job(workspace.model(last.ref).folder / "job.toml")
    assert (job.unprompted, job.design.length, job.amount) == (0.1, 0, 8)


def test_what_is_trained_learns_what_a_prompt_says(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.finished(workspace, worlds.picture_job(worlds.pictures(workspace), 150, rows="32"))
    model = open_model(workspace, "tiles")
    assert model.prompts is not None
    from genloom.noise import Noise
    from genloom.objectives.flow import Controls
    from genloom.types import Condition

    for colour, channel in (("red", 0), ("blue", 2)):
        states = torch.from_numpy(model.prompts.states([f"a {colour} tile"])[0])[None].expand(8, -1, -1)
        noise = Noise(1, tuple(range(8)))
        *_, x = model.objective.sample(dict(model.parts.items()), 8, Condition(tokens=states), noise, Controls(steps=8))
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
    next(event for event in events if isinstance(event, Stepped) and event.step == 2)
    events.close()
    path = workspace.run(run).folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1, content[-1]]))
    warned = [event.text for event in worlds.carried_on(workspace, run) if isinstance(event, Warned)]
    assert len(warned) == 1
    assert f"{name} is damaged" in warned[0]
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "overrides",
    [
        {"objective.name": "adversarial", "network.name": "dense", "network.width": "16", "prompts.name": "''"},
        {"objective.name": "variational", "network.name": "dense", "network.width": "16", "prompts.name": "''"},
    ],
    ids=["adversarial", "variational"],
)
def test_every_family_trains_on_pictures(worlds: ModuleType, workspace: Workspace, overrides: dict[str, str]) -> None:
    worlds.pictures(workspace)
    kept = {k: v for k, v in SMALL.items() if not k.startswith(("network", "prompts"))}
    last = result(trained(workspace, steps=3, overrides={**kept, **overrides}))
    assert open_model(workspace, last.ref).prompts is None
    assert last.found is not None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"network.name": "dense"}, "The dense network cannot attend to a prompt's states"),
        ({"prompts.name": "wrds"}, "There is no text encoder 'wrds'. Did you mean 'words'?"),
        ({"prompts.widht": "3"}, "Unknown setting prompts.widht. Did you mean 'width'?"),
        ({"unprompted": "2"}, "unprompted must be a share from 0 to below 1, got 2."),
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
    assert workspace.runs() == []


def test_rows_that_no_machine_has_room_for_are_refused(worlds: ModuleType, workspace: Workspace) -> None:
    run = worlds.started(workspace, worlds.picture_job(worlds.pictures(workspace), 4, rows="100_000_000"))
    with pytest.raises(ValueError, match="GB of memory, and there are"):
        list(worlds.carried_on(workspace, run))


def test_text_has_no_prompts_beside_it(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.dataset(workspace)
    with pytest.raises(ValueError, match="Text is read as one stream, with no prompts beside it"):
        list(train_model(workspace, Request("tales", steps=2, overrides={"prompts.name": "words"})))


def test_the_dial_chooses_by_the_time_there_is(worlds: ModuleType, workspace: Workspace) -> None:
    """A network's size, and steps in the time; what the objective trains well with comes with it."""
    worlds.pictures(workspace)
    wanted = {k: v for k, v in SMALL.items() if k not in ("network.width", "network.depth", "network.head_width")}
    events = train_model(workspace, Request("tiles", wishes=Wishes(minutes=0.4), overrides=wanted))
    contract = next(event for event in events if isinstance(event, Contract))
    events.close()
    assert 8 < contract.seconds < 24
    assert contract.parameters > 10_000
    assert contract.expected is None
    assert contract.floor is None


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
    assert run(["train", "tiles", "--steps", "6", *few, "--json", *here]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["held_out_loss"] == facts["fact"]["held_out_loss"]
