"""Layouts of scenes: objects beside and above each other, worn, held, read, sat on or in rows, with random sizes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from recipes.icons.places import PLACES
from recipes.icons.plans import Plan, Thing

# Returns the width and height of a thing; the larger is 1.
Shape = Callable[[Thing], tuple[float, float]]


@dataclass(frozen=True)
class Spot:
    """The centre and longer side of a thing, relative to the image side; `icon` replaces the noun's own."""

    thing: Thing
    x: float
    y: float
    side: float
    icon: str = ""

    @property
    def drawing(self) -> str:
        """The icon that is drawn; "" is that of the noun in the vocabulary."""
        return self.icon or self.thing.icon


def arrange_plan(plan: Plan, shape: Shape, rng: np.random.Generator) -> list[Spot]:
    """Return the spots of a plan, from back to front."""
    ground = PLACES[plan.place].ground
    if plan.acts:
        return _place_act(plan, shape, rng)
    if len(plan.things) == 3:
        return _place_three(plan.things, rng)
    if len(plan.things) == 2:
        return _place_two(plan, shape, rng)
    thing = plan.things[0]
    return (
        _place_single(thing, shape, ground, rng) if thing.count == 1 else _place_several(thing, plan.form, ground, rng)
    )


def _place_single(thing: Thing, shape: Shape, ground: bool, rng: np.random.Generator) -> list[Spot]:
    low, high = {"": (0.60, 0.82), "big": (0.88, 0.96), "small": (0.26, 0.36)}[thing.size]
    side = float(rng.uniform(low, high))
    room = (0.96 - side) / 2
    x = 0.5 + 0.7 * float(rng.uniform(-room, room))
    if ground:
        return [Spot(thing, x, _find_standing_height(thing, side, shape, rng), side)]
    return [Spot(thing, x, 0.5 + 0.5 * float(rng.uniform(-room, room)), side)]


def _find_standing_height(thing: Thing, side: float, shape: Shape, rng: np.random.Generator) -> float:
    """Return the vertical centre of a thing that stands on the ground."""
    half = side * shape(thing)[1] / 2
    return max(float(rng.uniform(0.85, 0.94)) - half, half + 0.01)


# Centres of equal things, relative to the middle of a unit square.
ROW2 = ((-0.25, 0.0), (0.25, 0.0))
COLUMN2 = ((0.0, -0.25), (0.0, 0.25))
ROW3 = ((-0.33, 0.0), (0.0, 0.0), (0.33, 0.0))
UP3 = ((-0.25, 0.23), (0.25, 0.23), (0.0, -0.23))
DOWN3 = ((-0.25, -0.23), (0.25, -0.23), (0.0, 0.23))
SQUARE4 = ((-0.25, -0.24), (0.25, -0.24), (-0.25, 0.24), (0.25, 0.24))
# By the names of `plans.FORMS`; "" is the usual arrangement, so that words alone decide.
_FORMS = {2: {"": ROW2, "column": COLUMN2}, 3: {"": UP3, "row": ROW3, "down": DOWN3}, 4: {"": SQUARE4}}


def _place_several(thing: Thing, name: str, ground: bool, rng: np.random.Generator) -> list[Spot]:
    form = _FORMS[thing.count][name]
    return _place_copies(thing, form, (0.5, 0.70 if ground and form in (ROW2, ROW3) else 0.5), 1.0, rng)


def _place_copies(
    thing: Thing,
    form: tuple[tuple[float, float], ...],
    centre: tuple[float, float],
    room: float,
    rng: np.random.Generator,
) -> list[Spot]:
    """Place the copies of a thing around a centre, in a square of side `room`, without overlap."""
    gap = min(max(abs(a[0] - b[0]), abs(a[1] - b[1])) for a in form for b in form if a != b)
    side = gap * room * float(rng.uniform(0.80, 0.90))
    jitter = rng.uniform(-0.02 * room, 0.02 * room, (len(form), 2)).tolist()
    one = replace(thing, count=1)
    return [
        Spot(one, centre[0] + room * x + dx, centre[1] + room * y + dy, side)
        for (x, y), (dx, dy) in zip(form, jitter, strict=True)
    ]


