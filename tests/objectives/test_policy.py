"""A model learns from its own attempts: advantages, the clipped ratio, the price of distance, and a toy world."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from genloom.noise import Noise, build_training_noise
from genloom.objectives.autoregressive import SamplingParams
from genloom.objectives.grpo import GRPO, compute_advantages
from genloom.testing import assert_close, check_objective, perturb_weights
from genloom.train.loop import TrainConfig
from genloom.train.optimizers import OptimizerConfig
from genloom.types import Batch, Rollouts


def told(toys, name, rows=6):
    toy = toys.TOYS[name]
    parts = {n: perturb_weights(p).eval() for n, p in toys.build_networks(toy).items()}
    reference = {n: perturb_weights(p, 0.05).requires_grad_(False) for n, p in parts.items()}
    return toy.objective, parts, reference, Batch(toys.world(toy.space, rows, 0))


def loss_of(policy, parts, attempts):
    return policy.loss(parts, attempts, policy.turns[0], build_training_noise(0, 0, 0, len(attempts)))


@torch.no_grad()
def nats(objective, parts, batch):
    return objective.loss(parts, batch, objective.turns[0], build_training_noise(0, 0, 0, len(batch))).per_sample


def test_advantages_are_above_the_group():
    rewards = torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    assert compute_advantages(rewards).tolist() == [pytest.approx([-1, 0, 1], abs=1e-3), [0, 0, 0]]
    others = torch.tensor([[1 - 2.5, 2 - 2.0, 3 - 1.5], [0, 0, 0]])
    assert_close(compute_advantages(rewards, "rloo"), others, "the mean of the others")
    with pytest.raises(ValueError, match="draw two or more"):
        compute_advantages(torch.ones(3, 1))


def test_fresh_attempts_give_the_policy_gradient(toys, causal_toy):
    """The gradient of minus the advantage times the log-likelihood a symbol (Williams 1992)."""
    objective, parts, reference, batch = told(toys, causal_toy)
    advantage = torch.linspace(-1, 1, 6)
    weights = list(parts["model"].parameters())
    policy = GRPO(objective, reference, beta=0.0)
    found = torch.autograd.grad(loss_of(policy, parts, Rollouts(batch, advantage)).per_sample.pooled_proj(), weights)
    own = objective.loss(parts, batch, objective.turns[0], build_training_noise(0, 0, 0, 6))
    wanted = torch.autograd.grad((advantage * own.per_sample / own.num_terms).pooled_proj(), weights)
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other, "the policy gradient")


@pytest.mark.parametrize(("moved", "advantage", "moves_on"), [(0.1, 1, False), (-0.1, 1, True), (-0.1, -1, False)])
def test_an_attempt_that_has_moved_far_enough_says_no_more(toys, moved, advantage, moves_on):
    objective, parts, reference, batch = told(toys, "autoregressive-transformer", 1)
    drawn = nats(objective, parts, batch) + 6 * moved  # six symbols
    loss = loss_of(GRPO(objective, reference, 0.0), parts, Rollouts(batch, torch.tensor([float(advantage)]), drawn))
    grads = torch.autograd.grad(loss.per_sample.pooled_proj(), list(parts["model"].parameters()), allow_unused=True)
    assert any(bool(g.any()) for g in grads if g is not None) == moves_on
    if not moves_on:
        assert loss.per_sample.item() == pytest.approx(-advantage * (1 + math.copysign(0.01, moved)))


def test_distance_from_the_reference_has_its_price(toys, causal_toy):
    objective, parts, reference, batch = told(toys, causal_toy)
    loss = loss_of(GRPO(objective, reference, beta=0.5), parts, Rollouts(batch, torch.zeros(6)))
    rise = nats(objective, reference, batch) - nats(objective, parts, batch)
    assert_close(loss.per_sample, 0.25 * rise.model_input() / 6, "half its square, a symbol")


def test_contracts_of_attempts(toys, causal_toy):
    objective, parts, reference, batch = told(toys, causal_toy)
    drawn = nats(objective, parts, batch)
    check_objective(GRPO(objective, reference), parts, Rollouts(batch, torch.linspace(-1, 1, 6), drawn))


@pytest.mark.parametrize("name", ["autoregressive-transformer", "autoregressive-recurrent"])
def test_rewards_move_it_and_leave_it_valid(toys, name):
    """The second kind earns more; eight attempts a step, drawn by the model as it is."""
    toy = toys.TOYS[name]
    reference = dict(deepcopy(toys.trained(name)).items())
    parts = toys.again(name).eval()
    policy = GRPO(toy.objective, reference, beta=0.02)

    def attempts_at(step: int) -> Rollouts:
        noise = Noise(5, tuple(range(8 * step, 8 * step + 8)))
        *_, drawn = toy.objective.sample(dict(parts.items()), 8, None, noise, SamplingParams(max_tokens=6))
        x = torch.cat([torch.full((8, 1), toys.TOKENS.start), drawn], 1)
        x = torch.nn.functional.pad(x, (0, 7 - x.shape[1]), value=toys.TOKENS.stop)
        return Rollouts(Batch(x), compute_advantages(toys.kinds_of(toy.space, x).float()[None]).flatten())

    adam = OptimizerConfig(family="adamw", lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)
    parts = toys.run_learning(toy, attempts_at, TrainConfig(steps=30, seed=1, optimizer=adam), parts, policy)
    x = toys.update_task(toy, parts)
    assert toys.share(toy.space, x) > 0.8
    assert toys.is_non_degenerate(toy.space, x) > 0.8


@pytest.mark.parametrize("settings", [{"beta": -0.1}, {"clip_range": 0.0}])
def test_settings_out_of_range_are_named(toys, settings):
    with pytest.raises(ValueError, match="beta must be 0 or more and clip between 0 and 1"):
        GRPO(toys.TOYS["flow-dense"].objective, **settings)


def test_weights_of_attempts_are_cut_with_them():
    attempts = Rollouts(Batch(torch.zeros(4, 2)), torch.arange(4.0), torch.arange(4.0), torch.arange(4.0))
    for values in vars(replace(attempts.select_rows(slice(1, 3)), batch=None)).values():
        assert values is None or values.tolist() == [1, 2]
