"""Thumbs move a model: the closed form, the reference point of the whole batch, and toy worlds that follow."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from genloom.noise import build_training_noise
from genloom.objectives.kto import KTO
from genloom.testing import assert_close, check_objective, perturb_weights
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.types import Batch, UnpairedPreferences


def opinions(toys, toy, rows, seed=0):
    """Rows of both kinds, of which the second is liked; an answer to another prompt is another row's."""
    kinds = torch.arange(rows) % 2
    x = toys.world(toy.space, rows, seed, kinds)
    return UnpairedPreferences(Batch(x), kinds.bool(), Batch(x.roll(1, 0)))


def told(toys, name, rows=6):
    toy = toys.TOYS[name]
    parts = {n: perturb_weights(p).eval() for n, p in toys.build_networks(toy).items()}
    reference = {n: perturb_weights(p, 0.05).requires_grad_(False) for n, p in parts.items()}
    return toy.objective, parts, reference, opinions(toys, toy, rows)


def prepared(kto, parts, given, size=100):
    return kto.prepare(parts, given, kto.turns[0], build_training_noise(0, 0, 0, len(given)), size)


@torch.no_grad()
def nats(objective, parts, batch):
    return objective.loss(parts, batch, objective.turns[0], build_training_noise(0, 0, 0, len(batch))).per_sample


def test_the_loss_is_that_of_the_paper(toys, likely_toy):
    objective, parts, reference, given = told(toys, likely_toy)
    kto = KTO(objective, reference, beta=0.2, rpo_alpha=0.0, desirable_weight=1.5, undesirable_weight=0.5)
    given = prepared(kto, parts, given)
    rise, others = (nats(objective, reference, b) - nats(objective, parts, b) for b in (given.batch, given.others))
    point = max(others.mean().item(), 0.0)
    assert_close(given.baseline, torch.full((6,), point), "the reference point")
    liked = 1.5 * (1 - torch.sigmoid(0.2 * (rise - point)))
    disliked = 0.5 * (1 - torch.sigmoid(0.2 * (point - rise)))
    loss = kto.loss(parts, given, kto.phases[0], build_training_noise(0, 0, 0, 6))
    assert_close(loss.per_sample, torch.where(given.good, liked, disliked), "equation 8")


def test_a_model_that_fell_has_its_reference_point_at_zero(toys):
    objective, parts, reference, given = told(toys, "autoregressive-transformer")
    there = prepared(KTO(objective, reference), parts, given).baseline
    back = prepared(KTO(objective, parts), reference, given).baseline
    assert sorted([there[0].item() > 0, back[0].item() > 0]) == [False, True]


def test_contracts_of_thumbs(toys, likely_toy):
    objective, parts, reference, given = told(toys, likely_toy)
    kto = KTO(objective, reference)
    check_objective(kto, parts, prepared(kto, parts, given))


def test_a_step_in_pieces_is_the_step_of_the_whole(toys, likely_toy):
    """The reference point is a mean over the batch, which no piece knows by itself."""
    objective, parts, reference, given = told(toys, likely_toy, 8)
    given = replace(given, weight=torch.linspace(0.1, 1, 8))
    made = []
    for pieces in (1, 3):
        state = TrainState.from_parts(torch.nn.ModuleDict(deepcopy(parts)), objective, TrainConfig(steps=2, warmup=1))
        *_, last = train(
            KTO(objective, reference), lambda _: given, TrainConfig(steps=2, grad_accum_steps=pieces), state
        )
        made.append((last.losses, state.to_tensors()))
    assert made[0][0] == pytest.approx(made[1][0], rel=1e-4)
    for name, tensor in made[0][1].items():
        assert_close(made[1][1][name], tensor, name)


def moved(toys, name, steps, rows=16):
    """What a toy makes after it learned from thumbs for the second kind and against the first."""
    toy = toys.TOYS[name]
    reference = dict(deepcopy(toys.trained(name)).items())
    strength = {"beta": 2.0, "undesirable_weight": 2.0} if "flow" in name else {}
    adam = OptimizerConfig(family="adamw", lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)
    kto, plan = KTO(toy.objective, reference, **strength), TrainConfig(steps=steps, seed=1, optimizer=adam)
    parts = toys.run_learning(toy, lambda step: opinions(toys, toy, rows, step), plan, toys.again(name).eval(), kto)
    return toy.space, toys.update_task(toy, parts)


@pytest.mark.parametrize(("name", "steps"), [("autoregressive-recurrent", 60), ("flow-dense", 150)])
def test_thumbs_move_it_and_leave_it_valid(toys, name, steps):
    space, x = moved(toys, name, steps)
    assert toys.share(space, x) > 0.8
    assert toys.is_non_degenerate(space, x) > 0.8


@pytest.mark.slow
def test_thumbs_move_every_toy_and_leave_it_valid(toys, likely_toy):
    steps, rows = (300, 32) if "variational" in likely_toy else (150, 16)  # whose loss is the noisiest
    space, x = moved(toys, likely_toy, steps, rows)
    assert toys.share(space, x) > 0.8
    assert toys.is_non_degenerate(space, x) > 0.8


@pytest.mark.parametrize(
    "settings", [{"beta": 0.0}, {"rpo_alpha": -1.0}, {"desirable_weight": -0.1}, {"undesirable_weight": -0.1}]
)
def test_settings_out_of_range_are_named(toys, settings):
    with pytest.raises(ValueError, match="beta must be above 0, and anchor, good and bad 0 or more"):
        KTO(toys.TOYS["flow-dense"].objective, **settings)
