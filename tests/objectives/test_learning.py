"""Every objective with every network that fits learns a toy world through the one loop; ratings move it."""

import math
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import get_type_hints

import pytest
import torch

from genloom import plugins
from genloom.generate.guidance import ClassifierFreeGuidance
from genloom.objectives.dpo import DPO
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.types import Batch, Condition, PreferencePairs


def test_no_pair_of_objective_and_network_is_left_out(toys):
    """A role that a network can fill at all, it is tested to learn here."""
    fitting = set()
    for objective in set(plugins.part_names("objective")) - {"reward"}:  # which judges, and has tests of its own
        kind = getattr(plugins.find_part("objective", objective), model.design.class_of(objective))
        for network in plugins.part_names("network"):
            module = plugins.find_part("network", network)
            for space in (toys.TOKENS, toys.VECTOR, toys.SERIES, toys.PICTURE):
                if not isinstance(space, get_type_hints(kind)["space"]):
                    continue
                with suppress(ValueError):  # by which a network says that a role is not for it
                    for role in kind(space).roles.values():
                        module.build(role, module.Config())
                    fitting.add(f"{objective}-{network}")
    assert fitting == set(toys.TOYS)


def test_learns_both_kinds(toys, plain_toy):
    toy = toys.TOYS[plain_toy]
    x = toys.update_task(toy, toys.trained(plain_toy))
    assert toys.is_non_degenerate(toy.space, x) > 0.8
    assert 0.25 < toys.share(toy.space, x) < 0.75


def test_follows_a_condition_and_does_without(toys, conditional_toy):
    toy = toys.CONDITIONAL[conditional_toy]
    parts = toys.trained(conditional_toy)
    kinds = torch.arange(200) % 2
    x = toys.update_task(toy, parts, cond=toys.condition(toy.cond, toy.space, kinds))
    followed = (toys.kinds_of(toy.space, x) == kinds.bool()).float().mean().item()
    assert toys.is_non_degenerate(toy.space, x) > 0.8
    assert followed > 0.95
    if "adversarial" not in conditional_toy:  # which learned no row without its condition
        assert 0.2 < toys.share(toy.space, toys.update_task(toy, parts)) < 0.8


def test_no_network_learns_more_than_there_is_to_know(toys, causal_toy):
    """A row is one of two, so it costs log 2 nats at least; less is a glimpse of the answer."""
    toy = toys.TOYS[causal_toy]
    state = TrainState.from_parts(toys.build_networks(toy), toy.objective, toy.plan)
    *_, last = train(toy.objective, toys.batches(toy), toy.plan, state)
    assert last.losses["model"] > 0.7 * math.log(2) / 6


@pytest.mark.parametrize(
    "name", ["autoregressive-transformer-vector", "masked-transformer-tokens", "flow-dense-vector"]
)
def test_guidance_follows_a_weak_condition_more_strongly(toys, name):
    """The condition is right in seven cases of ten; guidance makes it right more often, against it less often."""
    toy = toys.CONDITIONAL[name]

    def batch_at(step):
        chance = torch.Generator().manual_seed(step)
        kinds = torch.randint(2, (48,), generator=chance)
        said = torch.where(torch.rand(48, generator=chance) < 0.7, kinds, 1 - kinds)
        cond = toys.condition(toy.cond, toy.space, said).keep(torch.rand(48, generator=chance) < 0.7)
        return Batch(toys.world(toy.space, 48, step, kinds), cond)

    parts = toys.run_learning(toy, batch_at, toy.plan, toys.build_networks(toy))
    ones = toys.condition(toy.cond, toy.space, torch.ones(300, dtype=torch.long))
    zeros = toys.condition(toy.cond, toy.space, torch.zeros(300, dtype=torch.long))

    def share(scale: float, against: Condition | None = None) -> float:
        guided = {"model": ClassifierFreeGuidance(parts["model"], scale, against)}
        return toys.share(toy.space, toys.update_task(toy, guided, 300, ones))

    plain = toys.share(toy.space, toys.update_task(toy, parts, 300, ones))
    assert share(1.0) == pytest.approx(plain, abs=0.02)
    assert 0.55 < plain < 0.85
    assert share(0.0) < plain - 0.05
    assert share(3.0) > plain + 0.08
    assert share(1.5, zeros) > plain + 0.05


def test_liked_samples_count_more(toys, plain_toy):
    """Weights need no likelihood, so they serve the GAN too."""
    toy = toys.TOYS[plain_toy]

    def rated(step):
        batch = toys.batches(toy)(step)
        return replace(batch, weight=0.05 + 0.95 * toys.kinds_of(toy.space, batch.x).float())

    steps = 300 if "shortcut" in plain_toy else 150  # jumps learn from jumps, which takes its time
    plan = replace(toy.plan, seed=2)
    plan = plan if "adversarial" in plain_toy else replace(plan, average=0.0, steps=steps)
    parts = toys.run_learning(toy, rated, plan, toys.again(plain_toy))
    x = toys.update_task(toy, parts)
    assert toys.share(toy.space, x) > 0.8
    assert toys.is_non_degenerate(toy.space, x) > 0.8


def test_pairs_move_it_and_leave_it_valid(toys, likely_toy):
    toy = toys.TOYS[likely_toy]
    reference = dict(deepcopy(toys.trained(likely_toy)).items())
    prefer = DPO(toy.objective, reference, beta=1.0 if "flow" in likely_toy else 0.1)
    adam = OptimizerConfig(family="adamw", lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)
    plan = TrainConfig(steps=300 if "variational" in likely_toy else 150, seed=1, optimizer=adam)
    kinds = torch.ones(32, dtype=torch.long)

    def pairs_at(step):
        return PreferencePairs(
            Batch(toys.world(toy.space, 32, step, kinds)), Batch(toys.world(toy.space, 32, step, 1 - kinds))
        )

    parts = toys.run_learning(toy, pairs_at, plan, toys.again(likely_toy).eval(), prefer)
    x = toys.update_task(toy, parts)
    assert toys.share(toy.space, x) > 0.8
    assert toys.is_non_degenerate(toy.space, x) > 0.8
