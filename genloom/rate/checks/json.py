"""Check that a text is valid JSON with the required keys."""

import json
import re
from dataclasses import dataclass
from typing import Literal

from genloom.rate.checks import CheckResult

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n\s*```\s*", re.DOTALL)
media = ("text",)


@dataclass(frozen=True)
class Config:
    kind: Literal["any", "object", "array"] = "any"
    keys: tuple[str, ...] = ()  # required keys of an object
    allow_fence: bool = True  # accept it inside a code block


def check(text: str, config: Config) -> CheckResult:
    """Score invalid JSON by half the share that parses; with missing keys by a half plus half the share present."""
    fence_match = _FENCE.fullmatch(text) if config.allow_fence else None
    body = fence_match.group(1) if fence_match else text
    try:
        value = json.loads(body, parse_constant=_reject_constant)
    except json.JSONDecodeError as error:
        return CheckResult(
            0.5 * error.pos / max(len(body), 1), False, f"not JSON from character {error.pos} on: {error.msg}"
        )
    except (ValueError, RecursionError) as error:  # NaN, numbers with thousands of digits, endless nesting
        return CheckResult(0.0, False, f"not JSON: {error}")
    expected_type = {"any": object, "object": dict, "array": list}[config.kind]
    if not isinstance(value, expected_type):
        return CheckResult(0.5, False, f"JSON, but not an {config.kind}")
    missing = [key for key in config.keys if not isinstance(value, dict) or key not in value]
    if missing:
        return CheckResult(1 - 0.5 * len(missing) / len(config.keys), False, f"JSON without {', '.join(missing)}")
    return CheckResult(1.0, True, "valid JSON")


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
