"""What is measured of a model whose outputs are compared in features, as pictures are, beside held-out ones.

Shape letters: N made and as many held-out values, M held-out or training values, D features.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.evaluate.diversity import Diversity, diversity
from genloom.evaluate.frechet import frechet_distance, kernel_distance
from genloom.evaluate.likelihood import Estimate, ratio
from genloom.evaluate.manifold import Manifold, manifold

Features = NDArray[np.floating]

LEAST = 20  # values, of which a distance says something
_BLOCKS = 10  # that two models are paired in


@dataclass(frozen=True)
class Distance:
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
class Appearance:
    """One model's outputs on held-out captions beside the held-out values themselves."""

    model: str
    dataset: str  # a digest and split, so that only like is compared with like
    loss: float  # the objective's mean on held-out values; comparable within one objective and codec only
    distance: Distance
    real: Distance | None  # of training values to the same held-out ones: what a perfect model would show
    manifold: Manifold
    made: Diversity
    held: Diversity
    reconstruction: Reconstruction | None  # None where coding loses nothing

    def report(self) -> dict[str, Any]:
        """The measures as JSON values."""
        return asdict(self)


def distance(one_ND: Features, other_MD: Features) -> Distance:
    """Of the first of each, as many as both have; raises ValueError where these are too few."""
    count = min(len(one_ND), len(other_MD))
    if count < LEAST:
        raise ValueError(f"A distance of {count} things to {count} says nothing. Measure {LEAST} or more.")
    one, other = one_ND[:count], other_MD[:count]
    return Distance(count, frechet_distance(one, other), kernel_distance(one, other))


def appearance(
    model: str,
    dataset: str,
    loss: float,
    made_ND: Features,
    held_ND: Features,
    train_MD: Features,
    reconstruction: Reconstruction | None,
) -> Appearance:
    """Measures what a model made of held-out captions, N of them, against the held-out values and training ones."""
    return Appearance(
        model,
        dataset,
        loss,
        distance(made_ND, held_ND),
        distance(train_MD, held_ND) if len(train_MD) >= LEAST else None,
        manifold(held_ND, made_ND),
        diversity(made_ND),
        diversity(held_ND),
        reconstruction,
    )


def nearer(first_ND: Features, second_ND: Features, held_ND: Features) -> Estimate:
    """How much nearer, in kernel distance, the second model's values lie to the held-out ones; below zero: nearer.

    The interval is over blocks of captions, in which both models are measured against the same held-out values.
    """
    blocks = np.array_split(np.arange(len(held_ND)), _BLOCKS)
    gained = [
        kernel_distance(second_ND[some], held_ND[some]) - kernel_distance(first_ND[some], held_ND[some])
        for some in blocks
    ]
    return ratio(np.array(gained), np.ones(len(gained)))


def psnr(one: Sequence[NDArray[np.uint8]], other: Sequence[NDArray[np.uint8]]) -> float:
    """Peak signal-to-noise ratio in decibels, the mean over pairs of values from 0 to 255; equal pairs count as 100."""
    errors = [np.square(a.astype(np.float64) - b).mean() for a, b in zip(one, other, strict=True)]
    return float(np.mean([min(100.0, 10 * np.log10(255**2 / max(error, 1e-12))) for error in errors]))
