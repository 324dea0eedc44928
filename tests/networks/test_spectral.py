"""The spectral network: an exact transform with its inverse, and the contracts of a network."""

from typing import Any

import pytest
import torch

from genloom.networks.spectral import Config, build, invert_spectra, transform_frames
from genloom.testing import check_network
from genloom.types import ConditionSpec, NetworkSpec, SignalSpace, TokenSpace
from tests.errors import raises_code

WAVE = SignalSpace(16, (16,), has_lengths=True)
LATENT, EQUAL = SignalSpace(4, (4,)), SignalSpace(6, (16,))
SMALL = Config(width=8, depth=3)


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec(WAVE, LATENT),
        NetworkSpec(LATENT, WAVE),
        NetworkSpec(WAVE, EQUAL, condition=ConditionSpec(tokens=3, vector=2)),
        NetworkSpec(EQUAL, WAVE, condition=ConditionSpec(vector=2)),
        NetworkSpec(WAVE, SignalSpace(1), condition=ConditionSpec(tokens=2)),
    ],
    ids=str,
)
def test_it_meets_the_contracts_of_a_network(spec: NetworkSpec) -> None:
    check_network(build(spec, SMALL), spec)


@pytest.mark.parametrize("window", [32, 64, 128])
@pytest.mark.parametrize("hop", [16, 15])
def test_the_inverse_transform_is_exact(window: int, hop: int) -> None:
    x_BHT = torch.randn(3, hop, 9, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(invert_spectra(transform_frames(x_BHT, window), window, hop), x_BHT, atol=1e-5)


def test_a_shorter_row_is_inverted_as_if_it_were_alone() -> None:
    x_BHT = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(0))
    x_BHT[1, :, 5:] = 0
    lengths = torch.tensor([8, 5])
    transform = transform_frames(x_BHT, 64)
    alone = transform_frames(x_BHT[1:, :, :5], 64)
    transform[1, :, 5:] = 0
    rows = invert_spectra(transform, 64, 16, lengths)
    assert torch.allclose(rows[1:, :, :5], invert_spectra(alone, 64, 16), atol=1e-5)


def test_other_lengths_are_read_by_the_same_weights() -> None:
    encoder: Any = build(NetworkSpec(WAVE, LATENT), SMALL)
    decoder: Any = build(NetworkSpec(LATENT, WAVE), SMALL)
    z = encoder.at_size((24,))(torch.randn(2, 16, 24))
    assert z.shape == (2, 4, 6)
    assert decoder.at_size((6,))(z).shape == (2, 16, 24)
    with raises_code("networks.size_is_fixed"):
        encoder.at_size((25,))


@pytest.mark.parametrize(
    ("code", "spec"),
    [
        ("networks.spectral_spaces", NetworkSpec(TokenSpace(4, 8), TokenSpace(4, 8))),
        ("networks.spectral_spaces", NetworkSpec(SignalSpace(3, (8, 8)), SignalSpace(3, (4, 4)))),
        ("networks.spectral_spaces", NetworkSpec(SignalSpace(3), WAVE)),
        ("networks.spectral_spaces", NetworkSpec(WAVE, WAVE, has_time=True)),
        ("networks.spectral_ratio", NetworkSpec(WAVE, SignalSpace(4, (5,)))),
        ("networks.spectral_condition", NetworkSpec(WAVE, LATENT, condition=ConditionSpec(field=1))),
    ],
    ids=str,
)
def test_what_it_cannot_map_is_refused(code: str, spec: NetworkSpec) -> None:
    with raises_code(code):
        build(spec, SMALL)


def test_a_window_needs_two_frames() -> None:
    with raises_code("networks.spectral_window"):
        build(NetworkSpec(WAVE, LATENT), Config(window=1))


def test_bands_are_the_latent_of_a_vocoder() -> None:
    spec = NetworkSpec(WAVE, SignalSpace(16, (16,), has_lengths=True))
    encoder: Any = build(spec, Config(bands=8, window=4, band_noise=0.1))
    assert not list(encoder.parameters())
    x = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))
    levels, log_variances = encoder(x, lengths=torch.tensor([16, 10])).chunk(2, 1)
    assert levels.shape == (2, 8, 16)
    assert not levels[1, :, 10:].any()
    assert torch.allclose(log_variances[0], torch.tensor(0.01).log())
    louder = encoder(4 * x)[:, :8]
    assert torch.allclose(louder[0, 2:], levels[0, 2:] + torch.tensor(4.0).log() / 2.5, atol=0.02)
    assert encoder.at_size((24,))(torch.randn(1, 16, 24)).shape == (1, 16, 24)
    with raises_code("networks.spectral_bands"):
        build(NetworkSpec(WAVE, LATENT), Config(bands=8))
    with raises_code("networks.spectral_band_noise"):
        build(spec, Config(bands=8, band_noise=0.0))
