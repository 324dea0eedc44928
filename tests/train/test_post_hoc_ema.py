"""Averages whose width is chosen after training, and training that starts from another model's weights."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from genloom.model import load_model
from genloom.store.workspace import Workspace
from genloom.train.events import RunResult
from genloom.train.post_hoc_ema import (
    STDS,
    compute_decay,
    compute_power,
    list_snapshots,
    solve_coefficients,
)
from tests.errors import raises_code

STORED = {"plan__post_hoc_ema": "4"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


@pytest.mark.parametrize("std", [0.01, 0.05, 0.10, 0.2])
def test_a_profile_has_its_width(std: float) -> None:
    power, times = compute_power(std), np.linspace(0, 1, 200_001)[1:]
    profile = times**power
    mean = (profile * times).sum() / profile.sum()
    assert np.sqrt((profile * (times - mean) ** 2).sum() / profile.sum()) == pytest.approx(std, rel=1e-3)


def track_average(values: np.ndarray, std: float) -> np.ndarray:
    """Return the average of this width after each step."""
    average, averages = 0.0, []
    for step, value in enumerate(values, start=1):
        decay = compute_decay(step, compute_power(std))
        average = decay * average + (1 - decay) * value
        averages.append(average)
    return np.array(averages)


@pytest.mark.parametrize("std", [0.05, *(pytest.param(std, marks=pytest.mark.slow) for std in (0.03, 0.075, 0.14))])
def test_stored_averages_span_those_of_other_widths(std: float) -> None:
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(size=3200)) / 20  # as weights that wander
    every = range(100, 3201, 100)
    stored = [(step, width, track_average(values, width)[step - 1]) for step in every for width in STDS]
    weights = solve_coefficients([each[0] for each in stored], [each[1] for each in stored], 3200, std)
    assert weights.sum() == pytest.approx(1)
    expected = track_average(values, std)[-1]
    assert weights @ [each[2] for each in stored] == pytest.approx(expected, abs=0.03 * values.std())


def test_the_average_with_the_lowest_loss_is_the_model(worlds: ModuleType, workspace: Workspace) -> None:
    result = worlds.finish_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 40, **STORED))
    record = workspace.get_model(result.ref).card["fact"]["post_hoc_ema"]
    losses = {0.0 if std == "as_trained" else float(std): loss for std, loss in record["losses"].items()}
    assert losses[record["std"]] == min(losses.values())
    assert len(losses) > 5
    (run,) = workspace.list_runs()
    assert len(list_snapshots(run.folder / "averages")) == 4 * len(STDS)


def test_a_stopped_run_stores_the_same_averages(worlds: ModuleType, workspace: Workspace) -> None:
    data = worlds.create_dataset(workspace)
    whole, stopped = (worlds.start_run(workspace, worlds.build_job(data, 12, **STORED)) for _ in range(2))
    list(worlds.resume_run(workspace, whole))
    events = worlds.resume_run(workspace, stopped, save_steps=2)
    while not list_snapshots(workspace.get_run(stopped).folder / "averages"):
        next(events)
    events.close()
    *_, last = worlds.resume_run(workspace, stopped)
    assert isinstance(last, RunResult)
    first, second = (
        {path.name: path.read_bytes() for _, _, path in list_snapshots(workspace.get_run(run).folder / "averages")}
        for run in (whole, stopped)
    )
    assert first == second


def test_a_deeper_network_starts_as_the_model_it_comes_from(worlds: ModuleType, workspace: Workspace) -> None:
    data = worlds.create_image_dataset(workspace)
    size = {"network__depth": "4", "network__patch_size": "4"}
    first = worlds.finish_run(workspace, worlds.build_image_job(data, 8, **size))
    folder = workspace.get_model(first.ref)
    job = worlds.build_image_job(data, 1, **size | {"network__depth": "7"}, plan__optimizer__lr_matrix="0")
    rates = replace(job.plan.optimizer, lr_matrix=0.0, lr_vector=0.0, lr_embedding=0.0)
    job = replace(job, plan=replace(job.plan, optimizer=rates), init_from={"ref": folder.ref, "digest": folder.digest})
    deeper = worlds.finish_run(workspace, job)
    models = [load_model(workspace, ref) for ref in (first.ref, deeper.ref)]
    assert [model.design.network_settings["depth"] for model in models] == [4, 7]
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([0.3, 0.7])
    before, after = (model.parts["model"](x, t) for model in models)
    assert before.abs().max() > 0
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)
    card = workspace.get_model(deeper.ref).card
    assert card["parents"] == [{"ref": folder.ref, "digest": folder.digest}]


def test_a_model_without_a_fitting_weight_is_refused(worlds: ModuleType, workspace: Workspace) -> None:
    first = worlds.finish_run(workspace, worlds.build_image_job(worlds.create_image_dataset(workspace), 1))
    folder = workspace.get_model(first.ref)
    job = worlds.build_job(worlds.create_dataset(workspace), 1, network__width="24")
    with raises_code("train.nothing_to_initialize", base=folder.name):
        worlds.finish_run(workspace, replace(job, init_from={"ref": folder.ref, "digest": folder.digest}))
