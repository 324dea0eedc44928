"""Tuning on conversations: read often where they are few, beside passages to rehearse, within a bound on forgetting."""

import tomllib
from types import ModuleType
from typing import Any

import pytest
import torch

from genloom.store.workspace import Workspace
from genloom.train import finetune
from genloom.train.data.documents import MAX_CHAT_EPOCHS, PackedDocuments
from genloom.train.events import RunEstimate, RunWarning
from genloom.train.job import Job
from genloom.train.planning.auto_config import Budget
from tests.errors import raises_code
from tests.train.test_finetune import FEW, create_conversations, finetune_model, get_result, result, workspace

__all__ = ["workspace"]  # a fixture

FAST = {**FEW, "plan.optimizer.lr_adapter": "0.03", "plan.optimizer.lr_matrix": "0.01"}


def read_job(workspace: Workspace, name: str = "answers") -> Job:
    return Job.from_tables(tomllib.loads((workspace.get_model(name).folder / "job.toml").read_text()))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_bound_on_forgetting_holds(
    workspace: Workspace, worlds: ModuleType, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(finetune, "read_general_text", lambda: " ".join(worlds.make_tales(3)))  # what the base knows
    create_conversations(workspace)
    unbounded = result(finetune_model(workspace, method=method, overrides={**FAST, "forgetting": "1000000"}))
    before = unbounded.estimate["general_before"]
    assert unbounded.actual["general_bits_per_byte"] > 1.05 * before, "else the bound has nothing to do"
    events = finetune_model(workspace, method=method, overrides={**FAST, "forgetting": "0.05"})
    bounded = result(events)
    assert bounded.actual["general_bits_per_byte"] <= 1.05 * before
    assert 0 < bounded.actual["strength"] < 1
    assert any(
        isinstance(event, RunWarning) and "'forgetting': 0.1" in event.text.replace('"', "'") for event in events
    )
    assert bounded.actual["bits_per_byte"] < bounded.estimate["before"], "it has learned all the same"


def test_rehearsal_is_a_share_of_the_rows(workspace: Workspace) -> None:
    data = create_conversations(workspace)
    finetune_model(workspace, steps=2)
    job = read_job(workspace)
    assert (job.rehearsal, job.forgetting) == (finetune.REHEARSAL, finetune.FORGETTING)
    stage = finetune.Finetuning(workspace, "tales", "lora", data)
    _, _, batches = get_result(stage.initialize(workspace.create_run("again"), job))
    batch, data_batch = batches(0), batches.documents(0)
    assert len(batch) == 5
    assert len(data_batch) == job.batch_size == 4
    assert torch.equal(batch.x[:4], data_batch.x)
    assert torch.equal(batch.mask[:4], data_batch.mask)
    assert batch.mask[4].any()


def test_plain_text_is_read_as_before(workspace: Workspace) -> None:
    finetune_model(workspace, data="tales", steps=2)
    job = read_job(workspace)
    assert (job.rehearsal, job.forgetting) == (0.0, float("inf"))
    source: Any = PackedDocuments(None, None, workspace.get_dataset("tales"))  # ty: ignore[invalid-argument-type]
    assert source.max_epochs == 4


def test_the_estimate_says_how_often_the_data_are_read(workspace: Workspace) -> None:
    create_conversations(workspace, 12)
    events = finetune_model(workspace, steps=0, budget=Budget(minutes=5))
    [estimate] = [event for event in events if isinstance(event, RunEstimate)]
    assert estimate.num_epochs == pytest.approx(MAX_CHAT_EPOCHS, abs=1)
    assert estimate.to_record()["epochs"] == estimate.num_epochs


def test_too_little_time_is_told_with_the_time_that_it_takes(workspace: Workspace) -> None:
    create_conversations(workspace)
    events = finetune_model(workspace, steps=0, budget=Budget(minutes=0.001))
    [note] = [event.text for event in events if isinstance(event, RunWarning) and "too few" in event.text]
    assert "1 step, " in note
    assert "minutes=1" in note


@pytest.mark.parametrize("setting", ["rehearsal=1", "rehearsal=-0.1", "forgetting=-1", "forgetting='much'"])
def test_a_setting_out_of_range_is_an_error(workspace: Workspace, setting: str) -> None:
    create_conversations(workspace)
    key, _, value = setting.partition("=")
    with raises_code("train.bad_number", key=key):
        finetune_model(workspace, overrides={**FEW, key: value})


def test_a_base_without_left_to_right_networks_is_not_asked_to_rehearse(
    worlds: ModuleType, workspace: Workspace
) -> None:
    create_conversations(workspace)
    assert result(finetune_model(workspace, base="masks", steps=2, method="full")).actual["steps"] == 2
