"""Check that the subject of an image is centred."""

from dataclasses import dataclass

import numpy as np

from genloom.media.image.style_features import compute_foreground
from genloom.rate.checks import CheckResult

media = ("image",)


@dataclass(frozen=True)
class Config:
    max_offset: float = 0.05  # maximum offset of the centre of mass that passes, as a share of a side


def check(picture: np.ndarray, config: Config) -> CheckResult:
    """Score 1 within `max_offset`, falling to 0 at half a side; a blank image scores 0. `picture` is H W 3."""
    ink_HW = compute_foreground(picture)
    if ink_HW.sum() < 1e-3 * ink_HW.size:
        return CheckResult(0.0, False, "nothing stands out from the background")
    row_offsets, column_offsets = (np.arange(size) / max(size - 1, 1) - 0.5 for size in ink_HW.shape)
    offset_y = float((ink_HW.sum(1) * row_offsets).sum() / ink_HW.sum())
    offset_x = float((ink_HW.sum(0) * column_offsets).sum() / ink_HW.sum())
    offset = (offset_y**2 + offset_x**2) ** 0.5
    score = (
        1.0 if offset <= config.max_offset else max(1 - (offset - config.max_offset) / (0.5 - config.max_offset), 0.0)
    )
    return CheckResult(score, offset <= config.max_offset, f"its centre is off by {offset:.0%} of a side")