def _place_two(plan: Plan, shape: Shape, rng: np.random.Generator) -> list[Spot]:
    ground = PLACES[plan.place].ground
    relation = (
        plan.relation or ("left of", "above")[int(rng.random() < 0.25)]  # in reading order
    )
    beside = relation in ("left of", "right of")
    sign = -1 if relation in ("left of", "above") else 1
    spots = []
    for thing, way in zip(plan.things, (sign, -sign), strict=True):
        low, high = {"": (0.37, 0.46), "big": (0.47, 0.50), "small": (0.20, 0.26)}[thing.size]
        side = float(rng.uniform(low, high))
        along = 0.5 + way * float(rng.uniform(0.24, 0.26))
        across = 0.5 + float(rng.uniform(-0.08, 0.08))
        if thing.count > 1:
            centre = (along, 0.5) if beside else (0.5, along)
            spots += _place_copies(thing, COLUMN2 if beside else ROW2, centre, 0.86, rng)
        elif beside:
            spots.append(Spot(thing, along, _find_standing_height(thing, side, shape, rng) if ground else across, side))
        else:
            spots.append(Spot(thing, across, along, side))
    return spots


def _place_three(things: tuple[Thing, ...], rng: np.random.Generator) -> list[Spot]:
    """Place three things in reading order: by rows, and in a row from the left."""
    form = (UP3, DOWN3)[int(rng.integers(2))]
    order = sorted(range(3), key=lambda k: form[k][::-1])
    spots = [_place_copies(replace(thing, count=3), form, (0.5, 0.5), 1.0, rng) for thing in things]
    return [spots[k][at] for k, at in enumerate(order)]


def _place_act(plan: Plan, shape: Shape, rng: np.random.Generator) -> list[Spot]:
    """Place an actor with an object that is worn, held, read, eaten, played, ridden, sat on or stood under."""
    who, what = plan.things[:2]
    side = float(rng.uniform(0.54, 0.60))
    x = 0.5 + float(rng.uniform(-0.07, 0.07))
    foot = float(rng.uniform(0.92, 0.97))
    spots: list[Spot]
    match plan.relation:
        case "wearing":
            high, hat = side * shape(who)[1], 0.62 * side
            brim = foot - 0.84 * high  # a hat covers the tips of ears
            spots = [_place_on(who, x, foot, side, shape), _place_on(what, x, brim, hat, shape)]
        case "reading":
            icon = "" if what.colour else "open-book"
            spots = [_place_on(who, x, foot - 0.08, side, shape), Spot(what, x, foot - 0.12, 0.62 * side, icon)]
        case "holding":
            way = 1 if rng.random() < 0.5 else -1
            spots = [
                _place_on(who, x, foot, side, shape),
                _place_on(what, x + way * 0.46 * side, foot - 0.03, 0.55 * side, shape),
            ]
        case "eating":
            way = 1 if rng.random() < 0.5 else -1
            mouth = foot - 0.22 * side
            spots = [_place_on(who, x, foot, side, shape), Spot(what, x + way * 0.16 * side, mouth, 0.36 * side)]
        case "playing":
            spots = [_place_on(who, x, foot - 0.08, side, shape), Spot(what, x, foot - 0.14, 0.58 * side)]
        case "riding":
            mount = float(rng.uniform(0.60, 0.68))
            top = foot - 0.72 * mount * shape(what)[1]  # in the saddle
            spots = [_place_on(what, x, foot, mount, shape), _place_on(who, x, top + 0.02, 0.36, shape)]
        case "on":
            seat = float(rng.uniform(0.52, 0.60))
            top = foot - seat * shape(what)[1]
            spots = [_place_on(what, x, foot, seat, shape), _place_on(who, x, top + 0.06, 0.40, shape)]
        case "under":
            spots = [_place_on(who, x, foot, 0.46, shape), Spot(what, x, 0.25, 0.42)]
    if len(plan.things) > 2:
        spots.append(Spot(plan.things[2], 0.14 if x > 0.5 else 0.86, 0.15, 0.26))
    return spots


def _place_on(thing: Thing, x: float, bottom: float, side: float, shape: Shape) -> Spot:
    return Spot(thing, x, bottom - side * shape(thing)[1] / 2, side)
