"""Speech as a condition of a sound: at each frame the phoneme, its stress, and how far it has been spoken.

In training, the phonemes of a text are aligned with its recording; in generation, a model of their durations says how
long each lasts. Both are fitted to the training data.

Shape letters: U symbols, T frames, F features.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch

from genloom.errors import GenloomError
from genloom.media.audio.processing import change_rate, mix_to_mono
from genloom.media.audio.sound import Sound
from genloom.media.audio.spectrum import choose_num_frames
from genloom.speech.alignment import NUM_FEATURES, Acoustics, align_units, compute_features, fit_acoustics
from genloom.speech.dictionaries import pronounce_text
from genloom.speech.durations import count_features, fit_durations, predict_frames
from genloom.speech.phoneme_units import EDGE, Unit, list_inventory, split_units
from genloom.types import Condition, ConditionSpec, Item

MAX_FITTED_ITEMS = 600  # recordings, for the alignment and the durations
MAX_FRAMES = 512  # of a recording, unless a job says otherwise
MIN_FITTED_ITEMS = 2
NUM_PLACES = (
    5  # channels beside those of the symbols: two stresses, the place in a phoneme, its length, and that it is given
)
MAX_SHARE = 0.9  # of the frames of the codec, that a passage is expected to fill


@dataclass(frozen=True)
class Config:
    """The frames of the codec, and what is fitted to the recordings of the voice, as plain numbers."""

    text: str = "caption"  # column of the data set with what is spoken
    rate: int = 16_000  # of the codec
    hop: int = 256  # samples of a frame of the codec
    frames: int = 0  # of the codec, at most; 0: as the recordings need. Longer ones are not learned from
    inventory: tuple[str, ...] = ()
    means: tuple[float, ...] = ()  # of the features of each symbol, one after the other
    variances: tuple[float, ...] = ()
    lengths: tuple[float, ...] = ()  # frames of each symbol
    durations: tuple[float, ...] = ()  # weights of the model of durations


@dataclass(frozen=True)
class Utterance:
    """Phonemes, and how many frames each of their units lasts."""

    phonemes: str
    frames: tuple[int, ...]


def fit(items: Iterable[Item], config: Config) -> Config:
    """Return the configuration with the acoustics and the durations of the phonemes in the training data."""
    if config.inventory:
        return config
    features, utterances, lengths, limit = [], [], [], config.frames or MAX_FRAMES
    for item in islice(items, MAX_FITTED_ITEMS):
        units = split_units(pronounce_text(str(item.meta.get(config.text) or "")))
        if isinstance(item.value, Sound):
            found = compute_item_features(item.value, config)
            lengths.append(len(found))
            if len(units) > 2 and len(units) <= len(found) <= limit:
                features.append(found)
                utterances.append(units)
    if len(features) < MIN_FITTED_ITEMS:
        seconds = limit * config.hop / config.rate
        raise GenloomError("conditioners.no_transcripts", column=config.text, count=len(features), seconds=seconds)
    inventory = list_inventory(utterances)
    acoustics = fit_acoustics(features, utterances, inventory)
    frames = [align_units(each, units, acoustics) for each, units in zip(features, utterances, strict=True)]
    aligned = [(units, found) for units, found in zip(utterances, frames, strict=True) if found is not None]
    if not aligned:
        raise GenloomError("conditioners.no_alignment", column=config.text)
    durations = fit_durations([units for units, _ in aligned], [found for _, found in aligned], inventory)
    return replace(
        config,
        frames=config.frames or choose_num_frames(lengths, MAX_FRAMES),
        inventory=inventory,
        means=_to_numbers(acoustics.means_UF),
        variances=_to_numbers(acoustics.variances_UF),
        lengths=_to_numbers(acoustics.frames_U),
        durations=_to_numbers(durations),
    )


def _to_numbers(array: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{number:.4g}") for number in array.ravel())


def compute_item_features(sound: Sound, config: Config) -> np.ndarray:
    """Return the features of a recording by which it is aligned, in the frames of the codec."""
    samples = change_rate(mix_to_mono(sound), config.rate).samples[0]
    return compute_features(samples, config.rate, config.hop)


def build(config: Config) -> "SpeechConditioner":
    count = len(config.inventory)
    sizes = (len(config.means), len(config.variances), len(config.lengths), len(config.durations))
    if not count or sizes != (count * NUM_FEATURES, count * NUM_FEATURES, count, count_features(count) + 2):
        raise GenloomError("conditioners.not_fitted", column=config.text)
    return SpeechConditioner(config)


@dataclass(frozen=True)
class SpeechConditioner:
    """Values are utterances; people write texts in English."""

    config: Config

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(field=len(self.config.inventory) + NUM_PLACES)

    @cached_property
    def acoustics(self) -> Acoustics:
        config, shape = self.config, (len(self.config.inventory), NUM_FEATURES)
        means_UF, variances_UF = np.reshape(config.means, shape), np.reshape(config.variances, shape)
        return Acoustics(config.inventory, means_UF, np.maximum(variances_UF, 1e-8), np.array(config.lengths))

    @property
    def max_phonemes(self) -> int:
        """How many phonemes of a text are spoken at once, so that the codec holds them."""
        mean = float(np.mean([length for length in self.config.lengths if length > 0] or [1.0]))
        return max(round(MAX_SHARE * self.config.frames / mean), 10)

    def get_value(self, item: Item) -> Utterance | None:
        """Return what is spoken when; None without a text, and for one that does not fit its recording."""
        phonemes = pronounce_text(str(item.meta.get(self.config.text) or ""))
        if not phonemes or not isinstance(item.value, Sound):
            return None
        features = compute_item_features(item.value, self.config)
        units = self.list_units(phonemes)
        if len(features) > self.config.frames or len(units) <= 2:
            return None
        frames = align_units(features, units, self.acoustics)
        return None if frames is None else Utterance(phonemes, tuple(frames.tolist()))

    def list_units(self, phonemes: str) -> list[Unit]:
        """Return the units that the training data have; others are not spoken."""
        return [unit for unit in split_units(phonemes) if unit.symbol in self.config.inventory]

    def predict(self, phonemes: str, speed: float = 1.0) -> Utterance:
        """Return the utterance of phonemes at a speed; one that is too long for the codec is spoken faster.

        Raise GenloomError if nothing of it can be spoken.
        """
        units = self.list_units(phonemes)
        if not any(not unit.is_silent for unit in units):
            raise GenloomError("speech.nothing_to_speak", text=phonemes[:60])
        weights = np.array(self.config.durations)
        frames = predict_frames(units, self.config.inventory, weights, speed)
        while sum(frames) > self.config.frames and speed < 1000:
            speed *= 1.02 * sum(frames) / self.config.frames
            frames = predict_frames(units, self.config.inventory, weights, speed)
        return Utterance(phonemes, frames)

    def encode(self, values: Sequence[Utterance | None]) -> Condition:
        config, count = self.config, len(self.config.inventory)
        field = np.zeros((len(values), self.spec.field, config.frames), np.float32)
        number = {symbol: index for index, symbol in enumerate(config.inventory)}
        for row, value in zip(field, values, strict=True):
            if value is None:
                continue
            begin = 0
            for unit, length in zip(self.list_units(value.phonemes), value.frames, strict=True):
                end = min(begin + length, config.frames)
                row[number[unit.symbol], begin:end] = 1
                if unit.stress:
                    row[count + unit.stress - 1, begin:end] = 1
                row[count + 2, begin:end] = (np.arange(end - begin) + 0.5) / max(length, 1)
                row[count + 3, begin:end] = np.log1p(length) / 3
                begin = end
            row[number[EDGE], begin:] = 1
            row[-1] = 1
        return Condition(field=torch.from_numpy(field))

    reads_files = False  # a text is the value itself

    def parse(self, text: str) -> Utterance:
        return self.predict(pronounce_text(text))

    def format(self, value: Utterance) -> str:
        digest = hashlib.sha256(repr(value.frames).encode()).hexdigest()[:8]
        return f"/{value.phonemes}/ in {sum(value.frames)} frames {digest}"

    def pack(self, value: Utterance, save_blob: Callable[[bytes, str], str]) -> Any:
        return {"phonemes": value.phonemes, "frames": list(value.frames)}

    def unpack(self, stored: Any, load_blob: Callable[[str], bytes]) -> Utterance:
        return Utterance(str(stored["phonemes"]), tuple(int(n) for n in stored["frames"]))
