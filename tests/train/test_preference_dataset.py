"""Preference data: digests, batches by step, and reference log-likelihoods."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from genloom.testing import assert_close
from genloom.train.data.conditions import EncodedCondition
from genloom.train.data.order import EpochOrder
from genloom.train.data.samples import EncodedSamples
from genloom.train.preference.dataset import (
    PreferenceBatches,
    PreferenceDataset,
    PreferenceSides,
    precompute_reference_nll,
)
from tests.errors import raises_code

SAMPLES = EncodedSamples(  # four with one value each, and the states of two prompts
    np.arange(4, dtype=np.float16)[:, None],
    {"prompt": EncodedCondition(np.repeat(np.eye(2, dtype=np.float16), 2, 0), np.arange(1, 5))},
)
PAIRS = PreferenceDataset(
    ((3,), (3, 0), (3, 1)), ((1, 1), (1,), (1, 1, 1)), ((0,), (0, 0), (0, 0)), (), (1.0, 0.5, 1.5)
)


def test_the_digest_covers_all_examples_and_the_file(tmp_path: Path) -> None:
    PAIRS.save(tmp_path)
    assert hashlib.sha256((tmp_path / "preferences.json").read_bytes()).hexdigest() == PAIRS.digest
    keys = json.loads((tmp_path / "preferences.json").read_text()).keys()
    assert [*keys] == ["prompts", "answers", "worse", "good", "weights", "samples"], "jobs store digests of these"
    assert replace(PAIRS, weights=(1.0, 1.0, 1.0)).digest != PAIRS.digest
    shown = replace(PAIRS, samples=SAMPLES)
    assert shown.digest != PAIRS.digest
    assert replace(shown, samples=EncodedSamples(np.asarray(SAMPLES.x) + 1, SAMPLES.conditions)).digest != shown.digest


def test_samples_are_referenced_by_index_and_get_the_prompt_of_their_row() -> None:
    """A mismatched answer is scored with the row's own prompt."""
    pairs = PreferenceDataset(((0,), (2,)), ((0,), (2,)), ((1,), (3,)), (), (1.0, 1.0), SAMPLES)
    batch = cast(Any, PreferenceBatches(PreferenceSides.from_dataset("dpo", pairs, 0), 2, 0)(0))
    rows = EpochOrder.shuffle(2, 0)(range(2))
    assert_close(batch.chosen.x[:, 0], torch.tensor([[0.0], [2.0]])[rows][:, 0], "the chosen samples")
    assert_close(batch.rejected.x[:, 0], torch.tensor([[1.0], [3.0]])[rows][:, 0], "the rejected ones")
    assert_close(batch.rejected.cond.tokens, batch.chosen.cond.tokens, "the prompt of both")
    assert batch.chosen.reference_nll is None
    kto = cast(Any, PreferenceBatches(PreferenceSides.from_dataset("kto", pairs.unpaired_view, 0), 4, 0)(0))
    assert not torch.equal(kto.mismatched.x, kto.batch.x)
    assert_close(kto.mismatched.cond.tokens, kto.batch.cond.tokens, "the row's own prompt")


def test_unpaired_pairs_are_desirable_and_undesirable_answers() -> None:
    single = PAIRS.unpaired_view
    assert single.desirable == (True,) * 3 + (False,) * 3
    assert single.desirable_subset.answers == PAIRS.answers
    with raises_code("train.nothing_desirable"):
        replace(single, desirable=(False,) * 6).desirable_subset  # noqa: B018
    with raises_code("train.no_pairs"):
        PreferenceSides.from_dataset("dpo", single, 7)


def test_every_epoch_reads_each_example_once_with_its_reference_and_weight(toys) -> None:
    toy = toys.TOYS["autoregressive-transformer"]
    sides = PreferenceSides.from_dataset("dpo", PAIRS, 7)
    reference_nll_SN = precompute_reference_nll(
        toy.objective, dict(toys.train_toy("autoregressive-transformer").items()), sides
    )
    batches_by_step = PreferenceBatches(sides, 1, 0, reference_nll_SN)
    batches = [cast(Any, batches_by_step(step)) for step in range(3)]
    assert sorted(float(batch.weight) for batch in batches) == [0.5, 1.0, 1.5]
    for batch in batches:
        n = PAIRS.weights.index(float(batch.weight))
        assert_close(
            batch.rejected.reference_nll,
            torch.from_numpy(reference_nll_SN[1, [n]]),
            "the reference of the rejected answer",
        )
    assert torch.equal(cast(Any, batches_by_step(1)).chosen.x, batches[1].chosen.x), "a batch is a function of its step"
