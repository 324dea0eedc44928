"""Sounds as the logarithms of their mel bands, and back without a network: the phase is found by iteration.

The magnitudes that have these bands are found by multiplicative updates (Lee and Seung 2001), a phase that fits them by
the algorithm of Griffin and Lim, with the momentum of Perraudin et al. 2013. A vocoder that was trained does it better:
the codec `latent` of a model whose network has `bands`.

Shape letters: M bands, T frames, F frequencies, N samples.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from math import isfinite, log
from pathlib import Path

import numpy as np

from genloom.codecs.codec_json import damaged_error, read_table, write_text_config
from genloom.codecs.waveform import MAX_FRAMES, MAX_HOP, cut_end
from genloom.errors import GenloomError, format_message
from genloom.media.audio.processing import change_rate, mix_to_mono
from genloom.media.audio.sound import MAX_RATE, MIN_RATE, Sound, make_sound
from genloom.media.audio.spectrum import build_mel_matrix, choose_num_frames, frame_samples
from genloom.types import SignalSpace

WINDOW_FRAMES = 4  # of the transform
FLOOR = 1e-5  # of a magnitude: quieter is silence
MAX_BANDS = 256
DEFAULT_FRAMES = 512  # at most, of a codec that is not told how many
NUM_FITTED = 600  # training sounds for the mean and the deviation of the bands, and the longest sound
MAGNITUDE_ROUNDS, PHASE_ROUNDS = 30, 48
MOMENTUM = 0.99


@dataclass(frozen=True)
class Config:
    """The rate, the samples of a frame, the most frames, and the bands with their statistics; longer sounds are cut."""

    rate: int = 16_000
    hop: int = 256  # samples of a frame
    frames: int = 0  # of the longest sound; 0: as the training data need, at most 512 (8.2 s at these numbers)
    bands: int = 80
    fills_silence: bool = False  # whether shorter sounds are filled with silence, which is cut off again
    mean: tuple[float, ...] = ()  # of each band in the training data; (): 0
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (type(self.rate) is int and MIN_RATE <= self.rate <= MAX_RATE):
            raise GenloomError("codecs.bad_rate", value=self.rate, minimum=MIN_RATE, maximum=MAX_RATE)
        if not (type(self.hop) is int and 4 <= self.hop <= MAX_HOP):
            raise GenloomError("codecs.bad_hop", value=self.hop, maximum=MAX_HOP)
        if not (type(self.frames) is int and 0 <= self.frames <= MAX_FRAMES):
            raise GenloomError("codecs.bad_frames", value=self.frames, maximum=MAX_FRAMES)
        if not (type(self.bands) is int and 1 <= self.bands <= min(MAX_BANDS, self.hop)):
            raise GenloomError("codecs.bad_bands", value=self.bands, maximum=min(MAX_BANDS, self.hop))
        numbers = (*self.mean, *self.std)
        is_number = all(isinstance(n, float | int) and isfinite(n) for n in numbers) and all(n > 0 for n in self.std)
        if not is_number or {len(self.mean), len(self.std)} not in ({0}, {self.bands}):
            raise GenloomError("codecs.bad_band_statistics", bands=self.bands)


@dataclass(frozen=True)
class Codec:
    """Sounds as float32 (bands, T) of mean 0 and deviation 1, and back in one channel, in whole frames."""

    config: Config

    @classmethod
    def fit(cls, items: Iterable[Sound], config: Config) -> "Codec":
        """Return the codec, with the mean and the deviation of the bands of some of the items."""
        if config.mean:
            return cls(config)
        frames = config.frames or DEFAULT_FRAMES + 1  # longer ones show by one frame
        whole = cls(replace(config, frames=frames, fills_silence=False))
        plain = [whole.encode(item) for item in islice(items, NUM_FITTED)]
        if not plain:
            return cls(config)
        frames = config.frames or choose_num_frames((x.shape[1] for x in plain), DEFAULT_FRAMES)
        if config.fills_silence:
            plain = [np.pad(x, ((0, 0), (0, max(frames - x.shape[1], 0))), constant_values=log(FLOOR)) for x in plain]
        levels_MT = np.concatenate(plain, 1).astype(np.float64)
        mean, std = levels_MT.mean(1).round(4).tolist(), np.maximum(levels_MT.std(1), 0.1).round(4).tolist()
        return cls(replace(config, frames=frames, mean=tuple(mean), std=tuple(std)))

    @property
    def frames(self) -> int:
        return self.config.frames or DEFAULT_FRAMES

    @property
    def max_seconds(self) -> float:
        """How long the longest sound is."""
        return self.config.hop * self.frames / self.config.rate

    @property
    def space(self) -> SignalSpace:
        return SignalSpace(self.config.bands, (self.frames,), has_lengths=not self.config.fills_silence)

    @property
    def window(self) -> int:
        return WINDOW_FRAMES * self.config.hop

    def encode(self, value: Sound) -> np.ndarray:
        """Return the bands of the mean of the channels at the rate of the codec."""
        config = self.config
        samples = change_rate(mix_to_mono(value), config.rate).samples[0][: config.hop * self.frames]
        if config.fills_silence:
            samples = np.pad(samples, (0, config.hop * self.frames - len(samples)))
        bands = compute_log_bands(samples, config.rate, config.hop, self.window, config.bands)
        return np.ascontiguousarray((bands.T - self._column(config.mean, 0)) / self._column(config.std, 1), np.float32)

    def encode_many(self, values: Iterable[Sound]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> Sound:
        """Return a sound with these bands, of any number of frames; the same for equal bands."""
        config = self.config
        levels = np.nan_to_num(np.asarray(x, np.float32)) * self._column(config.std, 1) + self._column(config.mean, 0)
        matrix = build_mel_matrix(config.rate, self.window // 2 + 1, config.bands)
        bands = np.exp(np.clip(levels.T, np.log(FLOOR), 1.0)) - FLOOR
        sound = make_sound(restore_samples(restore_magnitudes(bands, matrix), config.hop), config.rate)
        return cut_end(sound, config.hop) if config.fills_silence else sound

    def decode_many(self, x_BMT: Iterable[np.ndarray]) -> list[Sound]:
        return [self.decode(x) for x in x_BMT]

    def _column(self, numbers: tuple[float, ...], default: float) -> np.ndarray:
        return np.array(numbers or [default], np.float32)[:, None]

    def save(self, folder: Path) -> None:
        write_text_config(folder, "mel", self.config)

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """Load a saved codec; GenloomError names the file that is missing or damaged."""
        path = folder / "codec.json"
        content = read_table(path, "mel")
        is_list = all(isinstance(content.get(name), list) for name in ("mean", "std"))
        if {*content, "fills_silence"} != set(asdict(Config())) or not is_list:
            keys = ", ".join(["codec", *sorted(asdict(Config()))])
            raise damaged_error(path, format_message("codecs.wrong_codec_table", codec="mel", keys=keys))
        statistics = {name: tuple(content.pop(name)) for name in ("mean", "std")}
        try:
            return cls(Config(**content, **statistics))
        except GenloomError as error:
            raise damaged_error(path, str(error)) from None


def compute_log_bands(samples_N: np.ndarray, rate: int, hop: int, window: int, bands: int) -> np.ndarray:
    """Return the logarithms of the mel bands of every frame, T M."""
    magnitudes = np.abs(transform_samples(samples_N, window, hop))
    return np.log(magnitudes @ build_mel_matrix(rate, magnitudes.shape[1], bands) + FLOOR)


def transform_samples(samples_N: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Return the spectrum around each frame, T F: a sine of full scale has a magnitude of 1."""
    shape = np.hanning(window + 1)[:-1].astype(np.float32)
    return np.fft.rfft(frame_samples(samples_N, window, hop) * shape, axis=1) * np.float32(4 / window)


