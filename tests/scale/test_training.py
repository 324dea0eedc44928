"""Training on two machines: the weights of one process, faults survived, and a stop that saves."""

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from genloom.cluster import open_cluster
from genloom.store.workspace import Workspace
from genloom.train import cluster as cluster_training
from genloom.train.cluster import train_on_cluster
from genloom.train.events import RunResult, RunStart, RunWarning, StepMetrics
from genloom.train.request import TrainRequest
from genloom.train.run import train_model
from tests.errors import raises_code

SETTINGS = {
    "codec.name": "bytes",
    "network.name": "transformer",
    "network.width": "16",
    "network.depth": "1",
    "plan.precision": "float32",
    "batch_size": "4",
    "context_length": "32",
}


@pytest.fixture
def workspace(worlds: Any, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "w")
    worlds.create_dataset(workspace)
    return workspace


def build_request(steps: int, name: str = "tales") -> TrainRequest:
    return TrainRequest("tales", name, steps=steps, overrides=SETTINGS, save_steps=2)


def load_weights(workspace: Workspace, ref: str) -> dict[str, torch.Tensor]:
    return load_file(workspace.get_model(ref).folder / "weights.safetensors")


def test_two_ranks_train_the_weights_of_one(machines: Any, workspace: Workspace) -> None:
    *_, alone = train_model(workspace, build_request(12, "alone"))
    with open_cluster("ray") as cluster:
        events = list(train_on_cluster(workspace, build_request(12, "together"), cluster, 2))
    assert isinstance(alone, RunResult)
    assert isinstance(events[0], RunStart)
    together = events[-1]
    assert isinstance(together, RunResult)
    one, two = load_weights(workspace, alone.ref), load_weights(workspace, together.ref)
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


def test_a_killed_rank_is_named_and_nothing_is_lost(machines: Any, workspace: Workspace) -> None:
    *_, alone = train_model(workspace, build_request(40, "alone"))
    assert isinstance(alone, RunResult)
    has_killed, events = False, []
    with open_cluster("ray") as cluster:
        for event in train_on_cluster(workspace, build_request(40, "together"), cluster, 2):
            events.append(event)
            if isinstance(event, StepMetrics) and not has_killed:
                has_killed = kill_rank()
        assert has_killed
        assert any("Rank" in fault for fault in cluster.faults)
    assert any(isinstance(event, RunWarning) and "started again" in event.text for event in events)
    together = events[-1]
    assert isinstance(together, RunResult)
    assert together.actual["steps"] == 40
    one, two = load_weights(workspace, alone.ref), load_weights(workspace, together.ref)
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


def kill_rank() -> bool:
    """Kill a process that trains."""
    for process in psutil.Process().children(recursive=True):
        if "RayTrainWorker" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
            return True
    return False


def test_more_ranks_than_the_cluster_has_are_refused(machines: Any, workspace: Workspace) -> None:
    with open_cluster("ray") as cluster, raises_code("train.cluster_too_small", ranks=3, available=2):
        next(train_on_cluster(workspace, build_request(4), cluster, 3))


def test_an_error_of_the_job_ends_the_run_at_once(machines: Any, workspace: Workspace) -> None:
    request = TrainRequest("tales", steps=4, overrides={"plan.cooldwon": "1"})
    with open_cluster("ray") as cluster, raises_code("core.unknown_setting"):
        list(train_on_cluster(workspace, request, cluster, 2))


def test_a_run_that_has_to_be_cancelled_leaves_its_processors_free(
    machines: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_cluster("ray") as cluster:
        monkeypatch.setattr(cluster_training, "STOP_SECONDS", 0.0)
        monkeypatch.setattr(cluster_training, "END_SECONDS", 0.0)
        events = train_on_cluster(workspace, build_request(100_000), cluster, 2)
        assert any(isinstance(event, StepMetrics) for event in events)
        events.close()
        monkeypatch.undo()
        *_, result = train_on_cluster(workspace, build_request(4), cluster, 2)
    assert isinstance(result, RunResult)


def test_a_closed_run_saves_and_resumes(machines: Any, workspace: Workspace) -> None:
    with open_cluster("ray") as cluster:
        events = train_on_cluster(workspace, build_request(400), cluster, 2)
        step = next(event.step for event in events if isinstance(event, StepMetrics))
        events.close()
        run = workspace.list_runs()[-1]
        assert run.model == ""
        request = TrainRequest(run.id, should_resume=True, steps=step + 60)
        *_, result = train_on_cluster(workspace, request, cluster, 2)
    assert isinstance(result, RunResult)
    assert result.run == run.id
