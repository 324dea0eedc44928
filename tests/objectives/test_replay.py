"""Replay: the sum of both losses, also for a part of the batch."""

import numpy as np
import torch

from genloom.noise import build_training_noise
from genloom.objectives.dpo import DPO
from genloom.objectives.replay import ReplayBatch, ReplayMix
from genloom.objectives.sft import build_preference_pairs
from genloom.testing import assert_close
from genloom.types import Batch


def test_the_loss_is_the_sum_and_selecting_rows_selects_from_both_batches(toys) -> None:
    toy = toys.TOYS["autoregressive-transformer"]
    parts = dict(toys.train_toy("autoregressive-transformer").items())
    rows = [np.array(row) for row in ((3, 0), (3, 1))]
    pairs = build_preference_pairs(rows, [np.ones(2, int)] * 2, [np.zeros(2, int)] * 2, 7)
    batch = ReplayBatch(pairs, Batch(toys.sample_world(toy.space, 2, 0)))
    dpo = DPO(toy.objective, parts)
    objective, noise, phase = (
        ReplayMix(base=toy.objective, objective=dpo, replay_weight=3.0),
        build_training_noise(0, 0, 0, 2),
        toy.objective.phases[0],
    )
    with torch.no_grad():
        both = objective.loss(parts, batch, phase, noise)
        new_loss, replay_loss = (
            dpo.loss(parts, pairs, phase, noise),
            toy.objective.loss(parts, batch.replay, phase, noise),
        )
        assert_close(
            both.per_sample, new_loss.per_sample + 3 * replay_loss.per_sample / replay_loss.num_terms, "the sum"
        )
        half = objective.loss(parts, batch.select_rows(slice(1, 2)), phase, noise.select_rows(slice(1, 2)))
    assert_close(half.per_sample, both.per_sample[1:], "its second row alone")
    assert {"agreement", "replay_loss"} <= set(both.metrics)
