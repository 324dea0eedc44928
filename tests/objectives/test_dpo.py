"""DPO: closed forms, length normalization, label smoothing, and precomputed references."""

import math
from dataclasses import replace

import pytest
import torch

from genloom.noise import build_training_noise
from genloom.objectives.dpo import DPO
from genloom.objectives.reference import with_reference_nll
from genloom.testing import assert_close, perturb_weights
from genloom.types import Batch, PreferencePairs
from tests.errors import raises_code


def build_case(toys, name, rows=6):
    """Return a toy's objective and parts, perturbed parts as their reference, and pairs of both kinds."""
    toy = toys.TOYS[name]
    parts = {n: perturb_weights(p).eval() for n, p in toys.build_networks(toy).items()}
    reference = {n: perturb_weights(p, 0.05).requires_grad_(False) for n, p in parts.items()}
    kinds = torch.arange(rows) % 2
    pairs = PreferencePairs(
        Batch(toys.sample_world(toy.space, rows, 0, kinds)), Batch(toys.sample_world(toy.space, rows, 0, 1 - kinds))
    )
    return toy.objective, parts, reference, pairs


def compute_loss(dpo, parts, pairs):
    return dpo.loss(parts, pairs, dpo.phases[0], build_training_noise(0, 0, 0, len(pairs)))


@torch.no_grad()
def compute_nll(objective, parts, batch):
    return objective.loss(parts, batch, objective.phases[0], build_training_noise(0, 0, 0, len(batch))).per_sample


def test_the_loss_of_a_pair_is_equation_7_of_the_paper(toys, likelihood_toy):
    objective, parts, reference, pairs = build_case(toys, likelihood_toy)
    log_ratio = {
        side: compute_nll(objective, reference, b) - compute_nll(objective, parts, b)
        for side, b in vars(pairs).items()
        if b
    }
    expected = -torch.sigmoid(0.3 * (log_ratio["chosen"] - log_ratio["rejected"])).log()
    assert_close(
        compute_loss(DPO(objective, reference, 0.3, rpo_alpha=0.0), parts, pairs).per_sample, expected, "equation 7"
    )


def test_the_rpo_term_is_the_loss_per_term_of_the_chosen_sample(toys, likelihood_toy):
    objective, parts, reference, pairs = build_case(toys, likelihood_toy)
    without, with_rpo = (
        compute_loss(DPO(objective, reference, rpo_alpha=a), parts, pairs).per_sample for a in (0.0, 2.0)
    )
    num_terms = objective.loss(parts, pairs.chosen, objective.phases[0], build_training_noise(0, 0, 0, 6)).num_terms
    assert_close(with_rpo - without, 2 * compute_nll(objective, parts, pairs.chosen) / num_terms, "the RPO term")


def test_a_precomputed_reference_gives_the_same_loss(toys, causal_toy):
    objective, parts, reference, pairs = build_case(toys, causal_toy)
    noise = build_training_noise(9, 9, 9, len(pairs))
    with_reference = PreferencePairs(
        with_reference_nll(objective, reference, pairs.chosen, noise),
        with_reference_nll(objective, reference, pairs.rejected, noise),
    )
    expected = compute_loss(DPO(objective, reference), parts, pairs).per_sample
    assert_close(compute_loss(DPO(objective), parts, with_reference).per_sample, expected, "the reference")
    assert_close(
        compute_loss(DPO(objective), parts, with_reference.select_rows(slice(2, 4))).per_sample,
        expected[2:4],
        "its rows",
    )


def test_a_missing_reference_is_a_bug(toys):
    objective, parts, _, pairs = build_case(toys, "autoregressive-transformer")
    with pytest.raises(AssertionError, match="reference_nll"):
        compute_loss(DPO(objective), parts, pairs)


def test_length_normalization_removes_the_advantage_of_length(toys):
    """Both answers gained the same per token; the longer one more in total, which plain DPO rewards."""
    objective, parts, _, _ = build_case(toys, "autoregressive-transformer", 1)
    x = toys.sample_world(toys.TOKENS, 1, 0)
    long, short = Batch(x), Batch(x[:, :3])
    log_ratios = {id(b): 0.5 * (b.x.shape[1] - 1) for b in (long, short)}
    chosen, rejected = (
        replace(b, reference_nll=compute_nll(objective, parts, b) + log_ratios[id(b)]) for b in (long, short)
    )
    pairs = PreferencePairs(chosen, rejected)
    plain, normalized = (
        compute_loss(DPO(objective, beta=1.0, rpo_alpha=0.0, is_length_normalized=u), parts, pairs)
        for u in (False, True)
    )
    assert plain.metrics["margin"].item() == pytest.approx(0.5 * (6 - 2), abs=1e-4)
    assert normalized.per_sample.item() == pytest.approx(math.log(2), abs=1e-4)


def test_label_smoothing_limits_the_margin_to_the_log_odds(toys):
    objective, parts, _, pairs = build_case(toys, "autoregressive-transformer", 1)

    def slope(margin: float) -> float:
        margin_tensor = torch.tensor(margin, requires_grad=True)
        rejected_nll = compute_nll(objective, parts, pairs.rejected)
        chosen_nll = (
            compute_nll(objective, parts, pairs.chosen) + margin_tensor
        )  # as if the chosen answer had gained the margin
        with_reference = PreferencePairs(
            replace(pairs.chosen, reference_nll=chosen_nll), replace(pairs.rejected, reference_nll=rejected_nll)
        )
        loss = compute_loss(DPO(objective, beta=1.0, rpo_alpha=0.0, label_smoothing=0.2), parts, with_reference)
        return torch.autograd.grad(loss.per_sample.sum(), margin_tensor)[0].item()

    assert slope(math.log(4)) == pytest.approx(0, abs=1e-5)
    assert slope(1.0) < 0 < slope(2.0)


def test_gradient_accumulation_does_not_change_the_step(toys, likelihood_toy):
    objective, parts, reference, pairs = build_case(toys, likelihood_toy, 8)
    toys.check_gradient_accumulation(DPO(objective, reference), objective, parts, pairs)


@pytest.mark.parametrize("settings", [{"beta": 0.0}, {"rpo_alpha": -1.0}, {"label_smoothing": 0.5}])
def test_settings_out_of_range_are_refused(toys, settings):
    with raises_code("objectives.bad_setting", name=next(iter(settings))):
        DPO(toys.TOYS["flow-dense"].objective, **settings)
