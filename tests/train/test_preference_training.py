"""Preference training is a stage of the one training: stopped and resumed, it ends in the same bits."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from genloom.model import load_model
from genloom.store.workspace import Workspace
from genloom.train.events import Event, RunResult, RunWarning, Status, StepMetrics
from genloom.train.job import read_job
from genloom.train.parallel.group import ProcessGroup
from genloom.train.planning.auto_config import Budget
from genloom.train.preference.dataset import PreferenceDataset
from genloom.train.preference.stage import RATINGS_DATA
from genloom.train.run import TrainRequest, find_resumable_run, train_model, with_devices
from tests.errors import raises_code

SETTINGS = {"plan.precision": "float32", "batch_size": "4"}


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    worlds.finish_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 4))
    return workspace


def build_pairs() -> PreferenceDataset:
    rows = [tuple(f"The bell rang {n} times.".encode()) for n in range(12)]
    return PreferenceDataset(tuple(row[:9] for row in rows), tuple(rows), tuple(rows[::-1]), (), (1.0,) * 12)


def build_request(name: str, method: str = "dpo", steps: int = 6, **options: dict[str, str]) -> TrainRequest:
    overrides = {**SETTINGS, **options.get("overrides", {})}
    budget = Budget(steps=steps)
    return TrainRequest(RATINGS_DATA, name, "tales/1", method, budget, overrides, preferences=build_pairs())


def stop_at(events: Generator[Event], step: int) -> None:
    for event in events:
        if isinstance(event, StepMetrics) and event.step == step:
            events.close()
            return
    raise AssertionError("the run ended before the step")


def get_result(events: list[Event]) -> RunResult:
    assert isinstance(events[-1], RunResult)
    return events[-1]


@pytest.mark.parametrize("method", ["dpo", "kto", "weighted"])
def test_a_stopped_run_ends_in_the_same_bits(workspace: Workspace, method: str) -> None:
    complete = get_result(list(train_model(workspace, build_request("complete", method))))
    stop_at(train_model(workspace, build_request("stopped", method)), 3)
    num_runs = len(workspace.list_runs())
    events = list(train_model(workspace, build_request("stopped", method)))
    assert [event.step for event in events if isinstance(event, StepMetrics)] == [4, 5, 6]
    assert len(workspace.list_runs()) == num_runs
    weights = (load_model(workspace, ref).parts.state_dict() for ref in (complete.ref, get_result(events).ref))
    for mine, theirs in zip(*(each.values() for each in weights), strict=True):
        assert torch.equal(mine, theirs)


def test_the_job_and_the_card_name_base_and_ratings(workspace: Workspace) -> None:
    result = get_result(list(train_model(workspace, build_request("liked"))))
    card, job = workspace.get_model(result.ref).card, read_job(workspace.get_run(result.run).folder / "job.toml")
    base = {"ref": "tales/1", "digest": workspace.get_model("tales").digest}
    assert (card["parents"], card["ratings"]) == ([base], {"digest": build_pairs().digest})
    assert (job.data, job.digest, dict(job.base)) == (RATINGS_DATA, build_pairs().digest, base)
    assert job.learning["method"] == "dpo"
    assert result.held_out_metric is None


def test_another_request_starts_another_run(workspace: Workspace) -> None:
    stop_at(train_model(workspace, build_request("liked")), 3)
    other = build_request("liked", overrides={"learning.beta": "0.2"})
    events = list(train_model(workspace, other))
    assert [event.step for event in events if isinstance(event, StepMetrics)] == [1, 2, 3, 4, 5, 6]


def test_a_run_on_ratings_is_resumed_by_learning_only(workspace: Workspace) -> None:
    stop_at(train_model(workspace, build_request("liked")), 3)
    with raises_code("train.resume_by_learning", model="liked"):
        list(train_model(workspace, TrainRequest("liked", should_resume=True)))


def test_the_name_of_a_model_resumes_its_training_and_not_a_round_that_is_finished(
    worlds: ModuleType, workspace: Workspace
) -> None:
    """And the round stays as it is, also if it is named by its id and a number of steps."""
    training = worlds.start_run(workspace, worlds.build_job(workspace.get_dataset("tales"), 4, name="liked"))
    list(worlds.resume_run(workspace, training))
    round_run = get_result(list(train_model(workspace, build_request("liked")))).run
    folder = workspace.get_run(round_run).folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert find_resumable_run(workspace, "liked").id == training
    for steps in (0, 40):
        with raises_code("train.resume_by_learning", model="liked"):
            list(train_model(workspace, TrainRequest(round_run, should_resume=True, steps=steps)))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_training_stops_after_four_epochs(workspace: Workspace) -> None:
    budget = Budget(minutes=1.0)
    events = list(
        train_model(
            workspace,
            TrainRequest(
                RATINGS_DATA, "liked", "tales/1", "dpo", budget, {**SETTINGS, "learning.replay_weight": "0"},
                preferences=build_pairs(),
            ),
        )
    )  # fmt: skip
    assert get_result(events).actual["steps"] == 4 * 12 // 4
    assert any(isinstance(event, RunWarning) for event in events)
    assert not any(isinstance(event, Status) and "replay" in event.text for event in events)


def test_sampling_while_learning_stays_on_one_device(workspace: Workspace) -> None:
    result = get_result(list(train_model(workspace, build_request("liked", steps=1))))
    job = read_job(workspace.get_run(result.run).folder / "job.toml")
    request = TrainRequest(RATINGS_DATA, devices=2)
    assert with_devices(job, request, ProcessGroup()).parallel.devices == 2
    with raises_code("train.rollouts_on_devices", method="grpo", devices=2):
        with_devices(replace(job, learning={"method": "grpo"}), request, ProcessGroup())
    with raises_code("train.learning_by_launcher", devices=2):
        with_devices(job, request, ProcessGroup(0, 2))


@pytest.mark.slow
def test_two_devices_learn_what_one_learns(workspace: Workspace) -> None:
    one, two = (get_result(list(train_model(workspace, replace(build_request(f"on-{n}"), devices=n)))) for n in (1, 2))
    weights = (load_model(workspace, result.ref).parts.state_dict() for result in (one, two))
    for mine, theirs in zip(*(each.values() for each in weights), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)
