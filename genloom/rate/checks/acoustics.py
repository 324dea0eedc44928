"""Check measures of a sound: `acoustics:pitch=100..200 length<1 brightness>2000 attack<30 noise<0.1`."""

import re
from dataclasses import dataclass
from math import inf

from genloom.errors import GenloomError, find_nearest
from genloom.media.audio.measures import NAMES, UNITS, measure_sound
from genloom.media.audio.sound import Sound
from genloom.rate.checks import CheckResult

media = ("audio",)
NUMBER = r"-?\d+(?:\.\d+)?"
PATTERN = re.compile(rf"([a-z]+)(?:=({NUMBER})\.\.({NUMBER})|([<>])({NUMBER}))$")


@dataclass(frozen=True)
class Bounds:
    """A measure, and where it is to lie."""

    name: str
    low: float = -inf
    high: float = inf

    def score(self, value: float) -> float:
        """Return 1 inside, and outside the less the farther away, in shares of the bound."""
        if self.low <= value <= self.high and not (self.name == "pitch" and value == 0):
            return 1.0
        if self.name == "pitch" and value == 0:
            return 0.0
        bound = self.low if value < self.low else self.high
        return max(1 - abs(value - bound) / max(abs(bound), 1e-6), 0.0) * 0.99


@dataclass(frozen=True)
class Config:
    measures: str = "length<1"  # NAME<NUMBER, NAME>NUMBER or NAME=LOW..HIGH, with spaces between them

    def __post_init__(self) -> None:
        parse_bounds(self.measures)


def parse(text: str) -> Config:
    """Return the settings of `acoustics:TEXT`, where the text is the measures."""
    return Config(text) if text else Config()


def parse_bounds(text: str) -> list[Bounds]:
    """Return the bounds in a text; GenloomError for a measure that there is not, or no bounds."""
    bounds = []
    for word in text.split():
        found = PATTERN.match(word)
        if not found:
            raise GenloomError("audio.bad_bounds", value=word, names=", ".join(NAMES))
        name = found[1]
        if name not in NAMES:
            raise GenloomError("audio.unknown_measure", name=name, nearest=find_nearest(name, NAMES) or NAMES[0])
        if found[4]:
            limit = float(found[5])
            bounds.append(Bounds(name, high=limit) if found[4] == "<" else Bounds(name, low=limit))
        elif float(found[2]) > float(found[3]):
            raise GenloomError("audio.bad_bounds", value=word, names=", ".join(NAMES))
        else:
            bounds.append(Bounds(name, float(found[2]), float(found[3])))
    if not bounds:
        raise GenloomError("audio.bad_bounds", value=text, names=", ".join(NAMES))
    return bounds


def check(sound: Sound, config: Config) -> CheckResult:
    """Score the lowest of the scores of the measures; a sound without a pitch has neither a high nor a low one."""
    measures, bounds = measure_sound(sound), parse_bounds(config.measures)
    values = {each.name: float(getattr(measures, each.name)) for each in bounds}
    score = min(each.score(values[each.name]) for each in bounds)
    facts = ", ".join(f"{name} {value:.3g} {UNITS[name]}".rstrip() for name, value in values.items())
    return CheckResult(score, score == 1, facts)
