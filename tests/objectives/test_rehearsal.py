"""Rehearsal: the new loss and the old one, whatever pieces a batch is cut into."""

import numpy as np
import torch

from genloom.noise import build_training_noise
from genloom.objectives.dpo import DPO
from genloom.objectives.replay import ReplayBatch, ReplayMix
from genloom.objectives.sft import build_preference_pairs
from genloom.testing import assert_close
from genloom.types import Batch


def test_it_is_the_sum_of_both_losses_and_cuts_both_batches(toys) -> None:
    toy = toys.TOYS["autoregressive-transformer"]
    parts = dict(toys.trained("autoregressive-transformer").items())
    rows = [np.array(row) for row in ((3, 0), (3, 1))]
    news = build_preference_pairs(rows, [np.ones(2, int)] * 2, [np.zeros(2, int)] * 2, 7)
    batch = ReplayBatch(news, Batch(toys.world(toy.space, 2, 0)))
    learning = DPO(toy.objective, parts)
    objective, noise, turn = (
        ReplayMix(learning, toy.objective, 3.0),
        build_training_noise(0, 0, 0, 2),
        toy.objective.turns[0],
    )
    with torch.no_grad():
        both = objective.loss(parts, batch, turn, noise)
        new, old = learning.loss(parts, news, turn, noise), toy.objective.loss(parts, batch.replay, turn, noise)
        assert_close(both.per_sample, new.per_sample + 3 * old.per_sample / old.num_terms, "the sum")
        half = objective.loss(parts, batch.select_rows(slice(1, 2)), turn, noise.select_rows(slice(1, 2)))
    assert_close(half.per_sample, both.per_sample[1:], "its second row alone")
    assert {"agreement", "replay_loss"} <= set(both.metrics)
