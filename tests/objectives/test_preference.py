"""Pairs move a model as far as they should: closed forms, length, doubt, and references that are known beforehand."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from genloom.noise import build_training_noise
from genloom.objectives.dpo import DPO
from genloom.objectives.reference import with_reference_nll
from genloom.testing import assert_close, perturb_weights
from genloom.types import Batch, PreferencePairs


def told(toys, name, rows=6):
    """A toy's parts, another version of them as their reference, and pairs of both kinds."""
    toy = toys.TOYS[name]
    parts = {n: perturb_weights(p).eval() for n, p in toys.build_networks(toy).items()}
    reference = {n: perturb_weights(p, 0.05).requires_grad_(False) for n, p in parts.items()}
    kinds = torch.arange(rows) % 2
    pairs = PreferencePairs(
        Batch(toys.world(toy.space, rows, 0, kinds)), Batch(toys.world(toy.space, rows, 0, 1 - kinds))
    )
    return toy.objective, parts, reference, pairs


def loss_of(prefer, parts, pairs):
    return prefer.loss(parts, pairs, prefer.turns[0], build_training_noise(0, 0, 0, len(pairs)))


@torch.no_grad()
def nats(objective, parts, batch):
    return objective.loss(parts, batch, objective.turns[0], build_training_noise(0, 0, 0, len(batch))).per_sample


def test_the_loss_of_a_pair_is_that_of_the_paper(toys, likely_toy):
    objective, parts, reference, pairs = told(toys, likely_toy)
    rise = {side: nats(objective, reference, b) - nats(objective, parts, b) for side, b in vars(pairs).items() if b}
    wanted = -torch.sigmoid(0.3 * (rise["win"] - rise["lose"])).log()
    assert_close(loss_of(DPO(objective, reference, 0.3, rpo_alpha=0.0), parts, pairs).per_sample, wanted, "equation 7")


def test_the_anchor_is_the_loss_a_unit_of_the_winner(toys, likely_toy):
    objective, parts, reference, pairs = told(toys, likely_toy)
    plain, anchored = (loss_of(DPO(objective, reference, rpo_alpha=a), parts, pairs).per_sample for a in (0.0, 2.0))
    units = objective.loss(parts, pairs.chosen, objective.turns[0], build_training_noise(0, 0, 0, 6)).num_terms
    assert_close(anchored - plain, 2 * nats(objective, parts, pairs.chosen) / units, "the anchor")


def test_a_known_reference_is_as_good_as_one_that_is_asked(toys, causal_toy):
    objective, parts, reference, pairs = told(toys, causal_toy)
    noise = build_training_noise(9, 9, 9, len(pairs))
    said = PreferencePairs(
        with_reference_nll(objective, reference, pairs.chosen, noise),
        with_reference_nll(objective, reference, pairs.rejected, noise),
    )
    asked = loss_of(DPO(objective, reference), parts, pairs).per_sample
    assert_close(loss_of(DPO(objective), parts, said).per_sample, asked, "the reference")
    assert_close(loss_of(DPO(objective), parts, said.select_rows(slice(2, 4))).per_sample, asked[2:4], "its rows")


def test_no_reference_at_all_is_a_mistake(toys):
    objective, parts, _, pairs = told(toys, "autoregressive-transformer")
    with pytest.raises(AssertionError, match="bring its reference"):
        loss_of(DPO(objective), parts, pairs)


def test_a_unit_counts_the_same_however_long_the_answer(toys):
    """Both sides rose by the same a symbol; the longer one by more in all, which is what plain DPO rewards."""
    objective, parts, _, _ = told(toys, "autoregressive-transformer", 1)
    x = toys.world(toys.TOKENS, 1, 0)
    long, short = Batch(x), Batch(x[:, :3])
    rises = {id(b): 0.5 * (b.x.shape[1] - 1) for b in (long, short)}
    win, lose = (replace(b, reference_nll=nats(objective, parts, b) + rises[id(b)]) for b in (long, short))
    pairs = PreferencePairs(win, lose)
    plain, fair = (
        loss_of(DPO(objective, beta=1.0, rpo_alpha=0.0, is_length_normalized=u), parts, pairs) for u in (False, True)
    )
    assert plain.metrics["margin"].item() == pytest.approx(0.5 * (6 - 2), abs=1e-4)
    assert fair.per_sample.item() == pytest.approx(math.log(2), abs=1e-4)


def test_doubted_pairs_ask_for_no_more_than_the_odds_of_being_right(toys):
    objective, parts, _, pairs = told(toys, "autoregressive-transformer", 1)

    def slope(margin: float) -> float:
        gap = torch.tensor(margin, requires_grad=True)
        lose = nats(objective, parts, pairs.rejected)
        win = nats(objective, parts, pairs.chosen) + gap  # as if the winner had risen by the gap
        said = PreferencePairs(replace(pairs.chosen, reference_nll=win), replace(pairs.rejected, reference_nll=lose))
        loss = loss_of(DPO(objective, beta=1.0, rpo_alpha=0.0, label_smoothing=0.2), parts, said)
        return torch.autograd.grad(loss.per_sample.pooled_proj(), gap)[0].item()

    assert slope(math.log(4)) == pytest.approx(0, abs=1e-5)
    assert slope(1.0) < 0 < slope(2.0)


def test_a_step_in_pieces_is_the_step_of_the_whole(toys, likely_toy):
    from genloom.train.loop import TrainConfig, TrainState, train

    objective, parts, reference, pairs = told(toys, likely_toy, 8)
    pairs = replace(pairs, weight=torch.linspace(0.1, 1, 8))
    made = []
    for pieces in (1, 3):
        state = TrainState.from_parts(torch.nn.ModuleDict(deepcopy(parts)), objective, TrainConfig(steps=2, warmup=1))
        *_, last = train(
            DPO(objective, reference), lambda _: pairs, TrainConfig(steps=2, grad_accum_steps=pieces), state
        )
        made.append((last.losses, state.to_tensors()))
    assert made[0][0] == pytest.approx(made[1][0], rel=1e-4)
    for name, tensor in made[0][1].items():
        assert_close(made[1][1][name], tensor, name)


@pytest.mark.parametrize("settings", [{"beta": 0.0}, {"rpo_alpha": -1.0}, {"label_smoothing": 0.5}])
def test_settings_out_of_range_are_named(toys, settings):
    with pytest.raises(ValueError, match="beta must be above 0, anchor 0 or more, and flipped from 0"):
        DPO(toys.TOYS["flow-dense"].objective, **settings)
