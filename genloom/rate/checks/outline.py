"""Check that the subject of an image has a thick dark outline."""

from dataclasses import dataclass

import numpy as np

from genloom.media.image.style_features import compute_foreground
from genloom.rate.checks import CheckResult

media = ("image",)


@dataclass(frozen=True)
class Config:
    min_thickness: float = 0.05  # minimum thickness, as a share of the shorter side
    dark_threshold: int = 90  # of 255; every channel of a dark pixel is at most this


def check(picture: np.ndarray, config: Config) -> CheckResult:
    """Score the mean thickness of dark lines over the minimum, times the share of the edge they cover."""
    foreground = compute_foreground(picture) > 0
    edge = foreground & ~erode_mask(foreground)
    if not edge.any():
        return CheckResult(0.0, False, "nothing stands out from the background")
    dark_lines = foreground & (picture.max(2) <= config.dark_threshold)
    coverage = float((edge & dilate_mask(dark_lines)).sum() / edge.sum())
    # A line of length l and thickness t has the area l t and, if t is a few pixels, a perimeter of 2 l.
    perimeter = int((dark_lines & ~erode_mask(dark_lines)).sum())
    thickness = 2 * float(dark_lines.sum()) / max(perimeter, 1) / min(foreground.shape) if perimeter else 0.0
    score = coverage * min(thickness / config.min_thickness, 1.0)
    return CheckResult(
        score, score >= 0.9, f"dark lines {thickness:.1%} of a side thick cover {coverage:.0%} of its edge"
    )


def erode_mask(mask: np.ndarray) -> np.ndarray:
    """Keep the pixels whose four neighbours are in the mask; outside the image counts as in it."""
    padded = np.pad(mask, 1, constant_values=True)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def dilate_mask(mask: np.ndarray) -> np.ndarray:
    return ~erode_mask(~mask)
