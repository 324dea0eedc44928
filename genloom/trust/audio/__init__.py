"""Copies of training sounds: the longest stretch with the same spectral peaks, however loud and in any format.

Also the mark in the spectrum of speech, for voices that draw no noise that could carry one.
"""

import json
from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING

import numpy as np

from genloom.media.audio.sound import Sound
from genloom.store import files
from genloom.trust.audio.landmark_index import KIND, LandmarkIndex, SharedStretch, find_stretches, open_index
from genloom.trust.copies import NUM_MATCHES, Chance, CopyReport, Match, TrainingData, read_numbered
from genloom.types import Item

if TYPE_CHECKING:
    from genloom.trust.marks import ValueMark

UNIT = "millisecond"
CHANCE_QUANTILE = 0.95


def find_shared(values: Sequence[Sound], data: TrainingData) -> list[CopyReport]:
    """Find the training sounds that share the longest stretches with each value."""
    indexes = [open_index(data, dataset) for dataset in data.datasets]
    chance = measure_chance(data, indexes)
    return [CopyReport(tuple(list_matches(value, data, indexes)), chance, UNIT) for value in values]


def find_value_marks(value: Sound, noise_keys: Sequence[int]) -> "list[ValueMark]":
    """Return the evidence of each noise key in the spectrum of a sound."""
    from genloom.speech.spectral_mark import find_spectral_marks
    from genloom.trust.marks import ValueMark
    from genloom.trust.signal_marks import compute_log_tail

    return [
        ValueMark(min(compute_log_tail(each.score) + log(each.num_tests), 0.0), each.num_cells)
        for each in find_spectral_marks(value, noise_keys)
    ]


def list_matches(value: Sound, data: TrainingData, indexes: Sequence[LandmarkIndex]) -> list[Match]:
    """Return the matches of a sound in all data sets, the longest first."""
    matches = []
    for dataset, index in zip(data.datasets, indexes, strict=True):
        stretches = {each.number: each for each in find_stretches(index, value, NUM_MATCHES)}
        items = read_numbered(dataset, stretches) if stretches else []
        for number, item in zip(sorted(stretches), items, strict=True):
            matches.append(build_stretch_match(value, stretches[number], item))
    return sorted(matches, key=lambda match: (-match.is_identical, -(match.length or 0)))[:NUM_MATCHES]


def build_stretch_match(value: Sound, stretch: SharedStretch, item: Item) -> Match:
    return Match.from_item(
        item,
        length=to_milliseconds(stretch.seconds),
        share=min(stretch.seconds / value.seconds, 1.0),
        place=f"{stretch.begin:.2f} s from its beginning, and {stretch.training_begin:.2f} s in the training sound",
        is_identical=item.value == value,
    )


def measure_chance(data: TrainingData, indexes: Sequence[LandmarkIndex]) -> Chance | None:
    """Return the stretches that held-out sounds share with the training sounds; computed once for a data set."""
    path = data.get_chance_path(KIND)
    if path.is_file():
        stored = json.loads(path.read_text())
        return Chance(**stored) if stored else None
    lengths = []
    for item in data.sample_held_out():
        stretches = [each for index in indexes for each in find_stretches(index, item.value, 1)]
        lengths.append(to_milliseconds(max((each.seconds for each in stretches), default=0.0)))
    chance = None
    if lengths:
        chance = Chance(len(lengths), float(np.median(lengths)), float(np.quantile(lengths, CHANCE_QUANTILE)))
    files.write_atomic(path, json.dumps(chance and chance.to_json()))
    return chance


def to_milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
