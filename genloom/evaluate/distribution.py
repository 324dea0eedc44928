"""What is measured of a model whose outputs are compared in features, as pictures are, beside held-out ones.

Shape letters: N made and as many held-out values, M held-out or training values, D features.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.evaluate.likelihood import IntervalEstimate, estimate_ratio
from genloom.metrics.diversity import Diversity, measure_diversity
from genloom.metrics.frechet import frechet_distance, kernel_distance
from genloom.metrics.precision_recall import PrecisionRecall, measure_precision_recall

Features = NDArray[np.floating]

MIN_DISTANCE_SAMPLES = 20  # values, of which a distance says something
_NUM_BLOCKS = 10  # that two models are paired in


@dataclass(frozen=True)
class DistributionDistance:
    """How far apart two sets of equal size lie."""

    count: int  # on either side
    frechet: float
    kernel: float


@dataclass(frozen=True)
class Reconstruction:
    """What an autoencoder loses: decoded values beside those that were encoded."""

    psnr: float  # decibels, mean over values
    frechet: float  # rFID


@dataclass(frozen=True)
class DistributionMetrics:
    """One model's outputs on held-out captions beside the held-out values themselves."""

    model: str
    dataset: str  # a digest and split, so that only like is compared with like
    loss: float  # the objective's mean on held-out values; comparable within one objective and codec only
    distance: DistributionDistance
    train_distance: (
        DistributionDistance | None
    )  # of training values to the same held-out ones: what a perfect model would show
    precision_recall: PrecisionRecall
    generated_diversity: Diversity
    held_out_diversity: Diversity
    reconstruction: Reconstruction | None  # None where coding loses nothing

    def to_report(self) -> dict[str, Any]:
        """The measures as JSON values."""
        return asdict(self)


def measure_distance(a_ND: Features, b_MD: Features) -> DistributionDistance:
    """Of the first of each, as many as both have; raises ValueError where these are too few."""
    count = min(len(a_ND), len(b_MD))
    if count < MIN_DISTANCE_SAMPLES:
        raise ValueError(
            f"A distance of {count} things to {count} says nothing. Measure {MIN_DISTANCE_SAMPLES} or more."
        )
    a_features, b_features = a_ND[:count], b_MD[:count]
    return DistributionDistance(
        count, frechet_distance(a_features, b_features), kernel_distance(a_features, b_features)
    )


def measure_distribution(
    model: str,
    dataset: str,
    loss: float,
    generated_ND: Features,
    held_out_ND: Features,
    train_MD: Features,
    reconstruction: Reconstruction | None,
) -> DistributionMetrics:
    """Measures what a model made of held-out captions, N of them, against the held-out values and training ones."""
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
    )


def compare_distances(first_ND: Features, second_ND: Features, held_out_ND: Features) -> IntervalEstimate:
    """How much nearer, in kernel distance, the second model's values lie to the held-out ones; below zero: nearer.

    The interval is over blocks of captions, in which both models are measured against the same held-out values.
    """
    blocks = np.array_split(np.arange(len(held_out_ND)), _NUM_BLOCKS)
    gains = [
        kernel_distance(second_ND[block], held_out_ND[block]) - kernel_distance(first_ND[block], held_out_ND[block])
        for block in blocks
    ]
    return estimate_ratio(np.array(gains), np.ones(len(gains)))


def compute_psnr(a_images: Sequence[NDArray[np.uint8]], b_images: Sequence[NDArray[np.uint8]]) -> float:
    """Peak signal-to-noise ratio in decibels, the mean over pairs of values from 0 to 255; equal pairs count as 100."""
    errors = [np.square(a.astype(np.float64) - b).mean() for a, b in zip(a_images, b_images, strict=True)]
    return float(np.mean([min(100.0, 10 * np.log10(255**2 / max(error, 1e-12))) for error in errors]))
