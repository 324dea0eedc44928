"""What a scene shows, in words: things with colours, counts and sizes, a relation and a place, drawn by chance."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from recipes.icons.colours import NAMES
from recipes.icons.places import PLACES
from recipes.icons.vocabulary import ACTORS, HATS, HELD, NOUNS, ONLY, OVERHEAD, SEATS, article

COUNTS = {2: "two", 3: "three", 4: "four"}
# Where the first thing stands to the second, and how that is said.
POSITIONS = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
ACTS = {"wearing": HATS, "holding": HELD, "reading": ("book",), "on": SEATS, "under": OVERHEAD}


@dataclass(frozen=True)
class Thing:
    """A noun of the vocabulary, `count` times, in a named colour or its own (""), "big", "small" or neither ("")."""

    noun: str
    colour: str = ""
    count: int = 1
    size: str = ""

    def said(self, only: bool = False) -> str:
        adjectives = [each for each in (self.size, self.colour) if each]
        if self.count > 1:
            return " ".join([COUNTS[self.count], *adjectives, NOUNS[self.noun].plural])
        words = " ".join([*adjectives, self.noun])
        return f"the {words}" if only and self.noun in ONLY else article(words)


@dataclass(frozen=True)
class Plan:
    """Things, how the first stands to the second (a key of `POSITIONS` or `ACTS`; "" for one or three), and a place.

    A third thing of an act stands over the other two.
    """

    things: tuple[Thing, ...]
    relation: str = ""
    place: str = ""

    @property
    def acts(self) -> bool:
        return self.relation in ACTS


def said(plan: Plan, rng: np.random.Generator) -> str:
    """The sentence of a plan, in one of its forms."""
    words = [thing.said(only=plan.relation == "under" and k > 0) for k, thing in enumerate(plan.things)]
    place = one_of(rng, PLACES[plan.place].phrases)
    if plan.relation in POSITIONS and rng.random() < 0.55:
        sentence = f"{words[0]} {one_of(rng, POSITIONS[plan.relation])} {words[1]}"
    elif plan.acts:
        sentence = f"{words[0]} {plan.relation} {words[1]}"
        if len(words) > 2:
            place = f"under {plan.things[2].said(only=True)}"
    elif len(words) == 1:
        # A prompt may come without its article.
        bare = plan.things[0].count == 1 and rng.random() < 0.12
        sentence = words[0].split(" ", 1)[1] if bare else words[0]
    else:
        order = [words[k] for k in rng.permutation(len(words))]
        sentence = f"{', '.join(order[:-1])} and {order[-1]}"
    return f"{sentence} {place}".strip()


def drawn(rng: np.random.Generator) -> Plan:
    """A plan by chance, of things that differ from one another."""
    while True:
        plan = KINDS[int(rng.choice(len(KINDS), p=SHARES))](rng)
        if len({thing.noun for thing in plan.things}) == len(plan.things):
            return plan


_SCENERY = tuple(name for name in PLACES if name and not name.endswith("background"))
_PLAIN = tuple(name for name in PLACES if name.endswith("background"))


def one_of(rng: np.random.Generator, of: tuple[str, ...]) -> str:
    """One of some words, by chance."""
    return of[int(rng.integers(len(of)))]


def _thing(rng: np.random.Generator, of: tuple[str, ...] = tuple(NOUNS), coloured: float = 0.5) -> Thing:
    noun = one_of(rng, of)
    return Thing(noun, one_of(rng, tuple(NAMES)) if NOUNS[noun].colours and rng.random() < coloured else "")


def place_of(rng: np.random.Generator, scenery: float = 0.25, plain: float = 0.1) -> str:
    """A place by chance, scenery or a plain colour with these shares, else white."""
    which = rng.random()
    return one_of(rng, _SCENERY) if which < scenery else one_of(rng, _PLAIN) if which < scenery + plain else ""


def _single(rng: np.random.Generator) -> Plan:
    thing = replace(_thing(rng, coloured=0.6), size=one_of(rng, ("", "", "", "", "", "big", "small")))
    return Plan((thing,), place=place_of(rng, scenery=0.4))


def _several(rng: np.random.Generator) -> Plan:
    return Plan((replace(_thing(rng), count=int(rng.integers(2, 5))),), place=place_of(rng))


def _pair(rng: np.random.Generator) -> Plan:
    first, second = _thing(rng), _thing(rng)
    which = rng.random()
    if which < 0.1:
        first = replace(first, count=2)
    elif which < 0.2:
        second = replace(second, count=2)
    elif which < 0.28:
        first, second = replace(first, size="big"), replace(second, size="small")
    relation = tuple(POSITIONS)[int(rng.choice(4, p=(0.3, 0.3, 0.2, 0.2)))]
    return Plan((first, second), relation, place_of(rng))


def _three(rng: np.random.Generator) -> Plan:
    return Plan((_thing(rng), _thing(rng), _thing(rng)), place=place_of(rng))


def _act(rng: np.random.Generator) -> Plan:
    relation = one_of(rng, tuple(ACTS))
    things = (_thing(rng, ACTORS), _thing(rng, ACTS[relation]))
    which = rng.random()
    if relation != "under" and which < 0.25:
        return Plan((*things, Thing("moon")), relation, "night")
    if relation != "under" and which < 0.35:
        return Plan((*things, Thing("sun")), relation, one_of(rng, ("grass", "beach", "sky")))
    return Plan(things, relation, place_of(rng))


KINDS: tuple[Callable[[np.random.Generator], Plan], ...] = (_single, _several, _pair, _three, _act)
SHARES = (0.42, 0.14, 0.28, 0.04, 0.12)
