"""Copies of training designs: the share of material in common, in any of the eight turns of a plane design."""

from collections.abc import Sequence

import numpy as np

from genloom.media.design.structure import Structure
from genloom.trust.copies import NUM_MATCHES, CopyReport, Match, TrainingData
from genloom.trust.design.overlap_index import find_nearest_designs, measure_chance
from genloom.types import Item


def find_shared(values: Sequence[Structure], data: TrainingData) -> list[CopyReport]:
    """Find the training designs with which each value has most material in common (intersection over union)."""
    chance = measure_chance(data)
    nearest = find_nearest_designs(values, data, NUM_MATCHES)
    return [
        CopyReport(tuple(build_overlap_match(value, item, overlap) for item, overlap in found), chance)
        for value, found in zip(values, nearest, strict=True)
    ]


def build_overlap_match(value: Structure, item: Item, overlap: float) -> Match:
    """Return a training design with the share of material that it has in common with a value."""
    return Match.from_item(item, similarity=overlap, is_identical=np.array_equal(item.value.levels, value.levels))
