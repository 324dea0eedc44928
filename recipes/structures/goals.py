"""Random goals without end: a plane problem for every (seed, index), the same at every resolution.

Two kinds. "usual": held on sides, at points of the boundary or by bolts, loaded on the boundary or a hole, some with
empty or solid regions and several load cases. "unusual" is kept out of training, to measure models out of distribution:
held and loaded inside the domain, domains cut to T, U, rings and crosses, slots, and less or more material.
"""

from itertools import count

import numpy as np

from genloom.errors import GenloomError
from genloom.media.design.mechanics.checks import check_problem
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem, limit_volume
from recipes.structures.canvas import SIDES, Canvas, Disc

KINDS = ("usual", "unusual")
MIN_REACH = 0.35  # mean distance of the forces from the supports: designs for nearer ones are mere blocks
OPPOSITE = {"left": "right", "right": "left", "bottom": "top", "top": "bottom"}


def build_problem(seed: int, index: int, shape: tuple[int, int] = (64, 64), kind: str = "usual") -> Problem:
    """Return the problem of an index, which `check_problem` accepts; its coordinates do not depend on the shape."""
    for attempt in count():
        rng = np.random.default_rng([seed, index, KINDS.index(kind), attempt])
        draw = draw_usual if kind == "usual" else draw_unusual
        canvas = draw(rng, shape)
        problem = canvas.build_problem()
        try:
            check_problem(problem)
        except GenloomError:
            continue
        least, greatest = limit_volume(problem)
        room = (problem.volume - least) / (greatest - least)
        if canvas.measure_reach() >= MIN_REACH and 0.12 <= room <= 0.85:
            return problem
    raise AssertionError("count() has no end")


def draw_usual(rng: np.random.Generator, shape: tuple[int, int]) -> Canvas:
    """Return a problem of the usual kind, which may be impossible."""
    cases = int(rng.choice([1, 2, 3], p=[0.75, 0.18, 0.07]))
    canvas = Canvas(shape, round(rng.uniform(0.2, 0.55), 3), cases)
    draw_regions(rng, canvas)
    draw_supports(rng, canvas)
    for case in range(cases):
        draw_forces(rng, canvas, case)
    return canvas


def draw_supports(rng: np.random.Generator, canvas: Canvas) -> None:
    """Hold the part in one of eight ways."""
    side = str(rng.choice(SIDES))
    match int(rng.choice(8, p=[0.18, 0.15, 0.15, 0.1, 0.14, 0.12, 0.06, 0.1])):
        case 0:  # a whole side
            canvas.hold_nodes(canvas.find_side(side))
        case 1:  # a part of a side
            canvas.hold_nodes(draw_segment(rng, canvas, side, 0.15, 0.6))
        case 2:  # two parts, of one side or of two
            canvas.hold_nodes(draw_segment(rng, canvas, side, 0.05, 0.3))
            canvas.hold_nodes(draw_segment(rng, canvas, str(rng.choice(SIDES)), 0.05, 0.3))
        case 3:  # a pin and a roller
            canvas.hold_nodes(draw_segment(rng, canvas, side, 0.0, 0.06))
            other = str(rng.choice([side, OPPOSITE[side]]))
            canvas.hold_nodes(draw_segment(rng, canvas, other, 0.0, 0.06), "x" if side in ("left", "right") else "y")
        case 4:  # two to four pins
            for _ in range(int(rng.integers(2, 5))):
                canvas.hold_nodes(draw_segment(rng, canvas, str(rng.choice(SIDES)), 0.0, 0.08))
        case 5:  # one half of a symmetric part
            canvas.hold_nodes(canvas.find_side(side), "x" if side in ("left", "right") else "y")
            canvas.hold_nodes(
                draw_segment(rng, canvas, str(rng.choice([name for name in SIDES if name != side])), 0.0, 0.2),
                str(rng.choice(["xy", "y" if side in ("left", "right") else "x"])),
            )
        case 6:  # two corners
            canvas.hold_nodes(canvas.find_side(side, 0.0, 0.04))
            canvas.hold_nodes(canvas.find_side(side, 0.96, 1.0))
        case _:  # bolts
            for _ in range(int(rng.integers(1, 4))):
                canvas.hold_nodes(canvas.paint_hole(draw_hole(rng)))


def draw_forces(rng: np.random.Generator, canvas: Canvas, case: int) -> None:
    """Load one case with one to three forces, on the boundary or on the rim of a hole."""
    number = int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))
    for share in draw_shares(rng, number):
        side = str(rng.choice(SIDES))
        way = rng.random()
        if way < 0.68:
            nodes = draw_segment(rng, canvas, side, 0.0, 0.04)
        elif way < 0.9:
            nodes = draw_segment(rng, canvas, side, 0.15, 1.0)
            if rng.random() < 0.5:  # the deck that carries it
                depth = 2 * canvas.step
                near = {"left": canvas.x, "right": 1 - canvas.x, "bottom": canvas.y, "top": 1 - canvas.y}[side]
                along = canvas.node_y if side in ("left", "right") else canvas.node_x
                place = canvas.y if side in ("left", "right") else canvas.x
                is_below = (place >= along[nodes].min()) & (place <= along[nodes].max())
                canvas.paint_region((near <= depth) & is_below, SOLID)
        else:
            nodes = canvas.paint_hole(draw_hole(rng))
        canvas.load_nodes(nodes, case, draw_direction(rng, share))


