"""Machine judges: each file here answers, of one text, how well it does, whether it passes, and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genloom import plugins
from genloom.settings import made


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one text; the score is from 0 to 1, and 1 where it passes."""

    score: float
    passed: bool
    reason: str


def judge(name: str, settings: Mapping[str, Any]) -> Callable[[str], Verdict]:
    """The judge of that name, built in or from a package, with its settings.

    Raises ValueError for a judge that does not exist, and for settings that it does not have or cannot take.
    """
    module = plugins.find("check", name)
    config = made(module.Config, settings, f"check.{name}")
    return lambda text: module.check(text, config)
