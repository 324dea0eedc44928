"""Texts of several sources are read in the proportions of their weights, which may change over the run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloom.collect import collect
from genloom.collect.builtin import load_shakespeare
from genloom.store.workspace import Workspace
from genloom.train.data.mixture import MixedBlocks, TokenGroup, build_groups, match_source, parse_mixture
from genloom.train.events import RunResult
from genloom.train.job import read_job
from genloom.train.request import TrainRequest
from genloom.train.run import train_model
from tests.errors import raises_code

GROUPS = (TokenGroup("a", 0, 3000), TokenGroup("b", 3000, 4000), TokenGroup("other", 4000, 10_000))
TOKENS = np.repeat(np.array([1, 2, 3], np.uint16), [3000, 1000, 6000])


def build_blocks(mixture: dict[str, Any], batch_size: int = 10, num_steps: int = 100) -> MixedBlocks:
    return MixedBlocks(TOKENS, GROUPS, parse_mixture({"mixture": mixture}), batch_size, 16, num_steps, seed=1)


def count_sources(blocks: MixedBlocks, steps: range) -> list[int]:
    counts = np.zeros(4, np.int64)
    for step in steps:
        x_BL = blocks(step).x
        assert (x_BL == x_BL[:, :1]).all(), "a row is of one source"
        assert len(x_BL) == blocks.batch_size
        counts += np.bincount(x_BL[:, 0].numpy(), minlength=4)
    return counts[1:].tolist()


def test_weights_scale_the_shares_by_size() -> None:
    assert count_sources(build_blocks({"a": 1}), range(100)) == [300, 100, 600]
    assert count_sources(build_blocks({"a": 2, "b": 4, "other": 0}), range(100)) == [600, 400, 0]
    few = count_sources(build_blocks({"b": 0.01}, batch_size=1), range(1000))
    assert few == pytest.approx([333, 1, 666], abs=2)


def test_a_curriculum_changes_the_weights_over_the_run() -> None:
    blocks = build_blocks({"a": 0, "b": [[0, 0], [0.5, 0], [0.5, 6], [1, 6]]})
    assert count_sources(blocks, range(49)) == [0, 0, 490]
    assert count_sources(blocks, range(51, 100)) == pytest.approx([0, 245, 245], abs=2)
    linear = build_blocks({"a": [[0, 0], [1, 3]], "other": 0, "b": 1})
    first, last = count_sources(linear, range(20)), count_sources(linear, range(80, 100))
    assert first[0] < 100
    assert last[0] > 160


def test_a_batch_is_a_function_of_the_step_and_of_the_rows() -> None:
    walked, jumped = build_blocks({"a": 2, "b": [[0, 1], [1, 5]]}), build_blocks({"a": 2, "b": [[0, 1], [1, 5]]})
    batches = [walked(step).x for step in range(60)]
    for step in (59, 0, 31):
        assert jumped(step).x.equal(batches[step])
        assert jumped.read_rows(step, slice(4, 8)).x.equal(batches[step][4:8])


def test_each_source_has_its_own_epochs() -> None:
    tokens = np.arange(10_000, dtype=np.uint16)
    blocks = MixedBlocks(tokens, GROUPS, parse_mixture({"mixture": {"b": 1}}), 10, 16, 100)
    (size,) = {each.blocks_per_epoch for each in blocks.blocks if each is not None and len(each.token_ids) == 1000}
    rows = np.concatenate([blocks(step).x.numpy() for step in range(80)])
    starts = rows[(rows[:, 0] >= 3000) & (rows[:, 0] < 4000), 0]
    assert len(set(starts[:size].tolist())) == size


@pytest.mark.parametrize(
    "weight", [-1, "much", True, [], [[0, 1], [0.5]], [[0.5, 1], [0.2, 1]], [[0, 1], [2, 1]], [[0, float("nan")]]]
)
def test_other_weights_are_refused(weight: Any) -> None:
    with raises_code("train.bad_mixture", source="web"):
        parse_mixture({"mixture": {"web": weight}})


def test_a_mixture_of_nothing_is_refused() -> None:
    with raises_code("train.empty_mixture"):
        build_blocks({"a": 0, "b": 0, "other": [[0, 1], [0.5, 0], [1, 0]]})(99)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("web/a.txt", "web"),
        ("web/a.txt:3#1", "web"),
        ("web", "web"),
        ("website/a.txt", "other"),
        ("rows.jsonl:4", "rows.jsonl"),
    ],
)
def test_a_source_is_a_folder_or_a_file(source: str, name: str) -> None:
    assert match_source(source, ("web", "rows.jsonl")) == name


def test_a_source_without_documents_is_an_error() -> None:
    assert build_groups({"a": 5, "other": 0}) == (TokenGroup("a", 0, 5),)
    with raises_code("train.unknown_source", source="a"):
        build_groups({"a": 0, "other": 5})


def test_a_run_keeps_its_mixture(tmp_path: Path) -> None:
    workspace, play = Workspace(tmp_path / "w"), load_shakespeare()
    for n, name in enumerate(("old", "new")):
        (tmp_path / name).mkdir()
        for k in range(4):
            begin = (4 * n + k) * 9000
            (tmp_path / name / f"{k}.txt").write_text(play[begin : begin + 9000])
    list(collect([tmp_path / "old", tmp_path / "new"], workspace, "both"))
    parts = {"codec.name": "bytes", "network.name": "transformer", "plan.precision": "float32"}
    sizes = {"network.width": "16", "network.depth": "1", "context_length": "32", "batch_size": "4"}
    overrides = {"mixture.old": "[[0, 1], [1, 0.25]]", **parts, **sizes}
    request = TrainRequest("both", steps=4, overrides=overrides)
    *_, result = train_model(workspace, request)
    assert isinstance(result, RunResult)
    job = read_job(workspace.get_model(result.ref).folder / "job.toml")
    assert job.mixture == {"old": ((0.0, 1.0), (1.0, 0.25))}
