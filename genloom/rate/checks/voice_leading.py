"""Check that the voices of a tune keep the rules of voice leading."""

from collections import Counter
from dataclasses import dataclass

from genloom.media.music.score import Score
from genloom.media.music.theory import find_faults
from genloom.rate.checks import CheckResult

media = ("music",)


@dataclass(frozen=True)
class Config:
    max_faults: float = 0.25  # maximum number of faults a bar


def check(score: Score, config: Config) -> CheckResult:
    """Score the allowed over the actual number of faults a bar: parallels, crossings, ranges, leaps."""
    faults = find_faults(score)
    rate = len(faults) / max(len(score.bars), 1)
    counts = ", ".join(f"{count} {rule}" for rule, count in Counter(fault.rule for fault in faults).most_common(3))
    result = 1.0 if rate <= config.max_faults else config.max_faults / rate
    return CheckResult(result, rate <= config.max_faults, counts or "no faults")
