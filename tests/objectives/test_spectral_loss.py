"""The distance of spectra: zero for equal sounds, blind to phase, and without an effect of padding."""

import pytest
import torch

from genloom.objectives.spectral_loss import spectral_distance, unfold_wave
from genloom.objectives.variational import Variational
from genloom.types import SignalSpace
from tests.errors import raises_code


def fold(wave_BN: torch.Tensor, hop: int = 64) -> torch.Tensor:
    return wave_BN.view(len(wave_BN), -1, hop).mT


def draw_tone(hertz: float, phase: float = 0.0) -> torch.Tensor:
    times = torch.arange(4096) / 16_000
    return fold(torch.sin(2 * torch.pi * hertz * times + phase)[None])


def test_frames_unfold_to_their_samples() -> None:
    wave = torch.randn(2, 256)
    assert torch.equal(unfold_wave(fold(wave)), wave)


def test_it_is_blind_to_phase_and_sees_pitch_and_level() -> None:
    tone = draw_tone(500)
    equal, shifted, higher, quieter = (
        spectral_distance(tone, other).item() for other in (tone, draw_tone(500, 1.0), draw_tone(900), 0.1 * tone)
    )
    assert equal == pytest.approx(0, abs=1e-6)
    assert shifted < 0.3 * min(higher, quieter)


def test_padding_changes_nothing_much() -> None:
    x, y = torch.randn(1, 64, 32), torch.randn(1, 64, 32)
    pad = torch.zeros(1, 64, 96)
    whole = spectral_distance(torch.cat([x, pad], 2), torch.cat([y, pad], 2))
    assert whole.item() == pytest.approx(spectral_distance(x, y).item(), rel=0.1)


def test_the_gradient_is_finite_in_silence() -> None:
    x = torch.zeros(1, 64, 32, requires_grad=True)
    spectral_distance(draw_tone(500)[..., :32], x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_it_needs_one_axis() -> None:
    with raises_code("objectives.spectra_without_time"):
        Variational(SignalSpace(3, (8, 8)), spectral_weight=1.0)
