"""Things beyond the vocabulary: icons of single things, named by their labels, and the parts they take in scenes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recipes.icons.fetch import Icon
from recipes.icons.vocabulary import NOUNS

ROLES = ("animal", "food", "object", "place")
_ROLE_BY_CATEGORY = {
    "Animals & Nature": "animal", "Food & Drink": "food", "Objects": "object", "Activities": "object",
    "Travel & Places": "place",
}  # fmt: skip
# Of "Animals & Nature", what is no animal; of all categories, labels that are no single things.
_NATURE = {
    *("plant", "flower", "leaf", "tree", "clover", "blossom", "herb", "seedling", "maple", "wood", "rock", "nest"),
    *(
        "bouquet",
        "rosette",
        "hibiscus",
        "tulip",
        "lotus",
        "hyacinth",
        "coral",
        "shell",
        "fire",
        "sheaf",
        "paw",
        "feather",
    ),
}
_NO_THINGS = {
    *("fog", "wind", "wave", "waves", "rain", "fire", "rice", "bread", "bacon", "butter", "salt", "honey", "sake"),
    *("money", "sushi", "jeans", "face", "ceremony", "night", "sunset", "sunrise", "milky", "eclipse", "moonlight"),
    *("droplet", "dizzy", "collision", "sweat", "party", "medal", "zodiac", "mahjong", "joker", "symbol", "sign"),
}
_LABEL = re.compile(r"[a-z]+( [a-z]+)?")
_IRREGULAR = {
    "mouse": "mice",
    "goose": "geese",
    "wolf": "wolves",
    "leaf": "leaves",
    "knife": "knives",
    "tooth": "teeth",
}
_SAME = {"sheep", "deer", "fish", "shrimp", "squid", "bison", "salmon", "moose"}


@dataclass(frozen=True)
class OtherThing:
    """A noun, its plural, its icon as SET/NAME, and its role, one of `ROLES`."""

    noun: str
    plural: str
    icon: str
    role: str


def list_other_things(icons: Iterable[Icon]) -> dict[str, list[OtherThing]]:
    """Return by role the icons whose labels name single things that the vocabulary lacks."""
    known = {noun.icon for noun in NOUNS.values()} | {noun.name for noun in NOUNS.values()}
    things: dict[str, list[OtherThing]] = {role: [] for role in ROLES}
    for icon in icons:
        noun = icon.label.removesuffix(" face").removeprefix("baby ")
        words = noun.split()
        is_plural = words[-1:] and words[-1].endswith("s") and not words[-1].endswith(("ss", "us", "is"))
        role = _ROLE_BY_CATEGORY.get(icon.category)
        if role is None or is_plural or not _LABEL.fullmatch(noun) or {*words} & _NO_THINGS:
            continue
        if noun in known or icon.name in known:
            continue
        role = "object" if role == "animal" and {*words} & _NATURE else role
        things[role].append(OtherThing(noun, build_plural(noun), f"{icon.set}/{icon.name}", role))
    return things


def choose_other(
    rng: np.random.Generator, things: Mapping[str, Sequence[OtherThing]], roles: Sequence[str]
) -> OtherThing:
    """Return a random thing of these roles."""
    choices = [thing for role in roles for thing in things[role]]
    return choices[int(rng.integers(len(choices)))]


def build_plural(noun: str) -> str:
    """Return the plural of a noun or of the last word of a name."""
    *before, last = noun.split()
    if last in _IRREGULAR:
        plural = _IRREGULAR[last]
    elif last in _SAME:
        plural = last
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        plural = f"{last}es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        plural = f"{last[:-1]}ies"
    else:
        plural = f"{last}s"
    return " ".join([*before, plural])
