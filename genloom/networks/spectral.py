"""Convolutions over the short-time spectra of a sound in frames, to a latent; and back by an exact inverse transform.

With `bands`, the latent is the logarithm of mel bands, in which nothing is learned, and the decoder is a vocoder.

A sound is a signal of one axis whose channels are the samples of a frame. The decoder's last layer gives the magnitude
and the phase of every frequency (Siuzdak 2024, "Vocos"), and the inverse transform is exact. The blocks are those of
ConvNeXt (Liu et al. 2022).

Shape letters: B batch, C channels, H samples of a frame, T frames, F frequencies, N samples, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.media.audio.spectrum import build_mel_matrix
from genloom.networks.convolution import pool_condition
from genloom.networks.embedding import mask_padding, rescale_lengths
from genloom.types import Condition, NetworkSpec, SignalSpace

POWER = 0.3  # of magnitudes, which hearing compresses
EPS = 1e-7
MAX_LOG_MAGNITUDE = 8.0
CRITIC_HALVINGS = 4
BAND_FLOOR = 1e-3  # of a magnitude, for sounds whose loud frames have a mean square of 1: quieter is silence
BAND_MEAN, BAND_STD = -3.0, 2.5  # of the logarithms of bands, about


@dataclass(frozen=True)
class Config:
    width: int = 192  # channels of the blocks
    depth: int = 6  # blocks, spread over the steps of halving
    window: int = 4  # frames of the Fourier transform
    kernel: int = 7  # positions that a block reads
    expansion: int = 2  # times the width, inside of a block
    bands: int = 0  # mel bands that are the latent; 0: it is learned
    rate: float = 16_000.0  # samples a second, by which mel bands are placed
    band_noise: float = 0.05  # deviation of the noise on the bands in training, so that a decoder forgives errors


def build(spec: NetworkSpec, config: Config) -> nn.Module:
    input_space, output_space = spec.input, spec.output
    if not (isinstance(input_space, SignalSpace) and isinstance(output_space, SignalSpace)):
        raise GenloomError("networks.spectral_spaces", input=input_space, output=output_space)
    if len(input_space.size) != 1 or len(output_space.size) > 1 or spec.has_time:
        raise GenloomError("networks.spectral_spaces", input=input_space, output=output_space)
    if spec.condition.field:
        raise GenloomError("networks.spectral_condition")
    if config.window < 2:
        raise GenloomError("networks.spectral_window", window=config.window)
    if config.bands and output_space.size and is_wave(input_space, output_space):
        return BandAnalysis(input_space, output_space, config)
    if not output_space.size or is_wave(input_space, output_space):
        return Analysis(spec, input_space, output_space, config)
    return Synthesis(spec, input_space, output_space, config)


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """Return the settings for one of the planner's model sizes; explicit settings win."""
    return {"width": max(32, width), "depth": max(2, depth), **settings}


def is_wave(space: SignalSpace, other: SignalSpace) -> bool:
    """Return whether a space is the side with the sound: that of more frames, or more channels."""
    return (space.size[0], space.channels) >= (other.size[0], other.channels)


def count_halvings(larger: int, smaller: int) -> int:
    """Return how many halvings lead from a number of frames to another one; GenloomError if none do."""
    count = max(larger // max(smaller, 1), 1).bit_length() - 1
    if larger != smaller << count:
        raise GenloomError("networks.spectral_ratio", larger=larger, smaller=smaller)
    return count


class Block(nn.Module):
    """A convolution by channel and two layers at each position, with a residual; the condition scales and shifts."""

    def __init__(self, width: int, kernel: int, expansion: int, cond_width: int):
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, expansion * width)
        self.narrow = nn.Linear(expansion * width, width)
        self.modulation = nn.Linear(cond_width, 2 * width, bias=False) if cond_width else None
        nn.init.normal_(self.narrow.weight, std=0.02)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, h_BDT: Tensor, cond_BD: Tensor, lengths_B: Tensor | None) -> Tensor:
        x_BTD = self.norm(self.conv(h_BDT)[..., : h_BDT.shape[2]].mT)
        if self.modulation is not None:
            scale, shift = self.modulation(cond_BD)[:, None].chunk(2, 2)
            x_BTD = x_BTD * (1 + scale) + shift
        return mask_padding(h_BDT + self.narrow(F.gelu(self.widen(x_BTD))).mT, lengths_B)


