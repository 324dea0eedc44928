"""GRPO: advantages, the clipped ratio, the penalty of distance from the reference, and a toy world."""

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
from tests.errors import raises_code


def build_case(toys, name, rows=6):
    toy = toys.TOYS[name]
    parts = {n: perturb_weights(p).eval() for n, p in toys.build_networks(toy).items()}
    reference = {n: perturb_weights(p, 0.05).requires_grad_(False) for n, p in parts.items()}
    return toy.objective, parts, reference, Batch(toys.sample_world(toy.space, rows, 0))


def compute_loss(grpo, parts, rollouts):
    return grpo.loss(parts, rollouts, grpo.phases[0], build_training_noise(0, 0, 0, len(rollouts)))


@torch.no_grad()
def compute_nll(objective, parts, batch):
    return objective.loss(parts, batch, objective.phases[0], build_training_noise(0, 0, 0, len(batch))).per_sample


def test_advantages_are_relative_to_the_group():
    rewards = torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    assert compute_advantages(rewards).tolist() == [pytest.approx([-1, 0, 1], abs=1e-3), [0, 0, 0]]
    expected = torch.tensor([[1 - 2.5, 2 - 2.0, 3 - 1.5], [0, 0, 0]])
    assert_close(compute_advantages(rewards, "rloo"), expected, "the mean of the others")
    with raises_code("objectives.group_too_small", size=1):
        compute_advantages(torch.ones(3, 1))


def test_on_policy_rollouts_give_the_policy_gradient(toys, causal_toy):
    """The gradient of minus the advantage times the log-likelihood per token (Williams 1992)."""
    objective, parts, reference, batch = build_case(toys, causal_toy)
    advantage = torch.linspace(-1, 1, 6)
    weights = list(parts["model"].parameters())
    grpo = GRPO(objective, reference, beta=0.0)
    actual = torch.autograd.grad(compute_loss(grpo, parts, Rollouts(batch, advantage)).per_sample.sum(), weights)
    model_loss = objective.loss(parts, batch, objective.phases[0], build_training_noise(0, 0, 0, 6))
    expected = torch.autograd.grad((advantage * model_loss.per_sample / model_loss.num_terms).sum(), weights)
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, b, "the policy gradient")


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "has_gradient"), [(0.1, 1, False), (-0.1, 1, True), (-0.1, -1, False)]
)
def test_a_rollout_beyond_the_clip_range_has_no_gradient(toys, log_ratio, advantage, has_gradient):
    objective, parts, reference, batch = build_case(toys, "autoregressive-transformer", 1)
    old_nll = compute_nll(objective, parts, batch) + 6 * log_ratio  # six tokens
    loss = compute_loss(
        GRPO(objective, reference, 0.0), parts, Rollouts(batch, torch.tensor([float(advantage)]), old_nll)
    )
    grads = torch.autograd.grad(loss.per_sample.sum(), list(parts["model"].parameters()), allow_unused=True)
    assert any(bool(g.any()) for g in grads if g is not None) == has_gradient
    if not has_gradient:
        assert loss.per_sample.item() == pytest.approx(-advantage * (1 + math.copysign(0.01, log_ratio)))


def test_distance_from_the_reference_is_penalized(toys, causal_toy):
    objective, parts, reference, batch = build_case(toys, causal_toy)
    loss = compute_loss(GRPO(objective, reference, beta=0.5), parts, Rollouts(batch, torch.zeros(6)))
    log_ratio = compute_nll(objective, reference, batch) - compute_nll(objective, parts, batch)
    assert_close(loss.per_sample, 0.25 * log_ratio.square() / 6, "half its square, per token")


def test_contracts_of_rollouts(toys, causal_toy):
    objective, parts, reference, batch = build_case(toys, causal_toy)
    old_nll = compute_nll(objective, parts, batch)
    check_objective(GRPO(objective, reference), parts, Rollouts(batch, torch.linspace(-1, 1, 6), old_nll))


@pytest.mark.parametrize("name", ["autoregressive-transformer", "autoregressive-recurrent"])
def test_rewards_change_the_distribution_and_keep_samples_valid(toys, name):
    """The second kind earns more; eight rollouts a step, output_ids by the model as it is."""
    toy = toys.TOYS[name]
    reference = dict(deepcopy(toys.train_toy(name)).items())
    parts = toys.copy_trained(name).eval()
    grpo = GRPO(toy.objective, reference, beta=0.02)

    def build_rollouts(step: int) -> Rollouts:
        noise = Noise(5, tuple(range(8 * step, 8 * step + 8)))
        *_, output_ids = toy.objective.sample(dict(parts.items()), 8, None, noise, SamplingParams(max_tokens=6))
        x = torch.cat([torch.full((8, 1), toys.TOKENS.bos), output_ids], 1)
        x = torch.nn.functional.pad(x, (0, 7 - x.shape[1]), value=toys.TOKENS.eos)
        return Rollouts(Batch(x), compute_advantages(toys.classify(toy.space, x).float()[None]).flatten())

    adam = OptimizerConfig(family="adamw", lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)
    parts = toys.train_parts(toy, build_rollouts, TrainConfig(steps=30, seed=1, optimizer=adam), parts, grpo)
    x = toys.sample(toy, parts)
    assert toys.second_kind_share(toy.space, x) > 0.8
    assert toys.valid_share(toy.space, x) > 0.8


@pytest.mark.parametrize("settings", [{"beta": -0.1}, {"clip_range": 0.0}])
def test_settings_out_of_range_are_refused(toys, settings):
    with raises_code("objectives.bad_setting", name=next(iter(settings))):
        GRPO(toys.TOYS["flow-dense"].objective, **settings)


def test_selecting_rows_selects_all_tensors():
    rollouts = Rollouts(Batch(torch.zeros(4, 2)), torch.arange(4.0), torch.arange(4.0), torch.arange(4.0))
    for values in vars(replace(rollouts.select_rows(slice(1, 3)), batch=None)).values():
        assert values is None or values.tolist() == [1, 2]
