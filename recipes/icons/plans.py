"""Plans of scenes: things with colours, counts and sizes, a relation and a place, sampled at random."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from recipes.icons.colours import NAMES
from recipes.icons.places import PLACES
from recipes.icons.vocabulary import ACTORS, HATS, HELD, NOUNS, OVERHEAD, SEATS, UNIQUE, with_article

COUNTS = {2: "two", 3: "three", 4: "four"}
# Positions of the first thing relative to the second, and their phrases.
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

    def describe(self, is_definite: bool = False) -> str:
        adjectives = [word for word in (self.size, self.colour) if word]
        if self.count > 1:
            return " ".join([COUNTS[self.count], *adjectives, NOUNS[self.noun].plural])
        words = " ".join([*adjectives, self.noun])
        return f"the {words}" if is_definite and self.noun in UNIQUE else with_article(words)


@dataclass(frozen=True)
class Plan:
    """Things, the relation of the first to the second (a key of `POSITIONS` or `ACTS`, or ""), and a place.

    The third thing of an act is above the other two.
    """

    things: tuple[Thing, ...]
    relation: str = ""
    place: str = ""

    @property
    def acts(self) -> bool:
        return self.relation in ACTS


def describe_plan(plan: Plan, rng: np.random.Generator) -> str:
    """Return a sentence that describes the plan, in a random form."""
    words = [thing.describe(is_definite=plan.relation == "under" and k > 0) for k, thing in enumerate(plan.things)]
    place = choose_option(rng, PLACES[plan.place].phrases)
    if plan.relation in POSITIONS and rng.random() < 0.55:
        sentence = f"{words[0]} {choose_option(rng, POSITIONS[plan.relation])} {words[1]}"
    elif plan.acts:
        sentence = f"{words[0]} {plan.relation} {words[1]}"
        if len(words) > 2:
            place = f"under {plan.things[2].describe(is_definite=True)}"
    elif len(words) == 1:
        # Prompts may omit the article.
        is_bare = plan.things[0].count == 1 and rng.random() < 0.12
        sentence = words[0].split(" ", 1)[1] if is_bare else words[0]
    else:
        order = [words[k] for k in rng.permutation(len(words))]
        sentence = f"{', '.join(order[:-1])} and {order[-1]}"
    return f"{sentence} {place}".strip()


def sample_plan(rng: np.random.Generator) -> Plan:
    """Sample a plan of distinct things."""
    while True:
        plan = KINDS[int(rng.choice(len(KINDS), p=SHARES))](rng)
        if len({thing.noun for thing in plan.things}) == len(plan.things):
            return plan


_SCENERY = tuple(name for name in PLACES if name and not name.endswith("background"))
_PLAIN = tuple(name for name in PLACES if name.endswith("background"))


def choose_option(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """Return a random element."""
    return options[int(rng.integers(len(options)))]


def _sample_thing(rng: np.random.Generator, nouns: tuple[str, ...] = tuple(NOUNS), colour_share: float = 0.5) -> Thing:
    noun = choose_option(rng, nouns)
    return Thing(noun, choose_option(rng, tuple(NAMES)) if NOUNS[noun].colours and rng.random() < colour_share else "")


def sample_place(rng: np.random.Generator, scenery: float = 0.25, plain: float = 0.1) -> str:
    """Sample a place: scenery or a plain colour with these probabilities, otherwise white."""
    which = rng.random()
    return (
        choose_option(rng, _SCENERY)
        if which < scenery
        else choose_option(rng, _PLAIN)
        if which < scenery + plain
        else ""
    )


def _sample_single(rng: np.random.Generator) -> Plan:
    thing = replace(_sample_thing(rng, colour_share=0.6), size=choose_option(rng, ("", "", "", "", "", "big", "small")))
    return Plan((thing,), place=sample_place(rng, scenery=0.4))


def _sample_several(rng: np.random.Generator) -> Plan:
    return Plan((replace(_sample_thing(rng), count=int(rng.integers(2, 5))),), place=sample_place(rng))


def _sample_pair(rng: np.random.Generator) -> Plan:
    first, second = _sample_thing(rng), _sample_thing(rng)
    which = rng.random()
    if which < 0.1:
        first = replace(first, count=2)
    elif which < 0.2:
        second = replace(second, count=2)
    elif which < 0.28:
        first, second = replace(first, size="big"), replace(second, size="small")
    relation = tuple(POSITIONS)[int(rng.choice(4, p=(0.3, 0.3, 0.2, 0.2)))]
    return Plan((first, second), relation, sample_place(rng))


def _sample_three(rng: np.random.Generator) -> Plan:
    return Plan((_sample_thing(rng), _sample_thing(rng), _sample_thing(rng)), place=sample_place(rng))


def _sample_act(rng: np.random.Generator) -> Plan:
    relation = choose_option(rng, tuple(ACTS))
    things = (_sample_thing(rng, ACTORS), _sample_thing(rng, ACTS[relation]))
    which = rng.random()
    if relation != "under" and which < 0.25:
        return Plan((*things, Thing("moon")), relation, "night")
    if relation != "under" and which < 0.35:
        return Plan((*things, Thing("sun")), relation, choose_option(rng, ("grass", "beach", "sky")))
    return Plan(things, relation, sample_place(rng))


KINDS: tuple[Callable[[np.random.Generator], Plan], ...] = (
    _sample_single,
    _sample_several,
    _sample_pair,
    _sample_three,
    _sample_act,
)
SHARES = (0.42, 0.14, 0.28, 0.04, 0.12)
