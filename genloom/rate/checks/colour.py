"""Whether a picture is mostly of one hue."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from genloom.rate.checks import Verdict

takes = np.ndarray
HUES = {"red": 0, "orange": 30, "yellow": 60, "green": 120, "cyan": 180, "blue": 225, "purple": 280, "pink": 325}
FAINT = 0.02  # mean chroma below which a picture has no colour to speak of


@dataclass(frozen=True)
class Config:
    name: Literal["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"] = "blue"
    width: float = 40.0  # degrees to either side that still are that hue
    least: float = 0.5  # share of all colour that passes


def check(picture: np.ndarray, config: Config) -> Verdict:
    """The score is the share of the hue in all colour, each pixel of `picture` (H, W, 3) by its chroma; 1 passes."""
    hues, chroma = hue(picture)
    away = np.abs((hues - HUES[config.name] + 180) % 360 - 180)
    found = float((chroma * (away <= config.width)).sum() / max(chroma.sum(), FAINT * chroma.size))
    return Verdict(min(found / config.least, 1.0), found >= config.least, f"{found:.0%} of its colour is {config.name}")


def hue(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every pixel the hue in degrees and the chroma from 0 to 1 (Smith 1978)."""
    rgb = picture.astype(np.float32) / 255
    high, chroma = rgb.max(2), np.ptp(rgb, axis=2)
    red, green, blue = np.moveaxis(rgb, 2, 0)
    by = np.where(chroma > 0, chroma, 1)
    sixths = np.select(
        [high == red, high == green],
        [(green - blue) / by, (blue - red) / by + 2],
        (red - green) / by + 4,
    )
    return sixths * 60 % 360, chroma
