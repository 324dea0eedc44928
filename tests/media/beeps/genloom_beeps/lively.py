"""Check that a melody moves."""

from dataclasses import dataclass

import numpy as np

from genloom.rate.checks import CheckResult
from genloom_beeps import Melody

media = ("beeps",)


@dataclass(frozen=True)
class Config:
    min_share: float = 0.25  # of the notes that differ from the note before


def check(value: Melody, config: Config) -> CheckResult:
    share = float(np.mean(np.diff(value) != 0)) if len(value) > 1 else 0.0
    score = min(share / config.min_share, 1.0)
    return CheckResult(score, score == 1, f"{share:.0%} of its notes differ from the note before")
