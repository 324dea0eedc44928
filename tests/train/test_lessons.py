"""Lessons: kept by digest, read by the step, and looked up as the model knew them before."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from genloom.testing import assert_close
from genloom.train.data.samples import EncodedSamples
from genloom.train.preference.dataset import (
    PreferenceBatches,
    PreferenceDataset,
    PreferenceSides,
    precompute_reference_nll,
    shuffled_index,
)

SAMPLES = EncodedSamples(  # four of one number each, with the states of two prompts
    np.arange(4, dtype=np.float16)[:, None],
    np.repeat(np.eye(2, dtype=np.float16), 2, 0),
    np.arange(1, 5),
)
PAIRS = PreferenceDataset(
    ((3,), (3, 0), (3, 1)), ((1, 1), (1,), (1, 1, 1)), ((0,), (0, 0), (0, 0)), (), (1.0, 0.5, 1.5)
)


def test_the_digest_is_of_all_that_is_learned_and_of_what_lies_on_disk(tmp_path: Path) -> None:
    PAIRS.save(tmp_path)
    assert hashlib.sha256((tmp_path / "lessons.json").read_bytes()).hexdigest() == PAIRS.digest
    assert replace(PAIRS, weights=(1.0, 1.0, 1.0)).digest != PAIRS.digest
    shown = replace(PAIRS, samples=SAMPLES)
    assert shown.digest != PAIRS.digest
    assert replace(shown, samples=EncodedSamples(SAMPLES.x + 1, SAMPLES.states, SAMPLES.ends)).digest != shown.digest


def test_samples_are_named_by_number_and_stand_beside_the_prompt_of_their_row() -> None:
    """Of single answers, what an answer to another prompt gains is asked beside the row's own prompt."""
    pairs = PreferenceDataset(((0,), (2,)), ((0,), (2,)), ((1,), (3,)), (), (1.0, 1.0), SAMPLES)
    batch = cast(Any, PreferenceBatches(PreferenceSides.from_dataset("dpo", pairs, 0), 2, 0)(0))
    rows = [shuffled_index(n, 2, 0) for n in range(2)]
    assert_close(batch.chosen.x[:, 0], torch.tensor([[0.0], [2.0]])[rows][:, 0], "the better samples")
    assert_close(batch.rejected.x[:, 0], torch.tensor([[1.0], [3.0]])[rows][:, 0], "the worse ones")
    assert_close(batch.rejected.cond.tokens, batch.chosen.cond.tokens, "the prompt of both")
    assert batch.chosen.reference is None
    kto = cast(Any, PreferenceBatches(PreferenceSides.from_dataset("kto", pairs.unpaired_view, 0), 4, 0)(0))
    assert not torch.equal(kto.others.x, kto.batch.x)
    assert_close(kto.others.cond.tokens, kto.batch.cond.tokens, "the row's own prompt")


def test_pairs_taken_apart_are_good_and_bad_answers() -> None:
    single = PAIRS.unpaired_view
    assert single.desirable == (True,) * 3 + (False,) * 3
    assert single.desirable_subset.answers == PAIRS.answers
    with pytest.raises(ValueError, match="Nothing was liked"):
        replace(single, good=(False,) * 6).desirable_subset  # noqa: B018
    with pytest.raises(ValueError, match="--method kto"):
        PreferenceSides.from_dataset("dpo", single, 7)


def test_every_epoch_reads_each_lesson_once_with_its_own_reference_and_weight(toys) -> None:
    toy = toys.TOYS["autoregressive-transformer"]
    sides = PreferenceSides.from_dataset("dpo", PAIRS, 7)
    found = precompute_reference_nll(toy.objective, dict(toys.trained("autoregressive-transformer").items()), sides)
    drawn = PreferenceBatches(sides, 1, 0, found)
    batches = [cast(Any, drawn(step)) for step in range(3)]
    assert sorted(float(batch.weight) for batch in batches) == [0.5, 1.0, 1.5]
    for batch in batches:
        n = PAIRS.weights.index(float(batch.weight))
        assert_close(batch.rejected.reference, torch.from_numpy(found[1, [n]]), "the reference of the worse answer")
    assert torch.equal(cast(Any, drawn(1)).chosen.x, batches[1].chosen.x), "a batch is a function of its step"