def draw_regions(rng: np.random.Generator, canvas: Canvas) -> None:
    """Paint no region (most), or holes, boxes, a missing corner or a solid bar."""
    match int(rng.choice(6, p=[0.6, 0.12, 0.08, 0.09, 0.06, 0.05])):
        case 1:  # holes
            for _ in range(int(rng.integers(1, 3))):
                x, y = rng.uniform(0.15, 0.85, 2)
                canvas.paint_region(canvas.is_inside(Disc(x, y, rng.uniform(0.08, 0.2))), EMPTY)
        case 2:  # a window
            (x, y), (width, height) = rng.uniform(0.1, 0.6, 2), rng.uniform(0.12, 0.35, 2)
            canvas.paint_region(canvas.is_in_box((x, x + width), (y, y + height)), EMPTY)
        case 3:  # an L
            width, height = rng.uniform(0.3, 0.65, 2)
            left, bottom = rng.random(2) < 0.5
            x = (0.0, width) if left else (1 - width, 1.0)
            canvas.paint_region(canvas.is_in_box(x, (0.0, height) if bottom else (1 - height, 1.0)), EMPTY)
        case 4:  # a pad
            (x, y), (width, height) = rng.uniform(0.05, 0.7, 2), rng.uniform(0.08, 0.25, 2)
            canvas.paint_region(canvas.is_in_box((x, x + width), (y, y + height)), SOLID)
        case 5:  # a bar from side to side
            place = rng.uniform(0.05, 0.95)
            band = (place, place + 3 * canvas.step)
            is_across = rng.random() < 0.5
            canvas.paint_region(canvas.is_in_box((0, 1), band) if is_across else canvas.is_in_box(band, (0, 1)), SOLID)


def draw_unusual(rng: np.random.Generator, shape: tuple[int, int]) -> Canvas:
    """Return a problem of the unusual kind, which may be impossible."""
    cases = int(rng.choice([1, 2, 4], p=[0.6, 0.25, 0.15]))
    low, high = ((0.2, 0.6), (0.15, 0.22), (0.58, 0.7))[int(rng.choice(3, p=[0.5, 0.25, 0.25]))]
    canvas = Canvas(shape, round(rng.uniform(low, high), 3), cases)
    cut_domain(rng, canvas)
    for _ in range(int(rng.integers(2, 4))):
        canvas.hold_nodes(draw_inner_nodes(rng, canvas))
    for case in range(cases):
        for share in draw_shares(rng, int(rng.choice([1, 2, 4], p=[0.5, 0.3, 0.2]))):
            canvas.load_nodes(draw_inner_nodes(rng, canvas), case, draw_direction(rng, share))
    return canvas


def cut_domain(rng: np.random.Generator, canvas: Canvas) -> None:
    """Cut the domain to a T, U, cross or ring, or by slots or several holes."""
    arm, reach = rng.uniform(0.25, 0.4), rng.uniform(0.35, 0.65)
    is_turned, is_flipped = rng.random(2) < 0.5
    x, y = (canvas.y, canvas.x) if is_turned else (canvas.x, canvas.y)
    y = 1 - y if is_flipped else y
    outer = np.abs(x - 0.5) > arm / 1.5
    match int(rng.integers(6)):
        case 0:  # T
            canvas.paint_region(outer & (y < reach), EMPTY)
        case 1:  # U
            canvas.paint_region(~outer & (y > 1 - reach), EMPTY)
        case 2:  # cross
            canvas.paint_region(outer & (np.abs(y - 0.5) > arm / 1.5), EMPTY)
        case 3:  # ring
            canvas.paint_region(canvas.is_inside(Disc(0.5, 0.5, arm / 1.3)), EMPTY)
            canvas.paint_region(~canvas.is_inside(Disc(0.5, 0.5, 0.55)), EMPTY)
        case 4:  # slots
            for _ in range(int(rng.integers(1, 4))):
                (left, bottom), length = rng.uniform(0.1, 0.6, 2), rng.uniform(0.2, 0.5)
                box = (left, left + length), (bottom, bottom + rng.uniform(0.04, 0.1))
                canvas.paint_region(canvas.is_in_box(*box, angle=rng.uniform(0, np.pi)), EMPTY)
        case 5:  # holes
            for _ in range(int(rng.integers(3, 7))):
                place_x, place_y = rng.uniform(0.1, 0.9, 2)
                canvas.paint_region(canvas.is_inside(Disc(place_x, place_y, rng.uniform(0.04, 0.1))), EMPTY)


def draw_segment(rng: np.random.Generator, canvas: Canvas, side: str, shortest: float, longest: float) -> np.ndarray:
    """Return the nodes of a random part of a side."""
    length = rng.uniform(shortest, longest)
    start = rng.uniform(0, 1 - length)
    if rng.random() < 0.25:  # at an end of the side
        start = float(rng.choice([0.0, 1 - length]))
    return canvas.find_side(side, start, start + length)


def draw_hole(rng: np.random.Generator) -> Disc:
    radius = rng.uniform(0.04, 0.1)
    x, y = rng.uniform(radius + 0.07, 1 - radius - 0.07, 2)
    return Disc(x, y, radius)


def draw_inner_nodes(rng: np.random.Generator, canvas: Canvas) -> np.ndarray:
    """Return a point or a small disc of nodes inside the domain."""
    x, y = rng.uniform(0.08, 0.92, 2)
    return canvas.find_disc(Disc(x, y, float(rng.choice([0.0, rng.uniform(0.02, 0.08)]))))


def draw_direction(rng: np.random.Generator, size: float) -> tuple[float, float]:
    """Return a force: half of them along an axis."""
    angle = rng.integers(4) * np.pi / 2 if rng.random() < 0.5 else rng.uniform(0, 2 * np.pi)
    return size * round(float(np.cos(angle)), 6), size * round(float(np.sin(angle)), 6)


def draw_shares(rng: np.random.Generator, number: int) -> list[float]:
    """Return the sizes of forces, 1 together."""
    sizes = rng.uniform(0.3, 1.0, number)
    return (sizes / sizes.sum()).tolist()
