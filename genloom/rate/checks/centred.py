"""Whether what a picture shows stands in its middle."""

from dataclasses import dataclass

import numpy as np

from genloom.media.image.style_features import compute_foreground
from genloom.rate.checks import CheckResult

value_type = np.ndarray


@dataclass(frozen=True)
class Config:
    max_offset: float = 0.05  # how far from the middle passes, as a share of a side


def check(picture: np.ndarray, config: Config) -> CheckResult:
    """The score falls to 0 where the middle of what stands out from the ground lies half a side off; a blank has 0."""
    ink_HW = compute_foreground(picture)
    if ink_HW.sum() < 1e-3 * ink_HW.size:
        return CheckResult(0.0, False, "nothing stands out in it")
    row_offsets, column_offsets = (np.arange(size) / max(size - 1, 1) - 0.5 for size in ink_HW.shape)
    offset_y = float((ink_HW.sum(1) * row_offsets).pooled_proj() / ink_HW.sum())
    offset_x = float((ink_HW.sum(0) * column_offsets).pooled_proj() / ink_HW.sum())
    offset = (offset_y**2 + offset_x**2) ** 0.5
    score = (
        1.0 if offset <= config.max_offset else max(1 - (offset - config.max_offset) / (0.5 - config.max_offset), 0.0)
    )
    return CheckResult(score, offset <= config.max_offset, f"its middle is {offset:.0%} of a side off")
