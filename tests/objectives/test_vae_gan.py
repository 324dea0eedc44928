"""Autoencoders of one to three axes: spatial and quantized latents, Laplacian, scale equivariance, critic losses."""

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
from tests.errors import raises_code

IMAGE = SignalSpace(1, (8, 8))
GRID = VaeGan(IMAGE, latent=2, grid=(2, 2), decoder_std=0.3, laplacian_weight=0.5, scale_equivariance_weight=0.25)
QUANTIZED = replace(GRID, levels=(5, 3), scale_equivariance_weight=0.0)


def build_parts(objective: VaeGan) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    config = convolution.Config(width=4, up_blocks=1)
    return {name: perturb_weights(convolution.build(spec, config)) for name, spec in objective.network_specs.items()}


def make_batch(rows: int = 4) -> Batch:
    return Batch(torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(1)))


WAVE = replace(GRID, space=SignalSpace(1, (16,)), grid=(), downsampling=(4,))
CLIP = replace(GRID, space=SignalSpace(1, (4, 8, 8)), grid=(), downsampling=(2, 4, 4))
CLIP_CODES = replace(CLIP, levels=(5, 3))


@pytest.mark.parametrize("objective", [GRID, QUANTIZED, WAVE, CLIP, CLIP_CODES], ids=str)
def test_contracts(objective):
    space = objective.space
    x = torch.randn(4, 1, *space.size, generator=torch.Generator().manual_seed(1))
    check_objective(objective, build_parts(objective), Batch(x, weight=torch.rand(4)), unreached=("critic.head.bias",))


def test_the_latent_has_the_grid_or_the_downsampled_sides():
    assert GRID.autoencoder.latent_size == (2, 2)
    assert replace(GRID, grid=(), downsampling=(4,)).autoencoder.latent_size == (2, 2)
    assert CLIP.autoencoder.latent_size == (2, 2, 2)
    assert Variational(IMAGE).latent_size == ()


def test_without_a_critic_it_is_the_autoencoder():
    autoencoder = replace(GRID, adv_weight=0.0, feature_matching_weight=0.0)
    parts, noise = build_parts(GRID), build_training_noise(0, 0, 0, 4)
    loss = autoencoder.loss(parts, make_batch(), autoencoder.phases[1], noise)
    assert_close(
        loss.per_sample,
        autoencoder.autoencoder.loss(parts, make_batch(), autoencoder.phases[1], noise).per_sample,
        "the bound",
    )
    with_critic = GRID.loss(parts, make_batch(), GRID.phases[1], noise)
    expected = 64 * (
        GRID.adv_weight * with_critic.metrics["generator_loss"]
        + GRID.feature_matching_weight * with_critic.metrics["feature_matching_loss"]
    )
    assert_close(
        with_critic.per_sample.mean() - loss.per_sample.mean(), expected, "the critic's terms, per number of the data"
    )


def test_a_perfect_reconstruction_has_no_feature_loss():
    parts = build_parts(GRID)
    assert GRID.feature_matching_loss(parts, make_batch(), make_batch().x).abs().max() == 0
    assert_close(
        GRID.adversarial.generator_loss(parts, make_batch(), make_batch().x), torch.full((4,), log(2.0)), "even odds"
    )
    assert GRID.feature_matching_loss(parts, make_batch(), torch.zeros_like(make_batch().x)).min() > 0


def test_a_critic_without_layer_features_is_refused():
    parts = {name: dense.build(spec, dense.Config(8)) for name, spec in GRID.network_specs.items()}
    objective = replace(GRID, scale_equivariance_weight=0.0)
    with raises_code("objectives.critic_without_features"):
        objective.loss(parts, make_batch(), objective.phases[1], build_training_noise(0, 0, 0, 4))


def test_the_kl_of_codes_is_the_log_of_their_number():
    objective, parts = QUANTIZED.autoencoder, build_parts(QUANTIZED)
    z, kl = objective.sample_posterior(parts, make_batch(), build_training_noise(0, 0, 0, 4))
    assert_close(indices_to_codes(codes_to_indices(z, (5, 3)), (5, 3)), z, "every position is a code")
    assert_close(kl, torch.full((4,), 4 * log(15)), "four positions with fifteen codes")


def test_samples_of_codes_are_decoded_uniform_codes():
    class Identity(nn.Module):
        """A decoder that returns the latent."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, z: Tensor, cond: object = None) -> Tensor:
            return z * self.weight

    *_, z = QUANTIZED.sample({"decoder": Identity()}, 200, None, Noise(0, tuple(range(200))), SamplingParams())
    counts = torch.bincount(codes_to_indices(z, (5, 3)).flatten(), minlength=15)
    assert len(counts) == 15
    assert counts.min() > 800 / 15 / 2


def test_the_halved_image_is_reconstructed_from_the_halved_latent():
    """With nearest-neighbour networks, the halved latent is the halved image, so its reconstruction is exact."""

    class PoolingEncoder(nn.Module):
        def forward(self, x: Tensor, cond: object = None) -> Tensor:
            mean = nn.functional.avg_pool2d(x, 4)
            return torch.cat([mean, torch.full_like(mean, -20)], 1)

    class UpsamplingDecoder(nn.Module):
        def forward(self, z: Tensor, cond: object = None) -> Tensor:
            return nn.functional.interpolate(z, scale_factor=4)

    x = (
        torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        .repeat_interleave(2, 2)
        .repeat_interleave(2, 3)
    )
    parts, noise = {"encoder": PoolingEncoder(), "decoder": UpsamplingDecoder()}, build_training_noise(0, 0, 0, 3)
    objective = Variational(IMAGE, latent=1, grid=(2, 2), beta=0.0)
    without, with_equivariance = (
        replace(objective, scale_equivariance_weight=w).loss(parts, Batch(x), objective.phases[0], noise).per_sample
        for w in (0.0, 1.0)
    )
    small = nn.functional.avg_pool2d(x, 2)
    exact = objective.reconstruction_loss(small, UpsamplingDecoder()(nn.functional.avg_pool2d(small, 4)))
    assert_close(with_equivariance - without, exact, "the error at half the size")


def test_laplacian_bands_of_an_error():
    flat, fine = torch.ones(1, 1, 8, 8), torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)[None, None]
    assert_close(laplacian_l1(flat), torch.tensor([64.0]), "a constant error is in the coarsest band")
    assert_close(laplacian_l1(fine), torch.tensor([64.0]), "an alternating error is in the finest band")
    assert_close(laplacian_l1(flat + fine), torch.tensor([128.0]), "the sum is in both")


def test_laplacian_bands_follow_the_axes():
    flat = torch.ones(1, 1, 4, 8, 8)
    assert_close(laplacian_l1(flat), torch.tensor([256.0]), "the short axis stays, the others are halved")
    assert_close(laplacian_l1(torch.tensor([1.0, -1.0]).repeat(8)[None, None]), torch.tensor([16.0]), "one axis")


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("objectives.downsampling", {"grid": (), "downsampling": (3,)}),
        ("objectives.downsampling", {"grid": (), "downsampling": (2, 2, 2)}),
        ("objectives.levels_mismatch", {"levels": (3, 3, 3)}),
        ("core.bad_fsq_levels", {"levels": (1, 3)}),
        ("objectives.grid_losses_without_grid", {"grid": (), "scale_equivariance_weight": 1.0}),
        ("objectives.grid_losses_without_grid", {"space": SignalSpace(2), "laplacian_weight": 1.0}),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(code, settings):
    with raises_code(code):
        replace(GRID.autoencoder, **{"laplacian_weight": 0.0, "scale_equivariance_weight": 0.0, **settings})
