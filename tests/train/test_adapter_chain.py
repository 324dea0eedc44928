"""Chains of adapters: at their maximal length they are merged into a model without adapters."""

from types import ModuleType

import pytest

from genloom.model import load, load_model
from genloom.store.workspace import Workspace
from genloom.train.events import RunResult
from genloom.train.run import TrainRequest, train_model


def test_a_full_chain_of_adapters_is_merged(
    worlds: ModuleType, trained_copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = trained_copy
    monkeypatch.setattr(load, "MAX_ADAPTER_CHAIN", 3)
    refs = ["tales/1"]
    for _ in range(4):
        few = {"batch_size": "2", "pack_length": "32", "plan.precision": "float32"}
        *_, last = train_model(workspace, TrainRequest("tales", "tales", refs[-1], steps=1, overrides=few))
        assert isinstance(last, RunResult)
        refs.append(last.ref)
    made = [workspace.get_model(ref) for ref in refs]
    assert [folder.is_adapter for folder in made] == [False, True, True, False, True]
    assert [folder.parent_ref for folder in made[1:]] == refs[:-1]
    assert load_model(workspace, refs[-1]).adapters == (refs[-1],)
