"""Sounds as their wave in frames: the samples of a frame are the channels of a signal over time.

Shape letters: H samples of a frame, T frames.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from genloom.codecs.codec_json import damaged_error, read_json, write_config
from genloom.errors import GenloomError, format_message
from genloom.media.audio.processing import change_rate, measure_levels, mix_to_mono
from genloom.media.audio.sound import MAX_RATE, MIN_RATE, Sound, make_sound
from genloom.types import SignalSpace

MAX_HOP, MAX_FRAMES = 2048, 1 << 14
NUM_SCALE_SAMPLES, SCALE_STRIDE = 512, 3  # training samples that say how loud sounds are, every third
LOUD_SHARE = 0.1  # of its loudest frame, from which a frame counts: silence says nothing
LARGEST_SCALE = 1e4
SILENT_SHARE = 1e-3  # of the loudest frame, below which the end of a sound is silence


@dataclass(frozen=True)
class Config:
    """The rate, the samples of a frame and the most frames; longer sounds are cut.

    Shorter sounds are filled with silence, which is cut off again: a model learns from captions how long a sound is.
    Without `fills_silence`, sounds have their own lengths, and who generates says how long they are to be.
    """

    rate: int = 16_000
    hop: int = 256  # samples of a frame
    frames: int = 128  # of the longest sound: 2 s at these numbers
    fills_silence: bool = True
    scale: float = 0.0  # that samples are multiplied with; 0: so that loud frames have a mean square of 1

    def __post_init__(self) -> None:
        if not (type(self.rate) is int and MIN_RATE <= self.rate <= MAX_RATE):
            raise GenloomError("codecs.bad_rate", value=self.rate, minimum=MIN_RATE, maximum=MAX_RATE)
        if not (type(self.hop) is int and 4 <= self.hop <= MAX_HOP):
            raise GenloomError("codecs.bad_hop", value=self.hop, maximum=MAX_HOP)
        if not (type(self.frames) is int and 1 <= self.frames <= MAX_FRAMES):
            raise GenloomError("codecs.bad_frames", value=self.frames, maximum=MAX_FRAMES)
        if not (isinstance(self.scale, int | float) and isfinite(self.scale) and 0 <= self.scale <= LARGEST_SCALE):
            raise GenloomError("codecs.bad_scale", value=self.scale, maximum=LARGEST_SCALE)


@dataclass(frozen=True)
class Codec:
    """Sounds as float32 (hop, T), and back in one channel, in whole frames."""

    config: Config

    @classmethod
    def fit(cls, items: Iterable[Sound], config: Config) -> "Codec":
        """Return the codec, with the scale of the loud frames of some of the items."""
        if config.scale:
            return cls(config)
        unit, squares = cls(replace(config, scale=1.0)), []
        for number, item in enumerate(items):
            if number % SCALE_STRIDE:
                continue
            levels = np.square(unit.encode(item)).mean(0)
            squares += levels[levels > LOUD_SHARE**2 * levels.max()].tolist()
            if number >= SCALE_STRIDE * NUM_SCALE_SAMPLES:
                break
        scale = 1 / float(np.sqrt(np.mean(squares))) if squares else 1.0
        return cls(replace(config, scale=min(round(scale, 4), LARGEST_SCALE)))

    @property
    def scale(self) -> float:
        return self.config.scale or 1.0

    @property
    def space(self) -> SignalSpace:
        return SignalSpace(self.config.hop, (self.config.frames,), has_lengths=not self.config.fills_silence)

    def encode(self, value: Sound) -> np.ndarray:
        """Return the frames of the mean of the channels at the rate of the codec; the last one is filled with zeros."""
        hop = self.config.hop
        samples = change_rate(mix_to_mono(value), self.config.rate).samples[0][: hop * self.config.frames]
        length = hop * self.config.frames if self.config.fills_silence else -(-len(samples) // hop) * hop
        padded = np.pad(samples, (0, length - len(samples)))
        return np.ascontiguousarray(padded.reshape(-1, hop).T) * np.float32(self.scale)

    def encode_many(self, values: Iterable[Sound]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> Sound:
        """Return the sound of frames (hop, T) of any number; what is louder than full scale is clipped."""
        samples = np.asarray(x, np.float32).T.reshape(-1) / np.float32(self.scale)
        sound = make_sound(np.nan_to_num(samples), self.config.rate)
        return cut_end(sound, self.config.hop) if self.config.fills_silence else sound

    def decode_many(self, x_BHT: Iterable[np.ndarray]) -> list[Sound]:
        return [self.decode(x) for x in x_BHT]

    @property
    def max_seconds(self) -> float:
        """How long the longest sound is."""
        return self.config.hop * self.config.frames / self.config.rate

    def with_length(self, length: int) -> "Codec":
        """Return the codec for sounds of this many frames at most."""
        return Codec(replace(self.config, frames=length))

    def save(self, folder: Path) -> None:
        write_config(folder, "waveform", self.config)

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """Load a saved codec; GenloomError names the file that is missing or damaged."""
        path = folder / "codec.json"
        content: dict[str, Any] = read_json(path)
        if content.pop("codec", None) != "waveform" or set(content) != set(asdict(Config())):
            keys = ", ".join(["codec", *sorted(asdict(Config()))])
            raise damaged_error(path, format_message("codecs.wrong_codec_table", codec="waveform", keys=keys))
        try:
            return cls(Config(**content))
        except GenloomError as error:
            raise damaged_error(path, str(error)) from None


def cut_end(sound: Sound, hop: int) -> Sound:
    """Return the sound without the frames of silence at its end; at least one frame stays."""
    levels = measure_levels(sound.samples, hop)
    loud = np.flatnonzero(levels > SILENT_SHARE * levels.max())
    return sound.cut(0, (int(loud[-1]) + 1) * hop if len(loud) else hop)
