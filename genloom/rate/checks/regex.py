"""Whether a text holds a pattern, or is free of it."""

import re
from dataclasses import dataclass

from genloom.rate.checks import Verdict


@dataclass(frozen=True)
class Config:
    pattern: str
    whole: bool = False  # the text from end to end, not a part of it
    absent: bool = False  # the text must not hold it
    ignore_case: bool = False

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"{self.pattern!r} is no regular expression: {error}.") from None


def check(text: str, config: Config) -> Verdict:
    flags = re.IGNORECASE if config.ignore_case else 0
    find = re.fullmatch if config.whole else re.search
    match = find(config.pattern, text.strip() if config.whole else text, flags)
    passed = (match is None) == config.absent
    where = f"{match.group()[:60]!r} stands at {match.start()}" if match else f"nothing matches {config.pattern!r}"
    return Verdict(float(passed), passed, where)
