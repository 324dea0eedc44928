"""Whether a text holds a pattern, or is free of it."""

import re
from dataclasses import dataclass

from genloom.rate.checks import CheckResult


@dataclass(frozen=True)
class Config:
    pattern: str
    is_full_match: bool = False  # the text from end to end, not a part of it
    is_absent: bool = False  # the text must not hold it
    ignore_case: bool = False

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"{self.pattern!r} is no regular expression: {error}.") from None


def check(text: str, config: Config) -> CheckResult:
    flags = re.IGNORECASE if config.ignore_case else 0
    match_pattern = re.fullmatch if config.is_full_match else re.search
    match = match_pattern(config.pattern, text.strip() if config.is_full_match else text, flags)
    has_passed = (match is None) == config.is_absent
    reason = f"{match.group()[:60]!r} stands at {match.start()}" if match else f"nothing matches {config.pattern!r}"
    return CheckResult(float(has_passed), has_passed, reason)
