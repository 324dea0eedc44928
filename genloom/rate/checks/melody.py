"""Check that the melodies of a tune move in steps, and that it has few notes."""

from dataclasses import dataclass

from genloom.media.music.score import Score
from genloom.media.music.theory import count_notes_per_quarter, measure_stepwise
from genloom.rate.checks import CheckResult

media = ("music",)


@dataclass(frozen=True)
class Config:
    min_steps: float = 0.0  # minimum share of intervals of up to two semitones
    max_notes: float = 0.0  # maximum number of notes a quarter note, in all parts together; 0: no limit


def check(score: Score, config: Config) -> CheckResult:
    """Score the share of steps over the minimum, times the allowed over the actual number of notes."""
    steps, notes = measure_stepwise(score), count_notes_per_quarter(score)
    result = min(steps / config.min_steps, 1.0) if config.min_steps else 1.0
    if config.max_notes:
        result *= min(config.max_notes / max(notes, 1e-9), 1.0)
    return CheckResult(result, result >= 1, f"{steps:.0%} steps, {notes:.1f} notes a quarter")
