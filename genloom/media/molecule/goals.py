"""Goals: ranges of properties that a molecule is to have, as people write them, and how well one meets them.

`logp=2..3 qed>0.7 mw<400 donors<=2`; also in words, `a small soluble amine`. The score of a goal is 1 within the range
and falls softly outside; that of several is their geometric mean (desirabilities: Derringer and Suich 1980).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, exp, floor, inf, isfinite, log

from genloom.errors import GenloomError
from genloom.media.molecule.goal_words import read_phrases
from genloom.media.molecule.molecule import Mol, Molecule, to_mol
from genloom.media.molecule.properties import find_property

MAX_CHARS = 2000  # of a text with goals
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_GOAL = re.compile(
    rf"(?P<name>[A-Za-z][\w-]*)\s*(?P<op><=|>=|==|=|<|>|≤|≥)\s*"
    rf"(?:(?P<low>{_NUMBER})?\s*(?P<dots>\.\.|…)\s*(?P<high>{_NUMBER})?|(?P<value>{_NUMBER}))(?=[\s,;]|$)"
)
_START = re.compile(r"[^\s,;]*\s*(<|>|=|≤|≥)")
HEAVIEST_ATOM, LIGHTEST_ATOM = 131.6, 10.8  # Da for each heavy atom: TeH4, and boron
TOLERANCE = 0.1  # of a single value, to either side, in softnesses of its property


@dataclass(frozen=True)
class Goal:
    """A range of one property; an open end excludes its value."""

    name: str
    low: float = -inf
    high: float = inf
    is_low_open: bool = False
    is_high_open: bool = False

    def is_met(self, value: float) -> bool:
        is_above = value > self.low if self.is_low_open else value >= self.low
        return is_above and (value < self.high if self.is_high_open else value <= self.high)

    def score(self, value: float) -> float:
        """Return 1 within the range; outside less than 1, and 1/2 at the softness of the property from its end."""
        if self.is_met(value):
            return 1.0
        distance = max(self.low - value, value - self.high, 0.0) / find_property(self.name).softness
        return min(1 / (1 + distance**2), 1 - 1e-9)

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.name}={self.low:g}"
        if self.low > -inf and self.high < inf and not (self.is_low_open or self.is_high_open):
            return f"{self.name}={self.low:g}..{self.high:g}"
        ends = [f"{self.name}>{'' if self.is_low_open else '='}{self.low:g}"] if self.low > -inf else []
        return " ".join(
            ends + ([f"{self.name}<{'' if self.is_high_open else '='}{self.high:g}"] if self.high < inf else [])
        )


@dataclass(frozen=True)
class GoalsResult:
    """The values of the properties of one molecule, and the score of each goal."""

    values: Mapping[str, float]
    scores: Mapping[str, float]

    @property
    def score(self) -> float:
        """The geometric mean of the scores, from 0 to 1; 1 without goals."""
        if not self.scores:
            return 1.0
        return exp(sum(log(max(score, 1e-12)) for score in self.scores.values()) / len(self.scores))

    @property
    def is_met(self) -> bool:
        return all(score == 1.0 for score in self.scores.values())


@dataclass(frozen=True)
class Goals:
    """Goals by their property; `str` writes them as `parse_goals` reads them."""

    by_name: Mapping[str, Goal] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join(map(str, self.by_name.values()))

    def __bool__(self) -> bool:
        return bool(self.by_name)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The least and the greatest value of each property."""
        return {name: (goal.low, goal.high) for name, goal in self.by_name.items()}

    def check_mol(self, mol: Mol) -> GoalsResult:
        """Return the values and scores of a sanitised molecule of rdkit."""
        values = {name: find_property(name).compute(mol) for name in self.by_name}
        return GoalsResult(values, {name: goal.score(values[name]) for name, goal in self.by_name.items()})

    def check(self, molecule: Molecule) -> GoalsResult:
        """Return the values and scores of a molecule."""
        return self.check_mol(to_mol(molecule))

    def score(self, molecule: Molecule) -> float:
        """Return how well a molecule meets the goals together, from 0 to 1."""
        return self.check(molecule).score


def parse_goals(text: str) -> Goals:
    """Read goals, in the grammar, in words, or both.

    GenloomError for an unknown property with the nearest one, for what cannot be read, and for goals that contradict
    each other or that no molecule can meet.
    """
    if len(text) > MAX_CHARS:
        raise GenloomError("molecule.goal_too_long", count=len(text), limit=MAX_CHARS)
    goals, words, position = [], [], 0
    while position < len(text):
        match = _GOAL.match(text, position)
        if match:
            goals.append(build_goal(match))
            position = match.end()
        elif _START.match(text, position):
            raise GenloomError("molecule.goal_unreadable", text=shorten_goal(text[position:]))
        elif text[position].isspace() or text[position] in ",;":
            words.append(" ")
            position += 1
        else:
            end = re.compile(r"[^\s,;]+").match(text, position)
            assert end is not None
            words.append(end[0])
            position = end.end()
    phrases = [narrow_to_possible(Goal(name, low, high)) for name, low, high in read_phrases("".join(words))]
    if not goals and not phrases:
        raise GenloomError("molecule.goal_missing", text=shorten_goal(text))
    return join_goals([*phrases, *goals])


