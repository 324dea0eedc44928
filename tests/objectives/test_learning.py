"""Every objective with every network that fits learns a toy world; ratings change it."""

import math
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import get_type_hints

import pytest
import torch

from genloom import plugins
from genloom.generate.guidance import ClassifierFreeGuidance
from genloom.model.design import get_objective_class
from genloom.objectives.dpo import DPO
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.types import Batch, Condition, PreferencePairs


def test_no_pair_of_objective_and_network_is_left_out(toys):
    """Each objective is tested with every network that supports its network specs."""
    supported = set()
    for objective in plugins.list_part_names("objective"):
        objective_class = get_objective_class(objective)
        for network in plugins.list_part_names("network"):
            module = plugins.find_part("network", network)
            for space in (toys.TOKENS, toys.VECTOR, toys.SERIES, toys.PICTURE):
                if not isinstance(space, get_type_hints(objective_class)["space"]):
                    continue
                with suppress(ValueError):  # the network does not support the spec
                    for spec in objective_class(space).network_specs.values():
                        module.build(spec, module.Config())
                    supported.add(f"{objective}-{network}")
    assert supported == set(toys.TOYS), "tests/toys.py has a toy for each network that an objective can train"


def test_learns_both_kinds(toys, learning_toy):
    assert_learns_both_kinds(toys, learning_toy)


def test_learns_signals_of_any_number_of_axes(toys, learning_grid_toy):
    assert_learns_both_kinds(toys, learning_grid_toy)


def assert_learns_both_kinds(toys, name):
    toy = toys.get_toy(name)
    x = toys.sample(toy, toys.train_toy(name))
    assert toys.valid_share(toy.space, x) > 0.8
    assert 0.25 < toys.second_kind_share(toy.space, x) < 0.75


def test_follows_a_condition_and_works_without(toys, learning_conditional_toy):
    toy = toys.CONDITIONAL[learning_conditional_toy]
    parts = toys.train_toy(learning_conditional_toy)
    kinds = torch.arange(200) % 2
    x = toys.sample(toy, parts, cond=toys.build_condition(toy.cond, toy.space, kinds))
    accuracy = (toys.classify(toy.space, x) == kinds.bool()).float().mean().item()
    assert toys.valid_share(toy.space, x) > 0.8
    assert accuracy > 0.95
    if "adversarial" not in learning_conditional_toy:  # it was trained with a condition in every row
        assert 0.2 < toys.second_kind_share(toy.space, toys.sample(toy, parts)) < 0.8


def test_no_network_is_better_than_the_entropy(toys, causal_toy):
    """A row is one of two, so its NLL is at least log 2; a lower loss means a leak of the future."""
    toy = toys.TOYS[causal_toy]
    state = TrainState.from_parts(toys.build_networks(toy), toy.objective, toy.plan)
    *_, last = train(toy.objective, toys.build_batches(toy), toy.plan, state)
    assert last.losses["model"] > 0.7 * math.log(2) / 6


@pytest.mark.parametrize(
    "name", ["autoregressive-transformer-vector", "masked-transformer-tokens", "flow-dense-vector"]
)
def test_guidance_follows_a_weak_condition_more_strongly(toys, name):
    """The condition is right in 70 % of the rows; guidance increases this share, negative guidance reduces it."""
    toy = toys.CONDITIONAL[name]

    def batch_at(step):
        rng = torch.Generator().manual_seed(step)
        kinds = torch.randint(2, (48,), generator=rng)
        noisy_kinds = torch.where(torch.rand(48, generator=rng) < 0.7, kinds, 1 - kinds)
        cond = toys.build_condition(toy.cond, toy.space, noisy_kinds).mask_rows(torch.rand(48, generator=rng) < 0.7)
        return Batch(toys.sample_world(toy.space, 48, step, kinds), cond)

    parts = toys.train_parts(toy, batch_at, toy.plan, toys.build_networks(toy))
    ones = toys.build_condition(toy.cond, toy.space, torch.ones(300, dtype=torch.long))
    zeros = toys.build_condition(toy.cond, toy.space, torch.zeros(300, dtype=torch.long))

    def share(scale: float, negative: Condition | None = None) -> float:
        guided_parts = {"model": ClassifierFreeGuidance(parts["model"], scale, negative)}
        return toys.second_kind_share(toy.space, toys.sample(toy, guided_parts, 300, ones))

    unguided = toys.second_kind_share(toy.space, toys.sample(toy, parts, 300, ones))
    assert share(1.0) == pytest.approx(unguided, abs=0.02)
    assert 0.55 < unguided < 0.85
    assert share(0.0) < unguided - 0.05
    assert share(3.0) > unguided + 0.08
    assert share(1.5, zeros) > unguided + 0.05


@pytest.mark.slow
def test_samples_of_higher_weight_count_more(toys, plain_toy):
    """Weights need no likelihood, so a GAN supports them too."""
    toy = toys.TOYS[plain_toy]

    def weighted_batch(step):
        batch = toys.build_batches(toy)(step)
        return replace(batch, weight=0.05 + 0.95 * toys.classify(toy.space, batch.x).float())

    steps = 300 if "shortcut" in plain_toy else 150  # jumps learn from jumps, which takes longer
    plan = replace(toy.plan, seed=2)
    plan = plan if "adversarial" in plain_toy else replace(plan, ema_decay=0.0, steps=steps)
    parts = toys.train_parts(toy, weighted_batch, plan, toys.copy_trained(plain_toy))
    x = toys.sample(toy, parts)
    assert toys.second_kind_share(toy.space, x) > 0.8
    assert toys.valid_share(toy.space, x) > 0.8


def test_pairs_change_the_distribution_and_keep_samples_valid(toys, likelihood_toy):
    toy = toys.TOYS[likelihood_toy]
    reference = dict(deepcopy(toys.train_toy(likelihood_toy)).items())
    dpo = DPO(toy.objective, reference, beta=1.0 if "flow" in likelihood_toy else 0.1)
    adam = OptimizerConfig(family="adamw", lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)
    plan = TrainConfig(steps=300 if "variational" in likelihood_toy else 150, seed=1, optimizer=adam)
    kinds = torch.ones(32, dtype=torch.long)

    def pairs_at(step):
        return PreferencePairs(
            Batch(toys.sample_world(toy.space, 32, step, kinds)),
            Batch(toys.sample_world(toy.space, 32, step, 1 - kinds)),
        )

    parts = toys.train_parts(toy, pairs_at, plan, toys.copy_trained(likelihood_toy).eval(), dpo)
    x = toys.sample(toy, parts)
    assert toys.second_kind_share(toy.space, x) > 0.8
    assert toys.valid_share(toy.space, x) > 0.8
