"""Lessons: kept by digest, read by the step, and looked up as the model knew them before."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from genloom.testing import agree
from genloom.train.lessons import Drawn, Lessons, Sides, looked_up

PAIRS = Lessons(((3,), (3, 0), (3, 1)), ((1, 1), (1,), (1, 1, 1)), ((0,), (0, 0), (0, 0)), (), (1.0, 0.5, 1.5))


def test_lessons_come_back_from_disk_or_say_that_they_are_damaged(tmp_path: Path) -> None:
    PAIRS.save(tmp_path)
    assert Lessons.read(tmp_path, PAIRS.digest) == PAIRS
    assert replace(PAIRS, weights=(1.0, 1.0, 1.0)).digest != PAIRS.digest
    (tmp_path / "lessons.json").write_text("{}")
    with pytest.raises(ValueError, match="not what the run began with"):
        Lessons.read(tmp_path, PAIRS.digest)


def test_pairs_taken_apart_are_good_and_bad_answers() -> None:
    single = PAIRS.single
    assert single.good == (True,) * 3 + (False,) * 3
    assert single.liked.answers == PAIRS.answers
    with pytest.raises(ValueError, match="Nothing was liked"):
        replace(single, good=(False,) * 6).liked  # noqa: B018
    with pytest.raises(ValueError, match="--method kto"):
        Sides.of("dpo", single, 7)


def test_every_epoch_reads_each_lesson_once_with_its_own_reference_and_weight(toys) -> None:
    toy = toys.TOYS["autoregressive-transformer"]
    sides = Sides.of("dpo", PAIRS, 7)
    found = looked_up(toy.objective, dict(toys.trained("autoregressive-transformer").items()), sides)
    drawn = Drawn(sides, 1, 0, found)
    batches = [cast(Any, drawn(step)) for step in range(3)]
    assert sorted(float(batch.weight) for batch in batches) == [0.5, 1.0, 1.5]
    for batch in batches:
        n = PAIRS.weights.index(float(batch.weight))
        agree(batch.lose.reference, torch.from_numpy(found[1, [n]]), "the reference of the worse answer")
    assert torch.equal(cast(Any, drawn(1)).win.x, batches[1].win.x), "a batch is a function of its step"
