"""Copies in a medium without a part of its own: values are compared by features, or by all their bytes."""

from collections.abc import Sequence
from typing import Any

from genloom.trust.copies import CopyReport, TrainingData
from genloom.trust.shared_features import find_shared_features


def find_shared(values: Sequence[Any], data: TrainingData) -> list[CopyReport]:
    """Find the training items nearest to each value in the features of the medium; without any, the identical ones."""
    return find_shared_features(values, data)
