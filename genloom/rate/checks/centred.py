"""Whether what a picture shows stands in its middle."""

from dataclasses import dataclass

import numpy as np

from genloom.media.image.styling import ink
from genloom.rate.checks import Verdict

takes = np.ndarray


@dataclass(frozen=True)
class Config:
    most: float = 0.05  # how far from the middle passes, as a share of a side


def check(picture: np.ndarray, config: Config) -> Verdict:
    """The score falls to 0 where the middle of what stands out from the ground lies half a side off; a blank has 0."""
    ink_HW = ink(picture)
    if ink_HW.sum() < 1e-3 * ink_HW.size:
        return Verdict(0.0, False, "nothing stands out in it")
    rows, columns = (np.arange(size) / max(size - 1, 1) - 0.5 for size in ink_HW.shape)
    down = float((ink_HW.sum(1) * rows).sum() / ink_HW.sum())
    right = float((ink_HW.sum(0) * columns).sum() / ink_HW.sum())
    off = (down**2 + right**2) ** 0.5
    score = 1.0 if off <= config.most else max(1 - (off - config.most) / (0.5 - config.most), 0.0)
    return Verdict(score, off <= config.most, f"its middle is {off:.0%} of a side off")
