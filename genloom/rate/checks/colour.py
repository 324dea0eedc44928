"""Check that an image is mostly of one hue."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from genloom.rate.checks import CheckResult

media = ("image",)
HUES = {"red": 0, "orange": 30, "yellow": 60, "green": 120, "cyan": 180, "blue": 225, "purple": 280, "pink": 325}
MIN_CHROMA = 0.02  # mean chroma below which an image counts as colourless


@dataclass(frozen=True)
class Config:
    hue: Literal["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"] = "blue"
    hue_tolerance: float = 40.0  # degrees to either side that count as the hue
    min_share: float = 0.5  # share of the colour that passes


def check(picture: np.ndarray, config: Config) -> CheckResult:
    """Score the share of the hue over `min_share`, each pixel of `picture` (H W 3) weighted by its chroma."""
    hues, chroma = compute_hue_and_chroma(picture)
    distance = np.abs((hues - HUES[config.hue] + 180) % 360 - 180)
    share = float((chroma * (distance <= config.hue_tolerance)).sum() / max(chroma.sum(), MIN_CHROMA * chroma.size))
    return CheckResult(
        min(share / config.min_share, 1.0), share >= config.min_share, f"{share:.0%} of its colour is {config.hue}"
    )


def compute_hue_and_chroma(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the hue in degrees and the chroma from 0 to 1 of every pixel (Smith 1978)."""
    rgb = picture.astype(np.float32) / 255
    high, chroma = rgb.max(2), np.ptp(rgb, axis=2)
    red, green, blue = np.moveaxis(rgb, 2, 0)
    divisor = np.where(chroma > 0, chroma, 1)
    sixths = np.select(
        [high == red, high == green],
        [(green - blue) / divisor, (blue - red) / divisor + 2],
        (red - green) / divisor + 4,
    )
    return sixths * 60 % 360, chroma
