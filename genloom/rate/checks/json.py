"""Whether a text is valid JSON with the keys that were asked for."""

import json
import re
from dataclasses import dataclass
from typing import Literal

from genloom.rate.checks import CheckResult

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n\s*```\s*", re.DOTALL)


@dataclass(frozen=True)
class Config:
    kind: Literal["any", "object", "array"] = "any"
    keys: tuple[str, ...] = ()  # that an object has to have
    allow_fence: bool = True  # a code block around it is forgiven


def check(text: str, config: Config) -> CheckResult:
    """The score of broken JSON is how far it goes well; of JSON that lacks keys, half, and their share of the rest."""
    fence_match = _FENCE.fullmatch(text) if config.allow_fence else None
    body = fence_match.group(1) if fence_match else text
    try:
        value = json.loads(body, parse_constant=_reject_constant)
    except json.JSONDecodeError as error:
        return CheckResult(
            0.5 * error.pos / max(len(body), 1), False, f"no JSON from character {error.pos} on: {error.msg}"
        )
    except (ValueError, RecursionError) as error:  # NaN, numbers of thousands of digits, nesting without end
        return CheckResult(0.0, False, f"no JSON: {error}")
    expected_type = {"any": object, "object": dict, "array": list}[config.kind]
    if not isinstance(value, expected_type):
        return CheckResult(0.5, False, f"JSON, but no {config.kind}")
    missing = [key for key in config.keys if not isinstance(value, dict) or key not in value]
    if missing:
        return CheckResult(1 - 0.5 * len(missing) / len(config.keys), False, f"JSON without {', '.join(missing)}")
    return CheckResult(1.0, True, "valid JSON")


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