def build_goal(match: re.Match[str]) -> Goal:
    """Return the goal of one match of the grammar; GenloomError for an unknown property or an impossible value."""
    name, op = find_property(match["name"]).name, {"≤": "<=", "≥": ">="}.get(match["op"], match["op"])
    if match["dots"]:
        if op not in ("=", "==") or not (match["low"] or match["high"]):
            raise GenloomError("molecule.goal_unreadable", text=match[0])
        goal = Goal(name, float(match["low"] or -inf), float(match["high"] or inf))
    else:
        value = float(match["value"])
        goal = {
            "<": Goal(name, high=value, is_high_open=True),
            "<=": Goal(name, high=value),
            ">": Goal(name, low=value, is_low_open=True),
            ">=": Goal(name, low=value),
        }.get(op, build_single(name, value))
    if goal.low > goal.high:
        raise GenloomError("molecule.goal_reversed", text=match[0], name=name, low=goal.low, high=goal.high)
    return narrow_to_possible(goal, match[0])


def build_single(name: str, value: float) -> Goal:
    """Return the goal of one value: itself for counts, else what rounds to about it."""
    each = find_property(name)
    margin = 0.0 if each.is_integer else TOLERANCE * each.softness
    low, high = (min(max(value + sign * margin, each.low), each.high) for sign in (-1, 1))
    return Goal(name, low, high) if each.low <= value <= each.high else Goal(name, value, value)


def narrow_to_possible(goal: Goal, text: str = "") -> Goal:
    """Return the goal with whole numbers as ends where values are; GenloomError if no value is in its range."""
    each = find_property(goal.name)
    if each.is_integer:
        low = floor(goal.low) + 1 if goal.is_low_open else ceil(goal.low) if isfinite(goal.low) else goal.low
        high = ceil(goal.high) - 1 if goal.is_high_open else floor(goal.high) if isfinite(goal.high) else goal.high
        goal = Goal(goal.name, low, high)
    is_above = goal.low > each.high or (goal.is_low_open and goal.low >= each.high) or goal.low == inf
    is_below = goal.high < each.low or (goal.is_high_open and goal.high <= each.low) or goal.high == -inf
    if is_above or is_below or goal.low > goal.high:
        bounds = describe_bounds(goal.name)
        raise GenloomError("molecule.goal_impossible", text=text or str(goal), name=goal.name, bounds=bounds)
    return replace(goal, low=goal.high) if goal.high == each.low else goal


def describe_bounds(name: str) -> str:
    """Return the possible values of a property in words."""
    each = find_property(name)
    numbers = "whole numbers" if each.is_integer else "finite values"
    if isfinite(each.low) and isfinite(each.high):
        return f"{numbers} from {each.low:g} to {each.high:g}"
    return f"{numbers} from {each.low:g} on" if isfinite(each.low) else numbers


def join_goals(goals: Iterable[Goal]) -> Goals:
    """Return goals with one range for each property; GenloomError if they contradict each other."""
    joined: dict[str, Goal] = {}
    for goal in goals:
        before = joined.get(goal.name)
        joined[goal.name] = goal if before is None else intersect_goals(before, goal)
    check_relations(joined)
    return Goals(joined)


def intersect_goals(first: Goal, second: Goal) -> Goal:
    """Return the range of both goals of one property; GenloomError if no value is in both."""
    lower = max(first, second, key=lambda goal: (goal.low, goal.is_low_open))
    upper = min(first, second, key=lambda goal: (goal.high, not goal.is_high_open))
    both = Goal(first.name, lower.low, upper.high, lower.is_low_open, upper.is_high_open)
    if both.low > both.high or (both.low == both.high and (both.is_low_open or both.is_high_open)):
        raise GenloomError("molecule.goal_contradiction", first=first, second=second)
    return both


def check_relations(goals: Mapping[str, Goal]) -> None:
    """Raise GenloomError for goals of two properties that exclude each other."""
    for smaller, larger in (("aromatic_rings", "rings"), ("stereocenters", "heavy_atoms"), ("rings", "heavy_atoms")):
        if smaller in goals and larger in goals and goals[smaller].low > goals[larger].high:
            raise GenloomError("molecule.goal_contradiction", first=goals[smaller], second=goals[larger])
    if "heavy_atoms" in goals and "mw" in goals:
        atoms, weight = goals["heavy_atoms"], goals["mw"]
        if atoms.low * LIGHTEST_ATOM > weight.high or weight.low > atoms.high * HEAVIEST_ATOM:
            raise GenloomError("molecule.goal_contradiction", first=atoms, second=weight)


def shorten_goal(text: str, limit: int = 60) -> str:
    text = text.strip()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def explain_result(result: GoalsResult, goals: Goals) -> str:
    """Return the values of a molecule beside the goals, those that it misses marked with ✗."""
    return ", ".join(
        f"{name} {result.values[name]:.3g}" + ("" if result.scores[name] == 1 else f" ✗ {goals.by_name[name]}")
        for name in result.values
    )


def order_by_score(molecules: Sequence[Molecule], goals: Goals) -> list[tuple[Molecule, GoalsResult]]:
    """Return molecules with their results, the best first; equal ones keep their order."""
    results = [(molecule, goals.check(molecule)) for molecule in molecules]
    return sorted(results, key=lambda pair: -pair[1].score)
