"""KTO: the closed form, the reference point of the whole batch, and toy worlds."""

from copy import deepcopy

import pytest
import torch

from genloom.noise import build_training_noise
from genloom.objectives.kto import KTO
from genloom.testing import assert_close, check_objective, perturb_weights
from genloom.train.loop import TrainConfig
from genloom.train.optimizers import OptimizerConfig
from genloom.types import Batch, UnpairedPreferences
from tests.errors import raises_code


def build_preferences(toys, toy, rows, seed=0):
    """Rows of both kinds, of which the second is desirable; a mismatched answer is that of another row."""
    kinds = torch.arange(rows) % 2
    x = toys.sample_world(toy.space, rows, seed, kinds)
    return UnpairedPreferences(Batch(x), kinds.bool(), Batch(x.roll(1, 0)))


def build_case(toys, name, rows=6):
    toy = toys.TOYS[name]
    parts = {n: perturb_weights(p).eval() for n, p in toys.build_networks(toy).items()}
    reference = {n: perturb_weights(p, 0.05).requires_grad_(False) for n, p in parts.items()}
    return toy.objective, parts, reference, build_preferences(toys, toy, rows)


def prepare(kto, parts, batch, size=100):
    return kto.prepare_batch(parts, batch, kto.phases[0], build_training_noise(0, 0, 0, len(batch)), size)


@torch.no_grad()
def compute_nll(objective, parts, batch):
    return objective.loss(parts, batch, objective.phases[0], build_training_noise(0, 0, 0, len(batch))).per_sample


def test_the_loss_is_equation_8_of_the_paper(toys, likelihood_toy):
    objective, parts, reference, batch = build_case(toys, likelihood_toy)
    kto = KTO(objective, reference, beta=0.2, rpo_alpha=0.0, desirable_weight=1.5, undesirable_weight=0.5)
    batch = prepare(kto, parts, batch)
    log_ratio, mismatched = (
        compute_nll(objective, reference, b) - compute_nll(objective, parts, b) for b in (batch.batch, batch.mismatched)
    )
    baseline = max(mismatched.mean().item(), 0.0)
    assert_close(batch.baseline, torch.full((6,), baseline), "the reference point")
    desirable = 1.5 * (1 - torch.sigmoid(0.2 * (log_ratio - baseline)))
    undesirable = 0.5 * (1 - torch.sigmoid(0.2 * (baseline - log_ratio)))
    loss = kto.loss(parts, batch, kto.phases[0], build_training_noise(0, 0, 0, 6))
    assert_close(loss.per_sample, torch.where(batch.desirable, desirable, undesirable), "equation 8")


def test_a_negative_mean_log_ratio_gives_a_reference_point_of_zero(toys):
    objective, parts, reference, batch = build_case(toys, "autoregressive-transformer")
    forward = prepare(KTO(objective, reference), parts, batch).baseline
    backward = prepare(KTO(objective, parts), reference, batch).baseline
    assert sorted([forward[0].item() > 0, backward[0].item() > 0]) == [False, True]


def test_contracts_of_unpaired_preferences(toys, likelihood_toy):
    objective, parts, reference, batch = build_case(toys, likelihood_toy)
    kto = KTO(objective, reference)
    check_objective(kto, parts, prepare(kto, parts, batch))


def test_gradient_accumulation_does_not_change_the_step(toys, likelihood_toy):
    """The baseline is a mean over the whole batch, not over a micro-batch."""
    objective, parts, reference, batch = build_case(toys, likelihood_toy, 8)
    toys.check_gradient_accumulation(KTO(objective, reference), objective, parts, batch)


def train_and_sample(toys, name, steps, rows=16):
    """Return samples of a toy after training with thumbs up for the second kind and down for the first."""
    toy = toys.TOYS[name]
    reference = dict(deepcopy(toys.train_toy(name)).items())
    settings = {"beta": 2.0, "undesirable_weight": 2.0} if "flow" in name else {}
    adam = OptimizerConfig(family="adamw", lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)
    kto, plan = KTO(toy.objective, reference, **settings), TrainConfig(steps=steps, seed=1, optimizer=adam)
    parts = toys.train_parts(
        toy, lambda step: build_preferences(toys, toy, rows, step), plan, toys.copy_trained(name).eval(), kto
    )
    return toy.space, toys.sample(toy, parts)


@pytest.mark.parametrize(("name", "steps"), [("autoregressive-recurrent", 60), ("flow-dense", 150)])
def test_thumbs_change_the_distribution_and_keep_samples_valid(toys, name, steps):
    space, x = train_and_sample(toys, name, steps)
    assert toys.second_kind_share(space, x) > 0.8
    assert toys.valid_share(space, x) > 0.8


@pytest.mark.slow
def test_thumbs_change_every_toy_and_keep_samples_valid(toys, likelihood_toy):
    steps, rows = (300, 32) if "variational" in likelihood_toy else (150, 16)  # its loss is the noisiest
    space, x = train_and_sample(toys, likelihood_toy, steps, rows)
    assert toys.second_kind_share(space, x) > 0.8
    assert toys.valid_share(space, x) > 0.8


@pytest.mark.parametrize(
    "settings", [{"beta": 0.0}, {"rpo_alpha": -1.0}, {"desirable_weight": -0.1}, {"undesirable_weight": -0.1}]
)
def test_settings_out_of_range_are_refused(toys, settings):
    with raises_code("objectives.bad_setting", name=next(iter(settings))):
        KTO(toys.TOYS["flow-dense"].objective, **settings)
