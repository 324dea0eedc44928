"""Whether a text is valid JSON with the keys that were asked for."""

import json
import re
from dataclasses import dataclass
from typing import Literal

from genloom.rate.checks import Verdict

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n\s*```\s*", re.DOTALL)


@dataclass(frozen=True)
class Config:
    kind: Literal["any", "object", "array"] = "any"
    keys: tuple[str, ...] = ()  # that an object has to have
    fenced: bool = True  # a code block around it is forgiven


def check(text: str, config: Config) -> Verdict:
    """The score of broken JSON is how far it goes well; of JSON that lacks keys, half, and their share of the rest."""
    fence = _FENCE.fullmatch(text) if config.fenced else None
    body = fence.group(1) if fence else text
    try:
        value = json.loads(body, parse_constant=_refused)
    except json.JSONDecodeError as error:
        return Verdict(
            0.5 * error.pos / max(len(body), 1), False, f"no JSON from character {error.pos} on: {error.msg}"
        )
    except (ValueError, RecursionError) as error:  # NaN, numbers of thousands of digits, nesting without end
        return Verdict(0.0, False, f"no JSON: {error}")
    wanted = {"any": object, "object": dict, "array": list}[config.kind]
    if not isinstance(value, wanted):
        return Verdict(0.5, False, f"JSON, but no {config.kind}")
    missing = [key for key in config.keys if not isinstance(value, dict) or key not in value]
    if missing:
        return Verdict(1 - 0.5 * len(missing) / len(config.keys), False, f"JSON without {', '.join(missing)}")
    return Verdict(1.0, True, "valid JSON")


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
