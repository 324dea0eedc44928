"""Which combinations no training picture shows, chosen by a hash of their words: composition is measured on them."""

import hashlib
from itertools import combinations

from recipes.icons.plans import Plan

# The share of its combinations that each task keeps for itself.
SHARES = {"one": 0.08, "two": 0.05, "counting": 0.20, "colours": 0.12, "position": 0.05}
# What stands as what, for one who looks.
_SEEN_AS = {
    "left of": "left of",
    "right of": "right of",
    "above": "above",
    "below": "below",
    "on": "above",
    "under": "below",
}
_MIRRORED = {"right of": "left of", "below": "above"}


def held_out(task: str, *words: str | int) -> bool:
    """Whether `task` keeps a combination for measuring, whichever way round it is said.

    The words are (noun, place) for "one", (noun, noun) for "two", (noun, count) for "counting", (noun, colour) for
    "colours" and (noun, relation, noun) for "position".
    """
    parts = [str(each) for each in words]
    if task == "two":
        parts.sort()
    if task == "position" and parts[1] in _MIRRORED:
        parts = [parts[2], _MIRRORED[parts[1]], parts[0]]
    digest = hashlib.sha256("|".join([task, *parts]).encode()).digest()
    return int.from_bytes(digest[:4], "big") < SHARES[task] * 2**32


def shown(plan: Plan) -> list[tuple[str, ...]]:
    """Every measured combination that a scene of this plan shows, its task first."""
    found: list[tuple[str, ...]] = []
    for thing in plan.things:
        if thing.colour:
            found.append(("colours", thing.noun, thing.colour))
        if thing.count > 1:
            found.append(("counting", thing.noun, str(thing.count)))
        if plan.place:
            found.append(("one", thing.noun, plan.place))
    found += [("two", a.noun, b.noun) for a, b in combinations(plan.things, 2)]
    if plan.relation in _SEEN_AS:
        found.append(("position", plan.things[0].noun, _SEEN_AS[plan.relation], plan.things[1].noun))
    return found


def trained(plan: Plan) -> bool:
    """Whether training may show this plan: none of its combinations is kept for measuring."""
    return not any(held_out(*each) for each in shown(plan))
