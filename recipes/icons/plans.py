"""Plans of scenes: things with colours, counts and sizes, a relation and a place, sampled at random."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recipes.icons.colours import NAMES
from recipes.icons.places import PLACES
from recipes.icons.things import ROLES, OtherThing, choose_other
from recipes.icons.vocabulary import (
    ACTORS,
    FLYERS,
    FOODS,
    HATS,
    HELD,
    INSTRUMENTS,
    MOUNTS,
    NOUNS,
    OVERHEAD,
    SEATS,
    UNIQUE,
    with_article,
)

COUNTS = {2: "two", 3: "three", 4: "four"}
# Positions of the first thing relative to the second, and their phrases.
POSITIONS = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
ACTS = {
    "wearing": HATS,
    "holding": HELD,
    "reading": ("book",),
    "on": SEATS,
    "under": OVERHEAD,
    "eating": FOODS,
    "playing": INSTRUMENTS,
    "riding": MOUNTS,
}
# How a sentence may say an act of {0} with {1}.
ACT_PHRASES = {
    "wearing": ("{0} wearing {1}", "{0} wearing {1}", "{0} in {1}", "{0} with {1} on its head", "{0} wears {1}"),
    "holding": ("{0} holding {1}", "{0} holding {1}", "{0} carrying {1}", "{0} with {1}", "{0} holds {1}"),
    "reading": ("{0} reading {1}", "{0} reading {1}", "{0} reads {1}"),
    "on": ("{0} on {1}", "{0} on {1}", "{0} sitting on {1}", "{0} standing on {1}"),
    "under": ("{0} under {1}", "{0} under {1}", "{0} standing under {1}", "{0} below {1}"),
    "eating": ("{0} eating {1}", "{0} eating {1}", "{0} eats {1}"),
    "playing": ("{0} playing {1}", "{0} plays {1}", "{0} making music with {1}"),
    "riding": ("{0} riding {1}", "{0} riding {1}", "{0} rides {1}", "{0} on {1}"),
}
# Arrangements of equal things besides the usual one, which a caption does not name.
FORMS = {2: {"column": "one above the other"}, 3: {"row": "in a row", "down": "two above and one below"}}
USUAL_FORMS = {2: "side by side"}
# The roles of nouns beyond the vocabulary as the second thing of an act.
OTHER_PARTS = {"holding": ("food", "object"), "eating": ("food",)}
AIR = ("sky", "space", "night")


@dataclass(frozen=True)
class Thing:
    """A noun, `count` times, in a named colour or its own (""), "big", "small" or neither ("").

    Nouns beyond the vocabulary have an icon, SET/NAME, and a plural.
    """

    noun: str
    colour: str = ""
    count: int = 1
    size: str = ""
    icon: str = ""
    plural: str = ""

    def describe(self, is_definite: bool = False) -> str:
        adjectives = [word for word in (self.size, self.colour) if word]
        if self.count > 1:
            return " ".join([COUNTS[self.count], *adjectives, self.plural or NOUNS[self.noun].plural])
        words = " ".join([*adjectives, self.noun])
        return f"the {words}" if is_definite and self.noun in UNIQUE else with_article(words)


@dataclass(frozen=True)
class Plan:
    """Things, the relation of the first to the second (a key of `POSITIONS` or `ACTS`, or ""), and a place.

    The third thing of an act is above the other two. `form` is a key of `FORMS`, or "" for the usual arrangement.
    """

    things: tuple[Thing, ...]
    relation: str = ""
    place: str = ""
    form: str = ""

    @property
    def acts(self) -> bool:
        return self.relation in ACTS


def describe_plan(plan: Plan, rng: np.random.Generator) -> str:
    """Return a sentence that describes the plan, in a random form; things beside each other come in reading order."""
    words = [thing.describe(is_definite=plan.relation == "under" and k > 0) for k, thing in enumerate(plan.things)]
    place = choose_option(rng, PLACES[plan.place].phrases)
    if plan.relation in POSITIONS:
        sentence = _describe_position(plan.relation, words, rng)
    elif plan.acts:
        sentence = choose_option(rng, ACT_PHRASES[plan.relation]).format(*words)
        if len(words) > 2:
            place = f"under {plan.things[2].describe(is_definite=True)}"
    elif len(words) == 1:
        sentence = _describe_one(plan, words[0], rng)
    else:
        sentence = f"{', '.join(words[:-1])} and {words[-1]}"
    return f"{sentence} {place}".strip()


def _describe_position(relation: str, words: list[str], rng: np.random.Generator) -> str:
    """Return "A left of B", "A next to B" or "A and B"; one above the other is mostly said."""
    is_beside = relation in ("left of", "right of")
    if rng.random() < (0.5 if is_beside else 0.85):
        return f"{words[0]} {choose_option(rng, POSITIONS[relation])} {words[1]}"
    first, second = words if relation in ("left of", "above") else words[::-1]
    return f"{first} {'next to' if is_beside and rng.random() < 0.2 else 'and'} {second}"


def _describe_one(plan: Plan, words: str, rng: np.random.Generator) -> str:
    thing = plan.things[0]
    if thing.count > 1:
        usual = USUAL_FORMS.get(thing.count, "") if rng.random() < 0.15 else ""
        return f"{words} {FORMS[thing.count][plan.form] if plan.form else usual}".strip()
    if rng.random() < 0.12:  # prompts may omit the article
        return words.split(" ", 1)[1]
    verbs = ["flying"] if thing.noun in FLYERS and plan.place in AIR else []
    verbs += ["standing", "sitting"] if thing.noun in ACTORS and PLACES[plan.place].ground else []
    return f"{words} {choose_option(rng, tuple(verbs))}" if verbs and rng.random() < 0.4 else words


OTHERS_SHARE = 0.5  # of the things of a scene, that are of nouns beyond the vocabulary


def sample_plan(rng: np.random.Generator, others: Mapping[str, Sequence[OtherThing]] | None = None) -> Plan:
    """Sample a plan of distinct things, some of them among `others`, by their roles."""
    while True:
        plan = KINDS[int(rng.choice(len(KINDS), p=SHARES))](rng)
        if others:
            plan = replace(plan, things=tuple(_exchange_thing(plan, k, others, rng) for k in range(len(plan.things))))
        if len({thing.noun for thing in plan.things}) == len(plan.things):
            return plan


def _exchange_thing(plan: Plan, k: int, others: Mapping[str, Sequence[OtherThing]], rng: np.random.Generator) -> Thing:
    """Return thing `k` of the plan, or another one that can take its part in an act."""
    thing = plan.things[k]
    parts = {0: ("animal",), 1: OTHER_PARTS.get(plan.relation, ())}.get(k, ()) if plan.acts else ROLES
    if not parts or rng.random() >= OTHERS_SHARE:
        return thing
    other = choose_other(rng, others, parts)
    return Thing(other.noun, count=thing.count, size=thing.size, icon=other.icon, plural=other.plural)


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
    thing, place = replace(_sample_thing(rng), count=int(rng.integers(2, 5))), sample_place(rng)
    forms = tuple(FORMS.get(thing.count, ())) if not PLACES[place].ground else ()
    return Plan((thing,), place=place, form=choose_option(rng, forms) if forms and rng.random() < 0.25 else "")


def _sample_pair(rng: np.random.Generator) -> Plan:
    first, second = _sample_thing(rng), _sample_thing(rng)
    which = rng.random()
    if which < 0.1:
        first = replace(first, count=2)
    elif which < 0.2:
        second = replace(second, count=2)
    elif which < 0.28:
        first, second = replace(first, size="big"), replace(second, size="small")
    relation = tuple(POSITIONS)[int(rng.choice(4, p=(0.35, 0.25, 0.2, 0.2)))]
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
