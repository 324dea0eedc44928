"""Autoencoders of pictures: a grid between, codes in place of a Gaussian, edges, coarse views and a critic's."""

from dataclasses import replace
from math import log

import pytest
import torch
from torch import Tensor, nn

from genloom.networks import convolution, dense
from genloom.noise import Noise, training_noise
from genloom.objectives.mixture import Controls, Mixture
from genloom.objectives.variational import Variational, bands
from genloom.rounding import codes_of, points_of
from genloom.testing import agree, check_objective, stirred
from genloom.types import Batch, Signal

PICTURE = Signal(1, (8, 8))
GRID = Mixture(PICTURE, latent=2, grid=(2, 2), spread=0.3, edges=0.5, coarse=0.25)
CODED = replace(GRID, levels=(5, 3), coarse=0.0)


def parts_of(objective: Mixture) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    config = convolution.Config(width=4, grow=1)
    return {name: stirred(convolution.build(role, config)) for name, role in objective.roles.items()}


def batch(rows: int = 4) -> Batch:
    return Batch(torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("objective", [GRID, CODED], ids=["grid", "codes"])
def test_contracts(objective):
    check_objective(objective, parts_of(objective), replace(batch(), weight=torch.rand(4)))


def test_without_a_critic_it_is_the_autoencoder_alone():
    alone = replace(GRID, fool=0.0, features=0.0)
    parts, noise = parts_of(GRID), training_noise(0, 0, 0, 4)
    loss = alone.loss(parts, batch(), alone.turns[1], noise)
    agree(loss.per_sample, alone.autoencoder.loss(parts, batch(), alone.turns[1], noise).per_sample, "the bound")
    seen = GRID.loss(parts, batch(), GRID.turns[1], noise)
    more = 64 * (GRID.fool * seen.metrics["fooling"] + GRID.features * seen.metrics["unlike"])
    agree(seen.per_sample.mean() - loss.per_sample.mean(), more, "what the critic's view adds, for each number")


def test_what_is_rebuilt_exactly_looks_alike():
    parts = parts_of(GRID)
    assert GRID.unlike(parts, batch(), batch().x).abs().max() == 0
    agree(GRID.rival.fooling(parts, batch(), batch().x), torch.full((4,), log(2.0)), "even odds")
    assert GRID.unlike(parts, batch(), torch.zeros_like(batch().x)).min() > 0


def test_a_network_that_does_not_show_its_layers_is_refused_features():
    parts = {name: dense.build(role, dense.Config(8)) for name, role in GRID.roles.items()}
    mixture = replace(GRID, coarse=0.0)
    with pytest.raises(ValueError, match=r"objective\.features=0"):
        mixture.loss(parts, batch(), mixture.turns[1], training_noise(0, 0, 0, 4))


def test_codes_cost_what_it_takes_to_tell_them():
    objective, parts = CODED.autoencoder, parts_of(CODED)
    z, squeeze = objective.squeezed(parts, batch(), training_noise(0, 0, 0, 4))
    agree(points_of(codes_of(z, (5, 3)), (5, 3)), z, "every place holds a code")
    agree(squeeze, torch.full((4,), 4 * log(15)), "four places of fifteen codes")


def test_samples_of_codes_are_what_the_decoder_makes_of_any_code():
    class Shown(nn.Module):
        """Gives the latent back."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, z: Tensor, cond: object = None) -> Tensor:
            return z * self.weight

    *_, z = CODED.sample({"decoder": Shown()}, 200, None, Noise(0, tuple(range(200))), Controls())
    counts = torch.bincount(codes_of(z, (5, 3)).flatten(), minlength=15)
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
    parts, noise = {"encoder": Halved(), "decoder": Doubled()}, training_noise(0, 0, 0, 3)
    plain = Variational(PICTURE, latent=1, grid=(2, 2), beta=0.0)
    fine, coarse = (
        replace(plain, coarse=w).loss(parts, Batch(x), plain.turns[0], noise).per_sample for w in (0.0, 1.0)
    )
    small = nn.functional.avg_pool2d(x, 2)
    exact = plain.rebuild(small, Doubled()(nn.functional.avg_pool2d(small, 4)))
    agree(coarse - fine, exact, "one half, from what is one half of the latent")


def test_bands_of_an_error():
    flat, fine = torch.ones(1, 1, 8, 8), torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)[None, None]
    agree(bands(flat), torch.tensor([64.0]), "an error all over is all in the coarsest band")
    agree(bands(fine), torch.tensor([64.0]), "and one from point to point in the finest")
    agree(bands(flat + fine), torch.tensor([128.0]), "both in both")


@pytest.mark.parametrize(
    "wrong",
    [{"levels": (3, 3, 3)}, {"levels": (1, 3)}, {"grid": (), "coarse": 1.0}, {"space": Signal(2), "edges": 1.0}],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=r"levels|edges"):
        replace(GRID.autoencoder, **{"edges": 0.0, "coarse": 0.0, **wrong})
