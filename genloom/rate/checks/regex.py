"""Check that a text matches a pattern, or does not."""

import re
from dataclasses import dataclass

from genloom.errors import GenloomError
from genloom.rate.checks import CheckResult

media = ("text",)


@dataclass(frozen=True)
class Config:
    pattern: str
    is_full_match: bool = False  # match the whole text, not a part of it
    is_absent: bool = False  # the text must not match
    ignore_case: bool = False

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise GenloomError("rate.bad_pattern", pattern=self.pattern, reason=error) from None


def check(text: str, config: Config) -> CheckResult:
    flags = re.IGNORECASE if config.ignore_case else 0
    match_pattern = re.fullmatch if config.is_full_match else re.search
    match = match_pattern(config.pattern, text.strip() if config.is_full_match else text, flags)
    has_passed = (match is None) == config.is_absent
    reason = f"{match.group()[:60]!r} is at {match.start()}" if match else f"nothing matches {config.pattern!r}"
    return CheckResult(float(has_passed), has_passed, reason)
