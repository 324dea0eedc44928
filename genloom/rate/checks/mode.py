"""Check that a tune is in a major or in a minor key."""

from dataclasses import dataclass

from genloom.errors import GenloomError
from genloom.media.music.score import Score, find_key
from genloom.rate.checks import CheckResult

media = ("music",)


@dataclass(frozen=True)
class Config:
    mode: str = "major"

    def __post_init__(self) -> None:
        if self.mode not in ("major", "minor"):
            raise GenloomError("music.unknown_mode", value=self.mode)


def check(score: Score, config: Config) -> CheckResult:
    """Compare the key of the notes that sound (Krumhansl and Kessler 1982), not the one that the score names."""
    key = find_key(score)
    has_passed = key is not None and key.mode == config.mode
    return CheckResult(float(has_passed), has_passed, f"it sounds in {key}" if key else "it has no pitched notes")
