"""Whether pictures show what was asked (one thing, two, a count, a colour, a position), by a detector's eye.

After GenEval (Ghosh et al. 2023), with nouns and pictures of Genloom's own, so that its figures compare with no others.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from genloom.evaluate.battery.score import Score
from genloom.evaluate.detector import Detector, Found, load

HERE = "prompted"  # the folder, in this package, with the prompts and the detector
TASKS = ("one", "two", "counting", "colours", "position")
_APART = 0.05  # of the picture's side, by which one thing must stand off to be left of another, or above it

_RELATIONS: dict[str, Callable[[Found, Found], bool]] = {
    "left of": lambda one, other: one.x < other.x - _APART,
    "right of": lambda one, other: one.x > other.x + _APART,
    "above": lambda one, other: one.y < other.y - _APART,
    "below": lambda one, other: one.y > other.y + _APART,
}


@dataclass(frozen=True)
class Wanted:
    """A thing that a prompt asks for, so many times, in a colour or in any ("")."""

    noun: str
    colour: str = ""
    count: int = 1


@dataclass(frozen=True)
class Asked:
    """A prompt and what a picture of it shows; the first thing stands in `relation` to the second, or in any ("")."""

    task: str
    prompt: str
    things: tuple[Wanted, ...]
    relation: str = ""


def shown(asked: Asked, found: Sequence[Found]) -> bool:
    """Whether what was found in a picture, the surest first, is what was asked.

    A task that counts wants exactly so many; the others want at least so many, and mind nothing else.
    """
    for wanted in asked.things:
        same = [one for one in found if one.noun == wanted.noun]
        if len(same) < wanted.count or (asked.task == "counting" and len(same) != wanted.count):
            return False
        if wanted.colour and sum(one.colour == wanted.colour for one in same) < wanted.count:
            return False
    if not asked.relation:
        return True
    one, other = (next(f for f in found if f.noun == wanted.noun) for wanted in asked.things[:2])
    return _RELATIONS[asked.relation](one, other)


def scores(asked: Sequence[Asked], found: Iterable[Sequence[Found]], bound: Mapping[str, float]) -> list[Score]:
    """A score a task, from what was found in a picture of each prompt.

    `bound` is the share of each task that real pictures reach under the same detector's eye.
    """
    kept = [(one.task, float(shown(one, seen))) for one, seen in zip(asked, found, strict=True)]
    return [
        Score("prompts", task, tuple(right for other, right in kept if other == task), 0.0, bound.get(task, 1.0))
        for task in TASKS
        if any(other == task for other, _ in kept)
    ]


def prompts(path: Path | None = None, most: int = 0) -> list[Asked]:
    """The prompts in a file of JSON lines (those that come with Genloom), of each task up to `most`, 0 for all.

    Raises ValueError, naming the line, where one is none.
    """
    given = path or Path(str(resources.files("genloom.evaluate") / HERE / "prompts.jsonl"))
    found: list[Asked] = []
    for number, line in enumerate(given.read_text(encoding="utf-8").splitlines(), 1):
        try:
            asked = _asked(json.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{given}, line {number} is no prompt with what it asks for: {error!r}.") from None
        if not most or sum(one.task == asked.task for one in found) < most:
            found.append(asked)
    return found


def detector() -> Detector:
    """The detector that comes with Genloom."""
    return load(Path(str(resources.files("genloom.evaluate") / HERE / "detector.safetensors")))


def _asked(row: Mapping[str, Any]) -> Asked:
    things = tuple(Wanted(str(t["noun"]), str(t.get("colour", "")), int(t.get("count", 1))) for t in row["objects"])
    asked = Asked(str(row["task"]), str(row["prompt"]), things, str(row.get("relation", "")))
    if asked.task not in TASKS:
        raise ValueError(f"there is no task {asked.task!r}")
    if not things or (asked.relation and (asked.relation not in _RELATIONS or len(things) < 2)):
        raise ValueError(f"there is no relation {asked.relation!r} of {len(things)} things")
    return asked
