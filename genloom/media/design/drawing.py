"""Designs as pictures: the material in grey, supports in blue, loads in red, regions as outlines.

Plane designs are drawn from the front, those in three dimensions in parallel projection, from the right, above, in
front.
"""

from collections.abc import Iterator, Sequence
from math import ceil, hypot, sqrt
from typing import Any

import numpy as np

from genloom.media.design.goals import DesignGoals, Domain, Place
from genloom.media.design.problems import find_nodes, list_coordinates
from genloom.media.design.structure import LEVELS, Structure
from genloom.media.pictures import to_png, wrap_text

LONG_SIDE, MARGIN = 420, 56  # pixels
SUPPORT_COLOUR, LOAD_COLOUR, SOLID_COLOUR, EMPTY_COLOUR = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
CASE_COLOURS = ("#d55e00", "#b8860b", "#cc79a7", "#7a3db8")
MAX_MARKS, MAX_ARROWS = 9, 5  # along one support or load
MARK_DISTANCE = 22  # pixels
SIDE_STEPS = {
    (1, 0): (0, 1),
    (0, 0): (-1, 0),
    (0, 1): (1, 0),
    (1, 1): (0, -1),
}  # axis and end: bottom, left, right, top
ARROW, TRIANGLE = 40, 9  # pixels
MAX_COLUMNS, CAPTION_HEIGHT, MAX_CAPTION = 4, 34, 140
SOLID_LEVEL = 0.5  # of the voxels that are drawn
SHADES = {"x": 150, "y": 215, "z": 185}  # grey of faces across an axis
DEPTH_X, DEPTH_Y = 0.5 * sqrt(3) / 2, 0.5 * 0.6  # of a voxel along z, in voxels to the right and up