class Trunk(nn.Module):
    """Blocks at each number of frames, and the halvings or doublings between them."""

    def __init__(self, config: Config, steps: int, is_upsampling: bool, cond_width: int):
        super().__init__()
        width, counts = config.width, [config.depth // (steps + 1)] * (steps + 1)
        counts[0 if is_upsampling else -1] += config.depth - sum(counts)  # the rest where there are the fewest frames
        self.levels = nn.ModuleList(
            nn.ModuleList(Block(width, config.kernel, config.expansion, cond_width) for _ in range(max(count, 1)))
            for count in counts
        )
        build_resampler = nn.ConvTranspose1d if is_upsampling else nn.Conv1d
        self.resamplers = nn.ModuleList(build_resampler(width, width, 4, stride=2, padding=1) for _ in range(steps))
        self.is_upsampling = is_upsampling

    def forward(self, h_BDT: Tensor, cond_BD: Tensor, lengths_B: Tensor | None) -> list[Tensor]:
        """Return the features after the blocks of each level, zero in the padding."""
        features, first_length = [], h_BDT.shape[2]
        for number, blocks in enumerate(self.levels):
            if number:
                if not self.is_upsampling and h_BDT.shape[2] % 2:
                    h_BDT = F.pad(h_BDT, (0, 1))
                h_BDT = self.resamplers[number - 1](h_BDT)
            level_lengths = rescale_lengths(lengths_B, first_length, h_BDT.shape[2])
            h_BDT = mask_padding(h_BDT, level_lengths)
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                h_BDT = block(h_BDT, cond_BD, level_lengths)
            features.append(h_BDT)
        return features


class Analysis(nn.Module):
    """Maps frames of a sound, B H T, by way of their spectra to a latent, B C T', or to numbers, B C."""

    def __init__(self, spec: NetworkSpec, input_space: SignalSpace, output_space: SignalSpace, config: Config):
        super().__init__()
        self.spec, self.is_vector_output = spec, not output_space.size
        frames, self.window = input_space.size[0], config.window * input_space.channels // 2 * 2
        steps = (
            min(CRITIC_HALVINGS, max(frames.bit_length() - 2, 0))
            if self.is_vector_output
            else count_halvings(frames, output_space.size[0])
        )
        self.halvings = 1 if self.is_vector_output else 1 << steps
        cond_width = spec.condition.vector + spec.condition.tokens
        self.in_proj = nn.Conv1d(3 * (self.window // 2 + 1), config.width, 1)
        self.trunk = Trunk(config, steps, False, cond_width)
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, output_space.channels)

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        h_BTD = self.norm(self.forward_features(x, cond, lengths)[-1].mT)
        if not self.is_vector_output:
            return mask_padding(self.head(h_BTD).mT, rescale_lengths(lengths, x.shape[2], h_BTD.shape[1]))
        scores_BTC = self.head(F.gelu(h_BTD))
        if lengths is None:
            return scores_BTC.mean(1)
        level_lengths = rescale_lengths(lengths, x.shape[2], h_BTD.shape[1])
        assert level_lengths is not None
        return mask_padding(scores_BTC.mT, level_lengths).sum(2) / level_lengths[:, None].to(scores_BTC)

    def forward_features(self, x: Tensor, cond: Condition | None = None, lengths: Tensor | None = None) -> list[Tensor]:
        """Return the features at each number of frames, B D T each, in the order of computation."""
        weight = self.in_proj.weight
        cond_BD = pool_condition(cond, self.spec.condition, x.to(weight.dtype))
        spectra = compute_spectra(mask_padding(x.float(), lengths), self.window).to(weight.dtype)
        return self.trunk(mask_padding(self.in_proj(spectra), lengths), cond_BD, lengths)

    def at_size(self, size: tuple[int, ...]) -> "Analysis":
        """Return the network for sounds of this many frames, which it can halve."""
        if size[0] % self.halvings:
            raise GenloomError("networks.size_is_fixed", size=size)
        return self


class BandAnalysis(nn.Module):
    """Maps frames of a sound, B H T, to the logarithms of their mel bands, B C T, and the noise that training adds."""

    def __init__(self, input_space: SignalSpace, output_space: SignalSpace, config: Config):
        super().__init__()
        has_noise = output_space.channels == 2 * config.bands
        if output_space.size != input_space.size or not (has_noise or output_space.channels == config.bands):
            raise GenloomError("networks.spectral_bands", bands=config.bands, output=output_space)
        if not 0 < config.band_noise <= 1:
            raise GenloomError("networks.spectral_band_noise", noise=config.band_noise)
        self.window, self.bands, self.rate = config.window * input_space.channels // 2 * 2, config.bands, config.rate
        self.log_variance = 2 * log(config.band_noise) if has_noise else None

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        magnitudes_BFT = transform_frames(mask_padding(x.float(), lengths), self.window).abs()
        matrix_FM = torch.from_numpy(build_mel_matrix(self.rate, magnitudes_BFT.shape[1], self.bands)).to(x.device)
        levels_BMT = ((magnitudes_BFT.mT @ matrix_FM + BAND_FLOOR).log().mT - BAND_MEAN) / BAND_STD
        if self.log_variance is not None:
            levels_BMT = torch.cat([levels_BMT, torch.full_like(levels_BMT, self.log_variance)], 1)
        return mask_padding(levels_BMT, lengths)

    def at_size(self, size: tuple[int, ...]) -> "BandAnalysis":
        """Return the network for sounds of this many frames: it reads any."""
        return self


class Synthesis(nn.Module):
    """Maps a latent, B C T', to frames of a sound, B H T, by way of their spectra."""

    def __init__(self, spec: NetworkSpec, input_space: SignalSpace, output_space: SignalSpace, config: Config):
        super().__init__()
        self.spec, self.hop = spec, output_space.channels
        self.window = config.window * self.hop // 2 * 2
        steps = count_halvings(output_space.size[0], input_space.size[0])
        self.doublings = 1 << steps
        cond_width = spec.condition.vector + spec.condition.tokens
        self.in_proj = nn.Conv1d(input_space.channels, config.width, 3, padding=1)
        self.trunk = Trunk(config, steps, True, cond_width)
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, 3 * (self.window // 2 + 1))

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        x = x.to(self.in_proj.weight.dtype)
        cond_BD = pool_condition(cond, self.spec.condition, x)
        h = mask_padding(self.in_proj(mask_padding(x, lengths)), lengths)
        h = self.trunk(h, cond_BD, lengths)[-1]
        frame_lengths = None if lengths is None else lengths * self.doublings
        spectra_BCT = mask_padding(self.head(self.norm(h.mT)).mT.float(), frame_lengths)
        log_magnitudes, real, imaginary = spectra_BCT.chunk(3, 1)
        norm = (real.square() + imaginary.square() + EPS).rsqrt()
        magnitudes = log_magnitudes.clamp(max=MAX_LOG_MAGNITUDE).exp()
        magnitudes = mask_padding(magnitudes, frame_lengths)
        transform = torch.complex(magnitudes * real * norm, magnitudes * imaginary * norm)
        return mask_padding(invert_spectra(transform, self.window, self.hop, frame_lengths), frame_lengths)

    def at_size(self, size: tuple[int, ...]) -> "Synthesis":
        """Return the network for latents of this length: it reads any."""
        return self


def transform_frames(x_BHT: Tensor, window: int) -> Tensor:
    """Return the short-time Fourier transform around each frame, B F T, complex."""
    hop = x_BHT.shape[1]
    left = (window - hop) // 2
    wave_BN = F.pad(x_BHT.mT.flatten(1), (left, window - hop - left))
    frames_BTN = wave_BN.unfold(1, window, hop) * torch.hann_window(window, device=x_BHT.device)
    return torch.fft.rfft(frames_BTN, norm="ortho").mT


def compute_spectra(x_BHT: Tensor, window: int) -> Tensor:
    """Return the compressed real and imaginary parts and log-magnitudes of the spectra, B 3F T."""
    transform = transform_frames(x_BHT, window)
    power = transform.real.square() + transform.imag.square() + EPS
    scale = power ** ((POWER - 1) / 2)
    return torch.cat([transform.real * scale, transform.imag * scale, 0.25 * power.log()], 1)


def invert_spectra(transform_BFT: Tensor, window: int, hop: int, lengths_B: Tensor | None = None) -> Tensor:
    """Return the frames whose transform this is, B H T: the inverse of `transform_frames`.

    Frames overlap, and their sum is divided by that of the squared windows; frames beyond a row's length do not count.
    """
    shape = torch.hann_window(window, device=transform_BFT.device)
    frames_BNT = torch.fft.irfft(transform_BFT.mT, n=window, norm="ortho").mT * shape[:, None]
    count, left = transform_BFT.shape[2], (window - hop) // 2
    weights_BNT = mask_padding(shape.square()[None, :, None].expand(len(frames_BNT), -1, count), lengths_B)
    total = (1, (count - 1) * hop + window)
    sums, weights = (
        F.fold(each, total, (1, window), stride=(1, hop))[:, 0, 0, left : left + count * hop]
        for each in (frames_BNT, weights_BNT)
    )
    return (sums / weights.clamp(min=1e-4)).view(len(sums), count, hop).mT
