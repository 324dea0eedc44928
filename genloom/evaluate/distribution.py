"""Distribution metrics of models whose outputs are compared in features, as images are, against held-out values.

Shape letters: N generated and as many held-out values, M held-out or training values, D features.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError
from genloom.metrics.diversity import Diversity, measure_diversity
from genloom.metrics.frechet import frechet_distance, kernel_distance
from genloom.metrics.precision_recall import PrecisionRecall, measure_precision_recall
from genloom.metrics.statistics import IntervalEstimate, estimate_ratio

Features = NDArray[np.floating]

MIN_DISTANCE_SAMPLES = 20  # a distance between smaller sets is meaningless
_NUM_BLOCKS = 10  # of held-out values, for the paired comparison of two models


@dataclass(frozen=True)
class DistributionDistance:
    """Distance between two sets of equal size."""

    count: int  # on either side
    frechet: float
    kernel: float


@dataclass(frozen=True)
class Reconstruction:
    """Loss of an autoencoder: decoded values against the originals."""

    psnr: float | None  # decibels, mean over values; None for values that are not images
    frechet: float  # rFID


@dataclass(frozen=True)
class DistributionMetrics:
    """One model's outputs under the conditions of held-out values, compared with these values."""

    model: str
    dataset: str  # a digest and split, so that only measurements on the same values are compared
    loss: float  # the objective's mean on held-out values; comparable within one objective and codec only
    distance: DistributionDistance
    train_distance: DistributionDistance | None  # training to held-out values: what a perfect model would reach
    precision_recall: PrecisionRecall
    generated_diversity: Diversity
    held_out_diversity: Diversity
    reconstruction: Reconstruction | None  # None if the codec is lossless
    decoded_train_distance: DistributionDistance | None = None  # of training data through the codec: its share

    def to_json(self) -> dict[str, Any]:
        """Return the metrics as JSON values."""
        return asdict(self)


def measure_distance(a_ND: Features, b_MD: Features) -> DistributionDistance:
    """Measure the distance between equally many values of both sets; raises ValueError if there are too few."""
    count = min(len(a_ND), len(b_MD))
    if count < MIN_DISTANCE_SAMPLES:
        raise GenloomError("evaluate.too_few_for_distance", count=count, min_count=MIN_DISTANCE_SAMPLES)
    a, b = a_ND[:count], b_MD[:count]
    return DistributionDistance(count, frechet_distance(a, b), kernel_distance(a, b))


def measure_distribution(
    model: str,
    dataset: str,
    loss: float,
    generated_ND: Features,
    held_out_ND: Features,
    train_MD: Features,
    reconstruction: Reconstruction | None,
    decoded_train_MD: Features | None = None,
) -> DistributionMetrics:
    """Measure a model's outputs for N held-out conditions against the held-out values and training values.

    `decoded_train_MD` are the training values as the codec gives them back; None: it is lossless.
    """
    return DistributionMetrics(
        model,
        dataset,
        loss,
        measure_distance(generated_ND, held_out_ND),
        measure_distance(train_MD, held_out_ND) if len(train_MD) >= MIN_DISTANCE_SAMPLES else None,
        measure_precision_recall(held_out_ND, generated_ND),
        measure_diversity(generated_ND),
        measure_diversity(held_out_ND),
        reconstruction,
        measure_distance(decoded_train_MD, held_out_ND)
        if decoded_train_MD is not None and len(decoded_train_MD) >= MIN_DISTANCE_SAMPLES
        else None,
    )


def compare_distances(first_ND: Features, second_ND: Features, held_out_ND: Features) -> IntervalEstimate:
    """Return the second model's kernel distance to held-out values minus the first's; negative: the second is closer.

    The interval is over blocks of held-out values; in each, both models are measured against the same held-out values.
    """
    blocks = np.array_split(np.arange(len(held_out_ND)), _NUM_BLOCKS)
    differences = [
        kernel_distance(second_ND[block], held_out_ND[block]) - kernel_distance(first_ND[block], held_out_ND[block])
        for block in blocks
    ]
    return estimate_ratio(np.array(differences), np.ones(len(differences)))