def draw_png(structures: Sequence[Structure], captions: Sequence[str] = ()) -> bytes:
    """Return designs in rows, each above its caption, as PNG."""
    from PIL import Image, ImageDraw, ImageFont

    images = [draw_image(structure) for structure in structures]
    if len(images) == 1 and not captions:
        return to_png(images[0])
    columns = min(MAX_COLUMNS, ceil(sqrt(len(images))))
    width, text_height = max(image.width for image in images), CAPTION_HEIGHT if any(captions) else 0
    rows = [range(first, min(first + columns, len(images))) for first in range(0, len(images), columns)]
    heights = [max(images[number].height for number in row) + text_height for row in rows]
    canvas, font = Image.new("RGB", (columns * width, sum(heights)), "white"), ImageFont.load_default(13)
    draw, bottom = ImageDraw.Draw(canvas), 0
    texts = captions or [""] * len(images)
    for row, height in zip(rows, heights, strict=True):
        bottom += height
        for column, number in enumerate(row):
            image, left = images[number], column * width
            canvas.paste(image, (left + (width - image.width) // 2, bottom - text_height - image.height))
            for line, text in enumerate(wrap_text(texts[number][:MAX_CAPTION], width - 16, font)[:2]):
                draw.text((left + 8, bottom - text_height + 15 * line), text, "#333333", font)
    return to_png(canvas)


def draw_image(structure: Structure) -> Any:
    """Return the picture of a design, with its goals if they are known."""
    return draw_plane(structure) if structure.axes == 2 else draw_voxels(structure)


def draw_plane(structure: Structure) -> Any:
    """Return a plane design from the front."""
    from PIL import Image, ImageDraw

    rows, columns = structure.shape
    scale = max(LONG_SIDE / max(rows, columns), 1.0)
    size = round(columns * scale), round(rows * scale)
    grey = Image.fromarray(255 - (structure.levels.astype(np.int32) * 205 // LEVELS).astype(np.uint8))
    canvas = Image.new("RGB", (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN), "white")
    canvas.paste(grey.resize(size, Image.Resampling.NEAREST).convert("RGB"), (MARGIN, MARGIN))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((MARGIN - 1, MARGIN - 1, MARGIN + size[0], MARGIN + size[1]), outline="#bbbbbb")
    if structure.goals is not None:
        pixels = size[0] / structure.goals.domain.size[0]

        def project(x: float, y: float, *_: float) -> tuple[float, float]:
            return MARGIN + x * pixels, MARGIN + size[1] - y * pixels

        draw_goals(draw, structure.goals, project, pixels)
    return canvas


def draw_goals(draw: Any, goals: DesignGoals, project: Any, pixels: float) -> None:
    """Draw regions, supports and loads; `project` maps metres to the picture."""
    for region in goals.regions:
        colour = SOLID_COLOUR if region.kind == "solid" else EMPTY_COLOUR
        x, y = project(*region.start)
        if region.radius:
            r = region.radius * pixels
            draw.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=2)
        else:
            right, top = project(*region.end)
            draw.rectangle((min(x, right), min(y, top), max(x, right), max(y, top)), outline=colour, width=2)
    for support in goals.supports:
        if support.place.radius:
            draw_rim(draw, project(*support.place.start), support.place.radius * pixels)
            continue
        points = list_marks(support.place, goals.domain, MAX_MARKS, MARK_DISTANCE / pixels)
        side = get_side(points, goals.domain)
        for point in points:
            draw_support(draw, project(*point), support.hold, side)
    for load in goals.loads:
        colour = CASE_COLOURS[goals.cases.index(load.case) % len(CASE_COLOURS)]
        tip = project(*load.force)
        origin = project(*(0.0,) * goals.domain.axes)
        direction = tip[0] - origin[0], tip[1] - origin[1]
        points = list_marks(load.place, goals.domain, MAX_ARROWS, MARK_DISTANCE / pixels)
        for point in points:
            draw_arrow(draw, project(*point), direction, colour, ARROW if len(points) == 1 else 0.7 * ARROW)


def list_marks(place: Place, domain: Domain, count: int, distance: float = 0.0) -> list[tuple[float, ...]]:
    """Return at most so many points of a place, about evenly among its nodes, as far apart as `distance` or so."""
    at = find_nodes(place, domain)
    points = np.stack([x[at] for x in list_coordinates(domain, is_nodes=True)], -1)
    if place.radius and len(points):  # around the centre
        angles = np.arctan2(points[:, 1] - place.start[1], points[:, 0] - place.start[0])
        points = points[np.argsort(angles, kind="stable")]
    if distance and len(points) > 1:
        extent = float(np.linalg.norm(points.max(0) - points.min(0)))
        count = min(count, int(extent / distance) + 1)
        if count == 1:
            return [tuple(points[len(points) // 2].tolist())]
    chosen = np.unique(np.linspace(0, len(points) - 1, min(count, len(points))).round().astype(int))
    return [tuple(point) for point in points[chosen].tolist()]


def get_side(points: Sequence[Sequence[float]], domain: Domain) -> tuple[int, int]:
    """Return where outside is, in pixels, seen from points that lie on one side of the domain; else below."""
    places = np.array(points)[:, :2]
    for (axis, end), side in SIDE_STEPS.items():
        at = domain.size[axis] if end else 0.0
        if (np.abs(places[:, axis] - at) < 0.25 * domain.element_size).all():
            return side
    return 0, 1


def draw_rim(draw: Any, center: tuple[float, float], radius: float) -> None:
    """Draw the rim of a hole that is held, such as that of a screw."""
    (x, y), r = center, max(radius, 4)
    draw.ellipse((x - r, y - r, x + r, y + r), outline=SUPPORT_COLOUR, width=3)
    draw.line((x - r, y, x + r, y), SUPPORT_COLOUR, 2)
    draw.line((x, y - r, x, y + r), SUPPORT_COLOUR, 2)


def draw_support(draw: Any, at: tuple[float, float], hold: str, side: tuple[int, int]) -> None:
    """Draw a triangle for what is held in all directions of the picture, a roller for what slides."""
    (x, y), (dx, dy), r = at, side, TRIANGLE
    if "x" in hold and "y" in hold:
        base = x + dx * 1.5 * r, y + dy * 1.5 * r
        points = [(x, y), (base[0] - dy * r, base[1] - dx * r), (base[0] + dy * r, base[1] + dx * r)]
        draw.polygon(points, fill=SUPPORT_COLOUR)
        return
    across = (0, 1) if "y" in hold else (1, 0)  # a roller stands in the direction that it holds
    sign = -1 if (dx, dy) in ((-1, 0), (0, -1)) and abs(dx) == across[0] else 1
    cx, cy = x + sign * across[0] * r * 0.7, y + sign * across[1] * r * 0.7
    draw.ellipse((cx - 0.7 * r, cy - 0.7 * r, cx + 0.7 * r, cy + 0.7 * r), outline=SUPPORT_COLOUR, width=2)
    lx, ly = x + sign * across[0] * r * 1.6, y + sign * across[1] * r * 1.6
    draw.line((lx - across[1] * r, ly - across[0] * r, lx + across[1] * r, ly + across[0] * r), SUPPORT_COLOUR, 2)


def draw_arrow(draw: Any, at: tuple[float, float], direction: tuple[float, float], colour: str, length: float) -> None:
    """Draw an arrow in a direction of the picture whose end is at the load, where the force acts."""
    norm = hypot(*direction)
    if norm < 1e-12:  # it points into the picture
        draw.ellipse((at[0] - 5, at[1] - 5, at[0] + 5, at[1] + 5), outline=colour, width=2)
        return
    dx, dy = direction[0] / norm, direction[1] / norm
    tail = at[0] - dx * length, at[1] - dy * length
    draw.line((*tail, at[0] - dx * 6, at[1] - dy * 6), colour, 3)
    left = at[0] - dx * 11 - dy * 6, at[1] - dy * 11 + dx * 6
    right = at[0] - dx * 11 + dy * 6, at[1] - dy * 11 - dx * 6
    draw.polygon([at, left, right], fill=colour)


def draw_voxels(structure: Structure) -> Any:
    """Return the solid voxels in parallel projection, the far ones first."""
    from PIL import Image, ImageDraw

    depth, height, width = structure.shape
    extent = width + depth * DEPTH_X, height + depth * DEPTH_Y
    scale = LONG_SIDE / max(extent)
    size = round(extent[0] * scale), round(extent[1] * scale)
    canvas = Image.new("RGB", (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN), "white")
    draw = ImageDraw.Draw(canvas)

    def place_voxel(x: float, y: float, z: float) -> tuple[float, float]:
        """Return the place of a point in voxels, y upward, z to the back."""
        return MARGIN + (x + z * DEPTH_X) * scale, MARGIN + size[1] - (y + z * DEPTH_Y) * scale

    draw_box(draw, place_voxel, (width, height, depth))
    for corners, shade in iter_faces(structure.density > SOLID_LEVEL):
        draw.polygon([place_voxel(*corner) for corner in corners], fill=(shade,) * 3, outline=(shade - 40,) * 3)
    if structure.goals is not None:
        step = structure.goals.domain.element_size

        def project(x: float, y: float, z: float) -> tuple[float, float]:
            return place_voxel(x / step, y / step, z / step)

        for support in structure.goals.supports:
            for point in list_marks(
                support.place, structure.goals.domain, MAX_MARKS, 0.15 * max(structure.goals.domain.size)
            ):
                draw_support(draw, project(*point), support.hold, (0, 1))
        for load in structure.goals.loads:
            colour = CASE_COLOURS[structure.goals.cases.index(load.case) % len(CASE_COLOURS)]
            tip, origin = project(*load.force), project(0.0, 0.0, 0.0)
            for point in list_marks(load.place, structure.goals.domain, 3):
                draw_arrow(draw, project(*point), (tip[0] - origin[0], tip[1] - origin[1]), colour, ARROW)
    return canvas


def draw_box(draw: Any, place: Any, size: tuple[int, int, int]) -> None:
    """Draw the edges of the domain."""
    for axis in range(3):
        for a in (0, 1):
            for b in (0, 1):
                start = [0.0, 0.0, 0.0]
                start[(axis + 1) % 3], start[(axis + 2) % 3] = a * size[(axis + 1) % 3], b * size[(axis + 2) % 3]
                end = list(start)
                end[axis] = size[axis]
                draw.line((*place(*start), *place(*end)), "#cccccc", 1)


def iter_faces(solid: np.ndarray) -> Iterator[tuple[list[tuple[int, int, int]], int]]:
    """Yield the corners and the shade of the visible faces, from the back to the front, the bottom and the left."""
    depth, height, _ = solid.shape
    padded = np.pad(solid, 1)
    is_open = {
        "z": ~padded[:-2, 1:-1, 1:-1],  # to the front
        "y": ~padded[1:-1, :-2, 1:-1],  # upward
        "x": ~padded[1:-1, 1:-1, 2:],  # to the right
    }
    for z in range(depth - 1, -1, -1):
        for row in range(height - 1, -1, -1):
            for x in np.flatnonzero(solid[z, row]).tolist():
                y = height - 1 - row
                if is_open["y"][z, row, x]:
                    top = [(x, y + 1, z), (x + 1, y + 1, z), (x + 1, y + 1, z + 1), (x, y + 1, z + 1)]
                    yield top, SHADES["y"]
                if is_open["x"][z, row, x]:
                    yield [(x + 1, y, z), (x + 1, y + 1, z), (x + 1, y + 1, z + 1), (x + 1, y, z + 1)], SHADES["x"]
                if is_open["z"][z, row, x]:
                    yield [(x, y, z), (x + 1, y, z), (x + 1, y + 1, z), (x, y + 1, z)], SHADES["z"]


def draw_letters(structure: Structure, columns: int = 64) -> list[str]:
    """Return a plane design, or the mean over depth, in characters, two rows of cells a line."""
    density = structure.density if structure.axes == 2 else structure.density.mean(0)
    rows, width = density.shape
    step = max(1, ceil(width / columns))
    cells = density[: rows // step * step or None, : width // step * step or None]
    cells = cells.reshape(len(cells) // step, step, -1, step).mean((1, 3)) > SOLID_LEVEL
    cells = np.pad(cells, ((0, len(cells) % 2), (0, 0)))
    marks = " ▄▀█"
    return ["".join(marks[int(low) + 2 * int(high)] for high, low in zip(*pair, strict=True)).rstrip()
            for pair in cells.reshape(-1, 2, cells.shape[1])]  # fmt: skip
