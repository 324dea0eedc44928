"""Machine checks: each module here scores one output of a medium, says whether it passes, and why.

A check defines `Config`, `check(value, config)` and `media`, the names of the media whose values it takes
("text" without it). With `parse(text) -> Config`, it has a syntax of its own for settings written in a line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genloom import plugins
from genloom.errors import GenloomError
from genloom.settings import parse_settings


@dataclass(frozen=True)
class CheckResult:
    """The verdict on one output; the score is from 0 to 1, and 1 if it passes."""

    score: float
    has_passed: bool
    reason: str


def find_check(name: str, medium: str) -> Any:
    """Return the module of a check; GenloomError for an unknown one, and for a check of another medium."""
    module = plugins.find_part("check", name)
    media: tuple[str, ...] = getattr(module, "media", ("text",))
    if medium not in media:
        raise GenloomError("rate.check_of_other_medium", check=name, media=" and ".join(media), medium=medium)
    return module


def build_check(name: str, settings: Mapping[str, Any], medium: str = "text") -> Callable[[Any], CheckResult]:
    """Return a check, built in or from a package, with its settings, for values of a medium.

    Raises GenloomError for an unknown check or setting, and for a check of another medium.
    """
    module = find_check(name, medium)
    config = parse_settings(module.Config, settings, f"check.{name}")
    return lambda value: module.check(value, config)
