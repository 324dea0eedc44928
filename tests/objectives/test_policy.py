"""A model learns from its own attempts: advantages, the clipped ratio, the price of distance, and a toy world."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from genloom.noise import Noise, training_noise
from genloom.objectives.autoregressive import Controls
from genloom.objectives.policy import Policy, advantages
from genloom.testing import agree, check_objective, stirred
from genloom.train.loop import Plan
from genloom.train.optimizers import Rates
from genloom.types import Attempts, Batch


def told(toys, name, rows=6):
    toy = toys.TOYS[name]
    parts = {n: stirred(p).eval() for n, p in toys.parts_of(toy).items()}
    reference = {n: stirred(p, 0.05).requires_grad_(False) for n, p in parts.items()}
    return toy.objective, parts, reference, Batch(toys.world(toy.space, rows, 0))


def loss_of(policy, parts, attempts):
    return policy.loss(parts, attempts, policy.turns[0], training_noise(0, 0, 0, len(attempts)))


@torch.no_grad()
def nats(objective, parts, batch):
    return objective.loss(parts, batch, objective.turns[0], training_noise(0, 0, 0, len(batch))).per_sample


def test_advantages_are_above_the_group():
    rewards = torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    assert advantages(rewards).tolist() == [pytest.approx([-1, 0, 1], abs=1e-3), [0, 0, 0]]
    others = torch.tensor([[1 - 2.5, 2 - 2.0, 3 - 1.5], [0, 0, 0]])
    agree(advantages(rewards, "rloo"), others, "the mean of the others")
    with pytest.raises(ValueError, match="draw two or more"):
        advantages(torch.ones(3, 1))


def test_fresh_attempts_give_the_policy_gradient(toys, causal_toy):
    """The gradient of minus the advantage times the log-likelihood a symbol (Williams 1992)."""
    objective, parts, reference, batch = told(toys, causal_toy)
    advantage = torch.linspace(-1, 1, 6)
    weights = list(parts["model"].parameters())
    policy = Policy(objective, reference, beta=0.0)
    found = torch.autograd.grad(loss_of(policy, parts, Attempts(batch, advantage)).per_sample.sum(), weights)
    own = objective.loss(parts, batch, objective.turns[0], training_noise(0, 0, 0, 6))
    wanted = torch.autograd.grad((advantage * own.per_sample / own.units).sum(), weights)
    for one, other in zip(found, wanted, strict=True):
        agree(one, other, "the policy gradient")


@pytest.mark.parametrize(("moved", "advantage", "moves_on"), [(0.1, 1, False), (-0.1, 1, True), (-0.1, -1, False)])
def test_an_attempt_that_has_moved_far_enough_says_no_more(toys, moved, advantage, moves_on):
    objective, parts, reference, batch = told(toys, "autoregressive-transformer", 1)
    drawn = nats(objective, parts, batch) + 6 * moved  # six symbols
    loss = loss_of(Policy(objective, reference, 0.0), parts, Attempts(batch, torch.tensor([float(advantage)]), drawn))
    grads = torch.autograd.grad(loss.per_sample.sum(), list(parts["model"].parameters()), allow_unused=True)
    assert any(bool(g.any()) for g in grads if g is not None) == moves_on
    if not moves_on:
        assert loss.per_sample.item() == pytest.approx(-advantage * (1 + math.copysign(0.01, moved)))


def test_distance_from_the_reference_has_its_price(toys, causal_toy):
    objective, parts, reference, batch = told(toys, causal_toy)
    loss = loss_of(Policy(objective, reference, beta=0.5), parts, Attempts(batch, torch.zeros(6)))
    rise = nats(objective, reference, batch) - nats(objective, parts, batch)
    agree(loss.per_sample, 0.25 * rise.square() / 6, "half its square, a symbol")


def test_contracts_of_attempts(toys, causal_toy):
    objective, parts, reference, batch = told(toys, causal_toy)
    drawn = nats(objective, parts, batch)
    check_objective(Policy(objective, reference), parts, Attempts(batch, torch.linspace(-1, 1, 6), drawn))


@pytest.mark.parametrize("name", ["autoregressive-transformer", "autoregressive-recurrent"])
def test_rewards_move_it_and_leave_it_valid(toys, name):
    """The second kind earns more; eight attempts a step, drawn by the model as it is."""
    toy = toys.TOYS[name]
    reference = dict(deepcopy(toys.trained(name)).items())
    parts = toys.again(name).eval()
    policy = Policy(toy.objective, reference, beta=0.02)

    def attempts_at(step: int) -> Attempts:
        noise = Noise(5, tuple(range(8 * step, 8 * step + 8)))
        *_, drawn = toy.objective.sample(dict(parts.items()), 8, None, noise, Controls(length=6))
        x = torch.cat([torch.full((8, 1), toys.TOKENS.start), drawn], 1)
        x = torch.nn.functional.pad(x, (0, 7 - x.shape[1]), value=toys.TOKENS.stop)
        return Attempts(Batch(x), advantages(toys.kinds_of(toy.space, x).float()[None]).flatten())

    adam = Rates(family="adamw", matrix=1e-3, table=1e-3, vector=1e-3)
    parts = toys.learned(toy, attempts_at, Plan(steps=30, seed=1, rates=adam), parts, policy)
    x = toys.draw(toy, parts)
    assert toys.share(toy.space, x) > 0.8
    assert toys.valid(toy.space, x) > 0.8


@pytest.mark.parametrize("settings", [{"beta": -0.1}, {"clip": 0.0}])
def test_settings_out_of_range_are_named(toys, settings):
    with pytest.raises(ValueError, match="beta must be 0 or more and clip between 0 and 1"):
        Policy(toys.TOYS["flow-dense"].objective, **settings)


def test_weights_of_attempts_are_cut_with_them():
    attempts = Attempts(Batch(torch.zeros(4, 2)), torch.arange(4.0), torch.arange(4.0), torch.arange(4.0))
    for values in vars(replace(attempts.rows(slice(1, 3)), batch=None)).values():
        assert values is None or values.tolist() == [1, 2]
