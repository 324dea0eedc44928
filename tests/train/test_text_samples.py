"""A new language model shows what it writes while it is trained, and learns the same as without."""

from types import ModuleType

import pytest

from genloom.store.workspace import Workspace
from genloom.train.events import TextSample
from genloom.train.run import TrainRequest, train_model
from genloom.train.text_samples import MAX_CHARS, choose_sample_steps

TINY = {"network.base.width": "16", "network.base.depth": "1", "network.order": "3", "context_length": "32"}


@pytest.fixture
def workspace(trained_copy: Workspace) -> Workspace:
    return trained_copy


def test_three_texts_are_shown_and_change_nothing(workspace: Workspace, worlds: ModuleType) -> None:
    for name, num_samples in (("quiet", 0), ("shown", 3)):
        request = TrainRequest("tales", name, steps=20, overrides=TINY, num_samples=num_samples)
        samples = [event for event in train_model(workspace, request) if isinstance(event, TextSample)]
        assert [sample.step for sample in samples] == sorted(choose_sample_steps(20, num_samples))
        assert all(0 < len(sample.text) <= MAX_CHARS and "\n" not in sample.text for sample in samples)
    assert worlds.file_digests(workspace, "quiet") == worlds.file_digests(workspace, "shown")


def test_a_model_that_is_tuned_or_no_text_shows_nothing(workspace: Workspace) -> None:
    request = TrainRequest("tales", "more", "tales", steps=2, overrides={"batch_size": "2"}, num_samples=3)
    assert not any(isinstance(event, TextSample) for event in train_model(workspace, request))


def test_short_runs_show_fewer_texts() -> None:
    assert choose_sample_steps(1, 3) == {1}
    assert choose_sample_steps(100, 3) == {10, 55, 100}
