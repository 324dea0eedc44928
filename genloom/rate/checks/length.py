"""Whether a text is as long as it should be."""

import re
from dataclasses import dataclass
from typing import Literal

from genloom.rate.checks import Verdict

_ENDS = re.compile(r"[.!?…]+(?=\s|$)|[。！？]+")


@dataclass(frozen=True)
class Config:
    least: int = 0
    most: int = 0  # 0: no bound
    unit: Literal["words", "characters", "sentences", "lines"] = "words"

    def __post_init__(self) -> None:
        if self.least < 0 or self.most < 0 or 0 < self.most < self.least:
            raise ValueError(f"A length goes from least to most, 0 or more each, got {self.least} and {self.most}.")


def check(text: str, config: Config) -> Verdict:
    """The score outside the bounds is the quotient of the length and the bound that it misses."""
    length = measured(text, config.unit)
    said = f"{length} {config.unit}"
    if length < config.least:
        return Verdict(length / config.least, False, f"{said}, fewer than {config.least}")
    if config.most and length > config.most:
        return Verdict(config.most / length, False, f"{said}, more than {config.most}")
    return Verdict(1.0, True, said)


def measured(text: str, unit: str) -> int:
    if unit == "words":
        return len(text.split())
    if unit == "lines":
        return len([line for line in text.splitlines() if line.strip()])
    if unit == "sentences":
        return len([part for part in _ENDS.split(text) if part.strip()])
    return len(text)
