"""Experience replay: a model's own data, or generated passages if it has memorised its data."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from genloom.model import Model, load_model
from genloom.store.workspace import Workspace
from genloom.train.data.packing import EncodedDocuments
from genloom.train.data.source import BatchFn
from genloom.train.job import Job
from genloom.train.preference.replay import prepare_replay

Learner = tuple[Workspace, Model, Job]


@pytest.fixture(scope="module")
def counting(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Learner:
    """A network with n-gram counts of its text."""
    workspace = Workspace(tmp_path_factory.mktemp("counting"))
    data = worlds.create_dataset(workspace)
    planned = worlds.build_job(
        data, 6, network='{name = "ngram", order = 4, base = {width = 16, depth = 1, heads = 2}}'
    )
    worlds.finish_run(workspace, planned)
    return workspace, load_model(workspace, "tales"), planned


def replay_batches(learner: Learner, folder: Path, share: float = 1.0) -> BatchFn | None:
    workspace, model, planned = learner
    assert model.folder is not None
    events = prepare_replay(folder, workspace, model, model.folder.card["data"], share)
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value and stop.value(planned, model)


def test_a_network_with_counts_replays_generated_passages(counting: Learner, tmp_path: Path) -> None:
    batches = replay_batches(counting, tmp_path)
    assert batches is not None
    workspace, model, planned = counting
    own = EncodedDocuments.load(tmp_path)
    texts = [model.codec.decode(own.ids[begin:end]) for begin, end in zip([0, *own.ends[:-1]], own.ends, strict=True)]
    learned = {item.value for item in workspace.get_dataset("tales").iter_documents("train")}
    assert len(texts) > 32
    assert not learned & set(texts)
    assert len(batches(0)) == planned.batch_size


def test_generated_passages_are_reused_on_resume(counting: Learner, tmp_path: Path) -> None:
    first = replay_batches(counting, tmp_path)
    before = (tmp_path / "documents.ids").read_bytes()
    again = replay_batches(counting, tmp_path)
    assert first is not None
    assert again is not None
    assert (tmp_path / "documents.ids").read_bytes() == before
    assert all(torch.equal(first(step).x, again(step).x) for step in range(4))


def test_generated_passages_are_reproducible(counting: Learner, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        replay_batches(counting, tmp_path / name)
    one, two = (EncodedDocuments.load(tmp_path / name) for name in ("one", "two"))
    assert np.array_equal(one.ids, two.ids)


def test_without_replay_nothing_is_generated(counting: Learner, tmp_path: Path) -> None:
    assert replay_batches(counting, tmp_path, share=0.0) is None
    assert not list(tmp_path.iterdir())
