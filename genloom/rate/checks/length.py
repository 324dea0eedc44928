"""Check the length of a text."""

import re
from dataclasses import dataclass
from typing import Literal

from genloom.errors import GenloomError
from genloom.rate.checks import CheckResult

_SENTENCE_ENDS = re.compile(r"[.!?…]+(?=\s|$)|[。！？]+")
media = ("text",)


@dataclass(frozen=True)
class Config:
    min_length: int = 0
    max_length: int = 0  # 0: no bound
    unit: Literal["words", "characters", "sentences", "lines"] = "words"

    def __post_init__(self) -> None:
        if self.min_length < 0 or self.max_length < 0 or 0 < self.max_length < self.min_length:
            raise GenloomError("rate.bad_length_range", min_length=self.min_length, max_length=self.max_length)


def check(text: str, config: Config) -> CheckResult:
    """Score outside the bounds by the ratio of the length to the violated bound, below 1."""
    length = measure_length(text, config.unit)
    message = f"{length} {config.unit}"
    if length < config.min_length:
        return CheckResult(length / config.min_length, False, f"{message}, fewer than {config.min_length}")
    if config.max_length and length > config.max_length:
        return CheckResult(config.max_length / length, False, f"{message}, more than {config.max_length}")
    return CheckResult(1.0, True, message)


def measure_length(text: str, unit: str) -> int:
    if unit == "words":
        return len(text.split())
    if unit == "lines":
        return len([line for line in text.splitlines() if line.strip()])
    if unit == "sentences":
        return len([part for part in _SENTENCE_ENDS.split(text) if part.strip()])
    return len(text)
