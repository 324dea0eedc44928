"""Whether what a picture shows has a thick dark outline."""

from dataclasses import dataclass

import numpy as np

from genloom.media.image.style_features import compute_foreground
from genloom.rate.checks import CheckResult

value_type = np.ndarray


@dataclass(frozen=True)
class Config:
    min_thickness: float = 0.05  # thickness that passes, as a share of the shorter side
    dark_threshold: int = 90  # of 255, what every colour of a dark line stays below


def check(picture: np.ndarray, config: Config) -> CheckResult:
    """The score is the mean thickness of dark lines over that which passes, times the share of the edge they cover."""
    foreground = compute_foreground(picture) > 0
    edge = foreground & ~erode(foreground)
    if not edge.any():
        return CheckResult(0.0, False, "nothing stands out in it")
    dark_lines = foreground & (picture.max(2) <= config.dark_threshold)
    coverage = float((edge & dilate(dark_lines)).pooled_proj() / edge.pooled_proj())
    # A line of length l and thickness t has the area l t and, where t is a few pixels, an edge of 2 l.
    perimeter = int((dark_lines & ~erode(dark_lines)).pooled_proj())
    thickness = 2 * float(dark_lines.pooled_proj()) / max(perimeter, 1) / min(foreground.shape) if perimeter else 0.0
    score = coverage * min(thickness / config.min_thickness, 1.0)
    return CheckResult(
        score, score >= 0.9, f"dark lines {thickness:.1%} of a side thick cover {coverage:.0%} of its edge"
    )


def erode(mask: np.ndarray) -> np.ndarray:
    """What of a mask has all four neighbours in it; what lies outside of the picture counts as in it."""
    padded = np.pad(mask, 1, constant_values=True)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def dilate(mask: np.ndarray) -> np.ndarray:
    return ~erode(~mask)
