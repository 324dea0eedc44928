"""Held-out combinations, chosen by a hash of their words: no training image shows them, and evaluation uses them."""

import hashlib
from itertools import combinations

from recipes.icons.plans import Plan

# The share of held-out combinations by task.
SHARES = {"one": 0.08, "two": 0.05, "counting": 0.20, "colours": 0.12, "position": 0.05}
# The visible position that a relation shows.
_VISIBLE_POSITIONS = {
    "left of": "left of",
    "right of": "right of",
    "above": "above",
    "below": "below",
    "on": "above",
    "under": "below",
    "riding": "above",
}
_MIRROR = {"right of": "left of", "below": "above"}


def is_held_out(task: str, *words: str | int) -> bool:
    """Return whether a combination is held out for `task`, in either order.

    The words are (noun, place) for "one", (noun, noun) for "two", (noun, count) for "counting", (noun, colour) for
    "colours" and (noun, relation, noun) for "position".
    """
    parts = [str(word) for word in words]
    if task == "two":
        parts.sort()
    if task == "position" and parts[1] in _MIRROR:
        parts = [parts[2], _MIRROR[parts[1]], parts[0]]
    digest = hashlib.sha256("|".join([task, *parts]).encode()).digest()
    return int.from_bytes(digest[:4], "big") < SHARES[task] * 2**32


def list_combinations(plan: Plan) -> list[tuple[str, ...]]:
    """Return every evaluated combination in a scene of this plan, its task first."""
    result: list[tuple[str, ...]] = []
    for thing in plan.things:
        if thing.colour:
            result.append(("colours", thing.noun, thing.colour))
        if thing.count > 1:
            result.append(("counting", thing.noun, str(thing.count)))
        if plan.place:
            result.append(("one", thing.noun, plan.place))
    result += [("two", a.noun, b.noun) for a, b in combinations(plan.things, 2)]
    if plan.relation in _VISIBLE_POSITIONS:
        result.append(("position", plan.things[0].noun, _VISIBLE_POSITIONS[plan.relation], plan.things[1].noun))
    return result


def is_trainable(plan: Plan) -> bool:
    """Return whether training may show this plan: none of its combinations is held out."""
    return not any(is_held_out(*combination) for combination in list_combinations(plan))
