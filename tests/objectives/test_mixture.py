"""Autoencoders of pictures: a grid between, codes in place of a Gaussian, edges, coarse views and a critic's."""

from dataclasses import replace
from math import log

import pytest
import torch
from torch import Tensor, nn

from genloom.fsq import codes_to_indices, indices_to_codes
from genloom.networks import convolution, dense
from genloom.noise import Noise, build_training_noise
from genloom.objectives.vae_gan import SamplingParams, VaeGan
from genloom.objectives.variational import Variational, laplacian_l1
from genloom.testing import assert_close, check_objective, perturb_weights
from genloom.types import Batch, SignalSpace

PICTURE = SignalSpace(1, (8, 8))
GRID = VaeGan(PICTURE, latent=2, grid=(2, 2), decoder_std=0.3, laplacian_weight=0.5, scale_equivariance_weight=0.25)
CODED = replace(GRID, levels=(5, 3), scale_equivariance_weight=0.0)


def parts_of(objective: VaeGan) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    config = convolution.Config(width=4, up_blocks=1)
    return {name: perturb_weights(convolution.build(role, config)) for name, role in objective.network_specs.items()}


def batch(rows: int = 4) -> Batch:
    return Batch(torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("objective", [GRID, CODED], ids=["grid", "codes"])
def test_contracts(objective):
    check_objective(objective, parts_of(objective), replace(batch(), weight=torch.rand(4)))


def test_without_a_critic_it_is_the_autoencoder_alone():
    alone = replace(GRID, adv_weight=0.0, feature_matching_weight=0.0)
    parts, noise = parts_of(GRID), build_training_noise(0, 0, 0, 4)
    loss = alone.loss(parts, batch(), alone.phases[1], noise)
    assert_close(
        loss.per_sample, alone.autoencoder.loss(parts, batch(), alone.phases[1], noise).per_sample, "the bound"
    )
    seen = GRID.loss(parts, batch(), GRID.phases[1], noise)
    more = 64 * (
        GRID.adv_weight * seen.metrics["generator_loss"]
        + GRID.feature_matching_weight * seen.metrics["feature_matching_loss"]
    )
    assert_close(seen.per_sample.mean() - loss.per_sample.mean(), more, "what the critic's view adds, for each number")


def test_what_is_rebuilt_exactly_looks_alike():
    parts = parts_of(GRID)
    assert GRID.feature_matching_loss(parts, batch(), batch().x).abs().max() == 0
    assert_close(GRID.adversarial.generator_loss(parts, batch(), batch().x), torch.full((4,), log(2.0)), "even odds")
    assert GRID.feature_matching_loss(parts, batch(), torch.zeros_like(batch().x)).min() > 0


def test_a_network_that_does_not_show_its_layers_is_refused_features():
    parts = {name: dense.build(role, dense.Config(8)) for name, role in GRID.network_specs.items()}
    mixture = replace(GRID, scale_equivariance_weight=0.0)
    with pytest.raises(ValueError, match=r"objective\.features=0"):
        mixture.loss(parts, batch(), mixture.phases[1], build_training_noise(0, 0, 0, 4))


def test_codes_cost_what_it_takes_to_tell_them():
    objective, parts = CODED.autoencoder, parts_of(CODED)
    z, squeeze = objective.sample_posterior(parts, batch(), build_training_noise(0, 0, 0, 4))
    assert_close(indices_to_codes(codes_to_indices(z, (5, 3)), (5, 3)), z, "every place holds a code")
    assert_close(squeeze, torch.full((4,), 4 * log(15)), "four places of fifteen codes")


def test_samples_of_codes_are_what_the_decoder_makes_of_any_code():
    class Shown(nn.Module):
        """Gives the latent back."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, z: Tensor, cond: object = None) -> Tensor:
            return z * self.weight

    *_, z = CODED.sample({"decoder": Shown()}, 200, None, Noise(0, tuple(range(200))), SamplingParams())
    counts = torch.bincount(codes_to_indices(z, (5, 3)).flatten(), minlength=15)
    assert len(counts) == 15
    assert counts.min() > 800 / 15 / 2


def test_a_coarse_picture_is_rebuilt_from_the_coarse_latent():
    """With nearest-neighbour networks the halved latent is the halved picture, so that nothing is lost there."""

    class Halved(nn.Module):
        def forward(self, x: Tensor, cond: object = None) -> Tensor:
            mean = nn.functional.avg_pool2d(x, 4)
            return torch.cat([mean, torch.full_like(mean, -20)], 1)

    class Doubled(nn.Module):
        def forward(self, z: Tensor, cond: object = None) -> Tensor:
            return nn.functional.interpolate(z, scale_factor=4)

    x = (
        torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        .repeat_interleave(2, 2)
        .repeat_interleave(2, 3)
    )
    parts, noise = {"encoder": Halved(), "decoder": Doubled()}, build_training_noise(0, 0, 0, 3)
    plain = Variational(PICTURE, latent=1, grid=(2, 2), beta=0.0)
    fine, coarse = (
        replace(plain, scale_equivariance_weight=w).loss(parts, Batch(x), plain.phases[0], noise).per_sample
        for w in (0.0, 1.0)
    )
    small = nn.functional.avg_pool2d(x, 2)
    exact = plain.reconstruction_loss(small, Doubled()(nn.functional.avg_pool2d(small, 4)))
    assert_close(coarse - fine, exact, "one half, from what is one half of the latent")


def test_bands_of_an_error():
    flat, fine = torch.ones(1, 1, 8, 8), torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)[None, None]
    assert_close(laplacian_l1(flat), torch.tensor([64.0]), "an error all over is all in the coarsest band")
    assert_close(laplacian_l1(fine), torch.tensor([64.0]), "and one from point to point in the finest")
    assert_close(laplacian_l1(flat + fine), torch.tensor([128.0]), "both in both")


@pytest.mark.parametrize(
    "wrong",
    [
        {"levels": (3, 3, 3)},
        {"levels": (1, 3)},
        {"grid": (), "scale_equivariance_weight": 1.0},
        {"space": SignalSpace(2), "laplacian_weight": 1.0},
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=r"levels|edges"):
        replace(GRID.autoencoder, **{"laplacian_weight": 0.0, "scale_equivariance_weight": 0.0, **wrong})
