"""Machine judges: each file here answers, of one text or picture, how well it does, whether it passes, and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genloom import plugins
from genloom.settings import made


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one output; the score is from 0 to 1, and 1 where it passes."""

    score: float
    passed: bool
    reason: str


def judge(name: str, settings: Mapping[str, Any]) -> Callable[[Any], Verdict]:
    """The judge of that name, built in or from a package, with its settings.

    It judges values of the type that its file names as `takes`, or else texts. Raises ValueError for a judge that does
    not exist, for settings that it does not have or cannot take, and, when it is asked, for what it does not judge.
    """
    module = plugins.find("check", name)
    config = made(module.Config, settings, f"check.{name}")
    takes = getattr(module, "takes", str)

    def asked(value: Any) -> Verdict:
        if not isinstance(value, takes):
            raise ValueError(f"The check {name!r} judges {'text' if takes is str else 'pictures'}: choose another one.")
        return module.check(value, config)

    return asked