def invert_transform(spectrum_TF: np.ndarray, hop: int) -> np.ndarray:
    """Return the samples whose transform is nearest to this one, (T · hop,)."""
    window, count = 2 * (spectrum_TF.shape[1] - 1), len(spectrum_TF)
    shape = np.hanning(window + 1)[:-1]
    frames = np.fft.irfft(spectrum_TF * (window / 4), window, 1) * shape
    sums, weights = np.zeros(count * hop + window), np.zeros(count * hop + window)
    for number in range(count):
        sums[number * hop : number * hop + window] += frames[number]
        weights[number * hop : number * hop + window] += shape**2
    left = (window - hop) // 2
    return (sums / np.maximum(weights, 1e-3))[left : left + count * hop]


def restore_magnitudes(bands_TM: np.ndarray, matrix_FM: np.ndarray) -> np.ndarray:
    """Return magnitudes of at least 0 whose bands are these, T F."""
    magnitudes = bands_TM @ (matrix_FM / np.maximum(matrix_FM.sum(1, keepdims=True), 1e-8)).T + 1e-9
    wanted = bands_TM @ matrix_FM.T
    for _ in range(MAGNITUDE_ROUNDS):
        magnitudes *= wanted / np.maximum((magnitudes @ matrix_FM) @ matrix_FM.T, 1e-12)
    return magnitudes


def restore_samples(magnitudes_TF: np.ndarray, hop: int) -> np.ndarray:
    """Return samples whose transform has about these magnitudes, (T · hop,); it begins with a phase drawn once."""
    window = 2 * (magnitudes_TF.shape[1] - 1)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, magnitudes_TF.shape)
    angles, previous = np.exp(1j * phases), np.zeros_like(magnitudes_TF, complex)
    for _ in range(PHASE_ROUNDS):
        projection = transform_samples(invert_transform(magnitudes_TF * angles, hop).astype(np.float32), window, hop)
        ahead = projection - previous * (MOMENTUM / (1 + MOMENTUM))
        angles, previous = ahead / np.maximum(np.abs(ahead), 1e-12), projection
    return invert_transform(magnitudes_TF * angles, hop)
