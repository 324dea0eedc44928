"""Goals in words: "a light steel bridge held at both ends, loaded in the middle with 500 N".

A small grammar over a closed vocabulary: a kind of part, and phrases that change its goals. Every phrase stands for
entries of the document that are shown before use (`Reading.meanings`); an unknown word is an error, never a guess.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from genloom.errors import GenloomError, format_suggestion
from genloom.media.design.document import DEFAULT_RESOLUTION, check_grid
from genloom.media.design.examples import NAMES, build_example
from genloom.media.design.goals import DesignGoals, Domain, Load, Place, Support
from genloom.media.design.materials import PRESETS, find_material
from genloom.media.design.units import parse_quantity

MAX_CHARS = 1000
DEFAULT_FORCE = 500.0  # N
_SIZES: Mapping[str, tuple[float, float]] = {  # of the kinds that are no example, mm
    "beam": (180, 45), "bracket": (100, 100), "column": (45, 120), "plate": (100, 100),
}  # fmt: skip
KINDS = (*NAMES, *_SIZES)
_ALIASES = {"tower": "column", "pillar": "column", "part": "plate", "arm": "cantilever", "console": "bracket"}
VOLUMES = {"very light": 0.15, "light": 0.25, "slim": 0.25, "sturdy": 0.5, "heavy": 0.5, "massive": 0.6}
_PLACES: Mapping[str, tuple[str, ...]] = {
    "both ends": ("left", "right"), "both sides": ("left", "right"), "its ends": ("left", "right"),
    "all sides": ("left", "right", "bottom", "top"),
    "all corners": ("bottom left", "bottom right", "top left", "top right"),
    "the bottom corners": ("bottom left", "bottom right"), "the lower corners": ("bottom left", "bottom right"),
    "the top corners": ("top left", "top right"), "the upper corners": ("top left", "top right"),
    "two feet": ("bottom left", "bottom right"), "its feet": ("bottom left", "bottom right"),
    "the bottom left corner": ("bottom left",), "the bottom right corner": ("bottom right",),
    "the top left corner": ("top left",), "the top right corner": ("top right",), "the left": ("left",),
    "the right": ("right",), "the bottom": ("bottom",), "the top": ("top",), "the wall": ("left",),
    "the ground": ("bottom",),
}  # fmt: skip
_DIRECTIONS = {"down": (0, -1), "downward": (0, -1), "up": (0, 1), "upward": (0, 1), "to the left": (-1, 0),
               "to the right": (1, 0), "sideways": (1, 0)}  # fmt: skip
_WORDS = "a an the and with of from made that is which please design make me for in it be its by to"
_FILLERS = frozenset(_WORDS.split())
_NUMBER = r"\d+(?:\.\d+)?"


@dataclass
class Reading:
    """Goals as far as they are read, and what each phrase means."""

    goals: DesignGoals
    meanings: list[tuple[str, str]]  # phrase, meaning
    kind: str
    direction: tuple[float, float] = (0, -1)


def read_words(text: str) -> Reading:
    """Return the goals of a text; GenloomError for a word that is not known, and for a text without a kind of part."""
    if len(text) > MAX_CHARS:
        raise GenloomError("design.words_too_long", count=len(text), limit=MAX_CHARS)
    rest = re.sub(r"[,;.!]+(?=\s|$)", " ", f" {text.lower()} ")
    rest = re.sub(r"\s+", " ", rest.replace("×", " x "))
    kind, rest = take_kind(rest, text)
    reading = Reading(build_base(kind), [(kind, describe_base(kind))], kind)
    for pattern, read in PHRASES:
        rest = re.sub(pattern, lambda match, read=read: read(reading, match), rest)
    unknown = [word for word in re.findall(r"[^\s,;.]+", rest) if word not in _FILLERS]
    if unknown:
        known = [*KINDS, *VOLUMES, *PRESETS, "held", "loaded", "symmetric"]
        raise GenloomError(
            "design.word_unknown",
            word=unknown[0][:60],
            hint=format_suggestion(unknown[0], known),
            known=", ".join(KINDS),
        )
    return reading


def take_kind(rest: str, text: str) -> tuple[str, str]:
    """Return the kind of part that a text names, and the text without it."""
    for word in re.findall(r"[a-z-]+", rest):
        kind = _ALIASES.get(word, word)
        if kind in KINDS:
            return kind, rest.replace(f" {word}", " ", 1)
    raise GenloomError("design.words_without_kind", text=text[:60], known=", ".join(KINDS))


def build_base(kind: str) -> DesignGoals:
    """Return the goals of a kind of part before any phrase."""
    if kind in NAMES:
        return build_example(kind)
    domain = build_domain(_SIZES[kind], 5.0)
    width, height = domain.size
    down = (0.0, -DEFAULT_FORCE)
    supports, point = {
        "beam": ((Support(Place("bottom left"), "xy"), Support(Place("bottom right"), "y")), (width / 2, height)),
        "bracket": ((Support(Place("left"), "xy"),), (width, 0.0)),
        "column": ((Support(Place("bottom"), "xy"),), (width / 2, height)),
        "plate": ((Support(Place("left"), "xy"),), (width, height / 2)),
    }[kind]
    return DesignGoals(domain, supports, (Load(Place("", point, point), down),), title=kind.capitalize())


def build_domain(size: tuple[float, ...], thickness: float) -> Domain:
    """Return a plane domain of a size in mm, with 64 elements along its longest side; GenloomError if it is no grid."""
    step = max(size) / DEFAULT_RESOLUTION
    elements = [max(round(length / step), 1) for length in size]
    lengths = [1e-3 * count * step for count in elements]
    check_grid(elements, lengths, 1e-3 * step)
    return Domain(tuple(elements), 1e-3 * step, 1e-3 * thickness)


def describe_base(kind: str) -> str:
    """Return what a kind of part means by itself."""
    goals = build_base(kind)
    size = " × ".join(f"{1e3 * x:.4g}" for x in goals.domain.size)
    return f"{size} mm, {1e3 * goals.domain.thickness:.4g} mm thick; unless said otherwise, {describe_state(goals)}"


def describe_state(goals: DesignGoals) -> str:
    """Return where a part is held and loaded, in words."""
    held = ", ".join(f"{support.place} ({support.hold})" for support in goals.supports)
    loads = ", ".join(f"({', '.join(f'{x:.4g}' for x in load.force)}) N at {load.place}" for load in goals.loads)
    return f"{goals.material.name}, held at {held}, loaded by {loads}"


def read_volume(reading: Reading, match: re.Match[str]) -> str:
    volume = VOLUMES.get(match[1]) if match[1] else float(match[2]) / 100
    assert volume is not None
    if not 0 < volume <= 1:
        raise GenloomError("design.bad_volume", value=match[0].strip())
    reading.goals = reading.goals.with_limits(volume=volume)
    return note_meaning(reading, match, f"at most {100 * volume:g} % of the domain is solid")


def read_material_name(reading: Reading, match: re.Match[str]) -> str:
    material = find_material(match[1])
    reading.goals = replace(reading.goals, material=material)
    stiffness, strength = material.elastic_modulus / 1e9, material.yield_strength / 1e6
    meaning = f"{stiffness:g} GPa, yields at {strength:g} MPa ({material.source})"
    return note_meaning(reading, match, meaning)


def read_size(reading: Reading, match: re.Match[str]) -> str:
    """Change the size of the domain; where it is held and loaded moves along."""
    unit = match[3]
    size = tuple(1e3 * parse_quantity(f"{match[n]} {unit}", "length", "size") for n in (1, 2))
    if min(size) <= 0:
        raise GenloomError("design.not_positive", name="size", value=match[0].strip())
    goals, domain = reading.goals, build_domain(size, 1e3 * reading.goals.domain.thickness)
    factors = [new / old for new, old in zip(domain.size, goals.domain.size, strict=True)]

    def move(place: Place) -> Place:
        start, end = (
            tuple(x * f for x, f in zip(p, factors, strict=True)) if p else p for p in (place.start, place.end)
        )
        return replace(place, start=start, end=end, radius=place.radius * min(factors))

    reading.goals = replace(
        goals,
        domain=domain,
        supports=tuple(replace(each, place=move(each.place)) for each in goals.supports),
        loads=tuple(replace(each, place=move(each.place)) for each in goals.loads),
        regions=tuple(
            replace(each, start=moved.start, end=moved.end, radius=moved.radius)
            for each in goals.regions
            for moved in [move(Place("", each.start, each.end, each.radius))]
        ),
    )
    return note_meaning(reading, match, f"a domain of {1e3 * domain.size[0]:.4g} × {1e3 * domain.size[1]:.4g} mm")


def read_thickness(reading: Reading, match: re.Match[str]) -> str:
    thickness = parse_quantity(f"{match[1]} {match[2]}", "length", "thickness")
    if thickness <= 0:
        raise GenloomError("design.not_positive", name="thickness", value=match[0].strip())
    reading.goals = replace(reading.goals, domain=replace(reading.goals.domain, thickness=thickness))
    return note_meaning(reading, match, f"a plane part, {1e3 * thickness:g} mm thick")


def read_stress(reading: Reading, match: re.Match[str]) -> str:
    stress = parse_quantity(f"{match[1]} {_UNITS[match[2]]}", "stress", "stress")
    reading.goals = reading.goals.with_limits(max_stress=stress)
    return note_meaning(reading, match, f"at most {stress / 1e6:g} MPa (von Mises)")


def read_bars(reading: Reading, match: re.Match[str]) -> str:
    thickness = parse_quantity(f"{match[1]} {match[2]}", "length", "thickness")
    reading.goals = reading.goals.with_limits(min_thickness=thickness)
    return note_meaning(reading, match, f"no bar thinner than {1e3 * thickness:g} mm")


def read_symmetry(reading: Reading, match: re.Match[str]) -> str:
    reading.goals = reading.goals.with_limits(symmetry="x")
    return note_meaning(reading, match, "the left half mirrors the right one")


def read_supports(reading: Reading, match: re.Match[str]) -> str:
    """Held or fixed: in both directions; supported or resting: one end may slide."""
    sides = _PLACES[match[2]]
    is_held = match[1] in ("held", "fixed", "clamped", "attached", "screwed")
    corners = {"left": "bottom left", "right": "bottom right"}
    if is_held:
        supports = [Support(Place(side), "xy") for side in sides]
    else:
        places = [corners.get(side, side) for side in sides]
        supports = [Support(Place(side), "y" if number else "xy") for number, side in enumerate(places)]
    reading.goals = replace(reading.goals, supports=tuple(supports))
    return note_meaning(
        reading,
        match,
        "; ".join(f"{support.place} cannot move along {' and '.join(support.hold)}" for support in supports),
    )


def read_loads(reading: Reading, match: re.Match[str]) -> str:
    """Replace the loads by one: where, how strong and in which direction, as far as they are said."""
    goals = reading.goals
    number, unit = match[1] or match[4], match[2] or match[5]
    force = parse_quantity(f"{number} {_UNITS[unit]}", "force", "force") if number else None
    if force is not None and force <= 0:
        raise GenloomError("design.not_positive", name="force", value=match[0].strip())
    force = force or max(sum(x * x for x in load.force) ** 0.5 for load in goals.loads)
    direction = _DIRECTIONS[match["direction"] or "down"]
    places = locate_load(goals, match["place"]) if match["place"] else [load.place for load in goals.loads[:1]]
    vector = tuple(float(x) * force / len(places) for x in direction)
    reading.goals = replace(goals, loads=tuple(Load(place, vector) for place in places))
    where = " and ".join(map(str, places))
    return note_meaning(reading, match, f"({vector[0]:g}, {vector[1]:g}) N at {where}")


def locate_load(goals: DesignGoals, words: str) -> list[Place]:
    """Return the places of a load: on the deck of a part that has one, else on top."""
    width, height = goals.domain.size
    deck = next((load.place for load in goals.loads if load.place.start != load.place.end), Place("top"))
    level = deck.end[1] if deck.end else height
    middle, end = (width / 2, level), (width, height / 2)
    points = dict.fromkeys(("the middle", "its middle"), middle)
    points |= dict.fromkeys(("the end", "its end", "the tip", "its tip"), end)
    if words in points:
        return [Place("", points[words], points[words])]
    if words in ("its whole length", "the whole length", "the deck", "the whole top"):
        return [deck if deck.end else Place("top")]
    return [Place(side) for side in _PLACES[words]]


def note_meaning(reading: Reading, match: re.Match[str], meaning: str) -> str:
    """Keep what a phrase means, and return what is left of it: nothing."""
    reading.meanings.append((match[0].strip(), meaning))
    return " "


def join_words(words: Iterable[str]) -> str:
    """Return a pattern for one of these phrases, the longest first; "the" may be missing."""
    ordered = sorted(words, key=lambda word: -len(word))
    return "|".join(re.escape(word) for word in ordered)


_LOAD_PLACES = {**_PLACES, **dict.fromkeys(("the middle", "its middle", "the end", "its end", "the tip", "its tip",
                "its whole length", "the whole length", "the deck", "the whole top"), ())}  # fmt: skip
_UNITS: Mapping[str, str] = {"mpa": "MPa", "gpa": "GPa", "kpa": "kPa", "pa": "Pa", "kn": "kN", "n": "N",
                             "newton": "N", "newtons": "N"}  # fmt: skip
_FORCE = rf"({_NUMBER}) ?(kn|n|newtons?)"
_MATERIALS = {**dict.fromkeys(name.lower() for name in PRESETS), "aluminum": None, "nylon": None}
_HELD = "held|fixed|clamped|attached|screwed|supported|resting|standing"
PHRASES: tuple[tuple[str, Callable[[Reading, re.Match[str]], str]], ...] = (
    (rf" ({_NUMBER}) ?(?:mm)? ?(?:x|by) ?({_NUMBER}) ?(mm|cm|m|in)(?= )", read_size),
    (rf" (?:no bars?|no walls?|bars|walls) (?:thinner than|of at least) ({_NUMBER}) ?(mm|cm)(?= )", read_bars),
    (rf" ({_NUMBER}) ?(mm|cm) thick(?= )", read_thickness),
    (rf" (?:at most|up to|below|no more than) ({_NUMBER}) ?(mpa|pa|gpa|kpa)(?: of stress)?(?= )", read_stress),
    (
        rf" ()(?:at most |up to |with )?({_NUMBER}) ?%(?: of)?(?: the)?(?: material| volume| mass| domain)?(?= )",
        read_volume,
    ),
    (rf" ({join_words(VOLUMES)})()(?= )", read_volume),
    (rf" (?:made of |of |in |from )?({join_words(_MATERIALS)})(?= )", read_material_name),
    (r" (?:symmetric|symmetrical|mirrored)(?= )", read_symmetry),
    (rf" ({_HELD}) (?:at|on|to|by|in|along) ({join_words(_PLACES)})(?= )", read_supports),
    (
        (
            r" (?:with )?(?:loaded|pushed|pulled|carrying|a load)"
            rf"(?: (?:with|by|of))?(?: {_FORCE})?"
            rf"(?: (?:at|in|on|along|over) (?P<place>{join_words(_LOAD_PLACES)}))?"
            rf"(?: (?:with|by|of) {_FORCE})?"
            rf"(?: (?P<direction>{join_words(_DIRECTIONS)}))?(?= )"
        ),
        read_loads,
    ),
)
