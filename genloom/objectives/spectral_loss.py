"""The distance of sounds in their short-time spectra at several resolutions (Yamamoto et al. 2020).

Shape letters: B batch, H samples of a frame, T frames, N samples, F frequencies.
"""

import torch
from torch import Tensor

WINDOWS = (2, 1, 4, 8)  # of the transforms, in half frames of the signal: 256 samples give 256, 128, 512 and 1024
HOPS_PER_WINDOW = 4
SILENCE = 1e-5  # below which a frame does not count
FLOOR = 1e-3  # of magnitudes, for sounds whose loud frames have a mean square of 1: quieter ones are silence


def unfold_wave(x_BHT: Tensor) -> Tensor:
    """Return the samples of frames one after the other, B N."""
    return x_BHT.mT.flatten(1)


def spectral_distance(x_BHT: Tensor, other_BHT: Tensor) -> Tensor:
    """Return the mean difference of log-magnitudes, and the relative one of magnitudes, over the resolutions, B.

    Both signals are zero in their padding, where their spectra are equal; the mean is over the frames in which one
    of them sounds.
    """
    wave_BN, other_BN = unfold_wave(x_BHT.float()), unfold_wave(other_BHT.float())
    total_B = wave_BN.new_zeros(len(wave_BN))
    sizes = [
        size for half_frames in WINDOWS if 16 <= (size := half_frames * x_BHT.shape[1] // 2 * 2) <= wave_BN.shape[1]
    ]
    for size in sizes:
        magnitudes_BFT, other_magnitudes_BFT = compute_magnitudes(wave_BN, size), compute_magnitudes(other_BN, size)
        difference = (magnitudes_BFT - other_magnitudes_BFT).flatten(1)
        relative_B = difference.norm(dim=1) / magnitudes_BFT.flatten(1).norm(dim=1).clamp(min=FLOOR)
        logs = (magnitudes_BFT + FLOOR).log() - (other_magnitudes_BFT + FLOOR).log()
        sounding_BT = (torch.maximum(magnitudes_BFT, other_magnitudes_BFT).amax(1) > SILENCE).float()
        log_B = (logs.abs().mean(1) * sounding_BT).sum(1) / sounding_BT.sum(1).clamp(min=1)
        total_B = total_B + relative_B + log_B
    return total_B / max(len(sizes), 1)


def compute_magnitudes(wave_BN: Tensor, size: int) -> Tensor:
    """Return the magnitudes of the short-time Fourier transform, B F T, with a finite gradient at 0."""
    window = torch.hann_window(size, device=wave_BN.device)
    transform = torch.stft(
        wave_BN, size, size // HOPS_PER_WINDOW, window=window, return_complex=True, pad_mode="constant"
    )
    return (transform.real.square() + transform.imag.square() + 1e-12).sqrt() * (2 / size) ** 0.5
