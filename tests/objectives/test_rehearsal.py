"""Rehearsal: the new loss and the old one, whatever pieces a batch is cut into."""

import numpy as np
import torch

from genloom.noise import training_noise
from genloom.objectives.answers import pairs
from genloom.objectives.preference import Preference
from genloom.objectives.rehearsal import Rehearsal, Rehearsed
from genloom.testing import agree
from genloom.types import Batch


def test_it_is_the_sum_of_both_losses_and_cuts_both_batches(toys) -> None:
    toy = toys.TOYS["autoregressive-transformer"]
    parts = dict(toys.trained("autoregressive-transformer").items())
    rows = [np.array(row) for row in ((3, 0), (3, 1))]
    news = pairs(rows, [np.ones(2, int)] * 2, [np.zeros(2, int)] * 2, 7)
    batch = Rehearsed(news, Batch(toys.world(toy.space, 2, 0)))
    learning = Preference(toy.objective, parts)
    objective, noise, turn = Rehearsal(learning, toy.objective, 3.0), training_noise(0, 0, 0, 2), toy.objective.turns[0]
    with torch.no_grad():
        both = objective.loss(parts, batch, turn, noise)
        new, old = learning.loss(parts, news, turn, noise), toy.objective.loss(parts, batch.known, turn, noise)
        agree(both.per_sample, new.per_sample + 3 * old.per_sample / old.units, "the sum")
        half = objective.loss(parts, batch.rows(slice(1, 2)), turn, noise.rows(slice(1, 2)))
    agree(half.per_sample, both.per_sample[1:], "its second row alone")
    assert {"agreement", "rehearsed"} <= set(both.metrics)
