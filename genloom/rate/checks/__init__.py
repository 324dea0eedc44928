"""Machine judges: each file here answers, of one text or picture, how well it does, whether it passes, and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genloom import plugins
from genloom.settings import parse


@dataclass(frozen=True)
class CheckResult:
    """What a judge says of one output; the score is from 0 to 1, and 1 where it passes."""

    score: float
    has_passed: bool
    reason: str


def build_check(name: str, settings: Mapping[str, Any]) -> Callable[[Any], CheckResult]:
    """The judge of that name, built in or from a package, with its settings.

    It judges values of the type that its file names as `takes`, or else texts. Raises ValueError for a judge that does
    not exist, for settings that it does not have or cannot take, and, when it is asked, for what it does not judge.
    """
    module = plugins.find_part("check", name)
    config = parse(module.Config, settings, f"check.{name}")
    value_type = getattr(module, "value_type", str)

    def run_check(value: Any) -> CheckResult:
        if not isinstance(value, value_type):
            raise ValueError(
                f"The check {name!r} judges {'text' if value_type is str else 'pictures'}: choose another one."
            )
        return module.check(value, config)

    return run_check
