"""Whether what a picture shows has a thick dark outline."""

from dataclasses import dataclass

import numpy as np

from genloom.media.image.styling import ink
from genloom.rate.checks import Verdict

takes = np.ndarray


@dataclass(frozen=True)
class Config:
    least: float = 0.05  # thickness that passes, as a share of the shorter side
    dark: int = 90  # of 255, what every colour of a dark line stays below


def check(picture: np.ndarray, config: Config) -> Verdict:
    """The score is the mean thickness of dark lines over that which passes, times the share of the edge they cover."""
    thing = ink(picture) > 0
    edge = thing & ~eroded(thing)
    if not edge.any():
        return Verdict(0.0, False, "nothing stands out in it")
    dark = thing & (picture.max(2) <= config.dark)
    covered = float((edge & widened(dark)).sum() / edge.sum())
    # A line of length l and thickness t has the area l t and, where t is a few pixels, an edge of 2 l.
    around = int((dark & ~eroded(dark)).sum())
    thick = 2 * float(dark.sum()) / max(around, 1) / min(thing.shape) if around else 0.0
    score = covered * min(thick / config.least, 1.0)
    return Verdict(score, score >= 0.9, f"dark lines {thick:.1%} of a side thick cover {covered:.0%} of its edge")


def eroded(mask: np.ndarray) -> np.ndarray:
    """What of a mask has all four neighbours in it; what lies outside of the picture counts as in it."""
    padded = np.pad(mask, 1, constant_values=True)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def widened(mask: np.ndarray) -> np.ndarray:
    return ~eroded(~mask)
