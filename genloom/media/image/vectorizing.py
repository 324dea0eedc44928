"""Drawings as SVG: areas of few flat colours with smooth outlines, traced by vtracer.

Shape letters: H, W rows and columns, K colours of a palette.
"""

import io
import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError
from genloom.media.image import background, decoding, palette, upscaling

Picture = NDArray[np.uint8]  # H W 3
Labels = NDArray[np.uint8]  # H W: numbers of colours
MAX_SIDE = 1024  # pixels that are traced; a larger picture is reduced to it
_SMALL_SIDE = 256  # up to which a picture is enlarged before it is traced
_SPECKLE = 4  # side of areas that are left out, in traced pixels
_NAMESPACE = "http://www.w3.org/2000/svg"
_TRANSLATION = re.compile(r"translate\(([-0-9.]+),([-0-9.]+)\)")
_UNDECIDED = 255


@dataclass(frozen=True)
class Tracing:
    """A drawing as SVG, and the number of its paths."""

    svg: str
    num_paths: int


def draw_svg(picture: Picture, colours: str = "", is_transparent: bool = False, longer_side: int = 0) -> Tracing:
    """Return a picture as SVG with a path for each area of one colour.

    `colours` is a number or a list of colours ("": as many as the picture has, at most 12). With `is_transparent`, the
    background is left out. `longer_side` is the size at which it is shown, in pixels; 0: that of the picture.
    """
    height, width, _ = picture.shape
    side = max(height, width)
    scale = (longer_side or side) / side
    size = max(round(scale * width), 1), max(round(scale * height), 1)
    enlarged = picture
    if side <= _SMALL_SIDE:
        enlarged = upscaling.load_upscaler().enlarge(picture)
    elif side > MAX_SIDE:
        enlarged = upscaling.resize_longer_side(picture, MAX_SIDE)
    count, listed_K3 = palette.read_palette(colours) if colours else (palette.DEFAULT_COLOURS, None)
    palette_K3 = palette.choose_palette(enlarged, count) if listed_K3 is None else listed_K3
    labels_HW = clean_labels(palette.label_pixels(enlarged, palette_K3), len(palette_K3))
    flat = palette_K3[labels_HW]
    if is_transparent:
        key = choose_key(palette_K3)
        flat[find_label_background(labels_HW)] = key
        return trace_areas(flat, size, palette_K3, key)
    return trace_areas(flat, size, palette_K3)


def clean_labels(labels_HW: Labels, num_colours: int) -> Labels:
    """Return the labels without lines thinner than three pixels, which are mixtures at the border of two areas."""
    decided = np.full_like(labels_HW, _UNDECIDED)
    for label in range(num_colours):
        is_label = labels_HW == label
        core = ~background.dilate_mask(~is_label, 1)
        decided[background.dilate_mask(core, 1) & is_label] = label
    if (decided == _UNDECIDED).all():
        return labels_HW
    while (is_undecided := decided == _UNDECIDED).any():
        padded = np.pad(decided, 1, constant_values=_UNDECIDED)
        neighbours = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
        # Where it touches the area of its own colour, a line belongs to it; else to the first neighbour.
        is_own = (neighbours == labels_HW).any(0)
        first = np.where(neighbours == _UNDECIDED, 256, neighbours.astype(np.int16)).min(0)
        chosen = np.where(is_own, labels_HW, np.where(first < 256, first, _UNDECIDED))
        decided[is_undecided] = chosen[is_undecided]
    return decided


def find_label_background(labels_HW: Labels) -> NDArray[np.bool_]:
    """Return the area of the border's most frequent label that is connected to the border."""
    border = np.concatenate([labels_HW[0], labels_HW[-1], labels_HW[:, 0], labels_HW[:, -1]])
    is_background = labels_HW == np.bincount(border).argmax()
    seeds = np.zeros_like(is_background)
    seeds[0] = seeds[-1] = True
    seeds[:, 0] = seeds[:, -1] = True
    return background.flood_area(is_background, seeds)


def choose_key(palette_K3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a colour that is far from all of the palette."""
    levels = np.arange(0, 256, 51)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3).astype(np.float64)
    nearest = np.min([palette.measure_distances(colour, grid) for colour in palette_K3.astype(np.float64)], 0)
    return grid[int(np.argmax(nearest))].astype(np.uint8)


def trace_areas(
    flat: Picture, size: tuple[int, int], palette_K3: NDArray[np.uint8], left_out: NDArray[np.uint8] | None = None
) -> Tracing:
    """Return the outlines of the areas of one colour, on a drawing of this width and height.

    Areas of the colour `left_out` are not drawn; then areas do not lie on each other, so that nothing shows below them.
    """
    tracer = load_tracer()
    with io.BytesIO() as file:
        decoding.to_pil_image(flat).save(file, "PNG")
        text = tracer.convert_raw_image_to_svg(
            file.getvalue(),
            img_format="png",
            colormode="color",
            hierarchical="stacked" if left_out is None else "cutout",
            mode="spline",
            filter_speckle=_SPECKLE,
            color_precision=8,
            layer_difference=0,
            corner_threshold=60,
            length_threshold=3.5,
            path_precision=1,
        )
    colours_N3 = palette_K3 if left_out is None else np.vstack([left_out, palette_K3])
    paths = []
    for element in ElementTree.fromstring(text).iter(f"{{{_NAMESPACE}}}path"):
        traced = decoding.parse_colour(str(element.get("fill")))  # a mean over an area, and so not quite its colour
        number = int(palette.measure_distances(np.array(traced, np.float64), colours_N3).argmin())
        if left_out is None or number:
            paths.append(format_path(element, colours_N3[number]))
    (width, height), (rows, columns, _) = size, flat.shape
    head = f'<svg xmlns="{_NAMESPACE}" width="{width}" height="{height}" viewBox="0 0 {columns} {rows}">'
    return Tracing("\n".join([head, *paths, "</svg>", ""]), len(paths))


def format_path(element: ElementTree.Element, colour: NDArray[np.uint8]) -> str:
    """Return a traced path in a colour."""
    match = _TRANSLATION.fullmatch(element.get("transform", ""))
    x, y = (float(number) for number in match.groups()) if match else (0.0, 0.0)
    moved = f' transform="translate({x:g} {y:g})"' if x or y else ""
    return '<path fill="#{:02x}{:02x}{:02x}" d="{}"{}/>'.format(*colour.tolist(), str(element.get("d")).strip(), moved)


def load_tracer() -> Any:
    """Return vtracer; GenloomError, with the command that installs it, if it is missing."""
    try:
        return import_module("vtracer")
    except ImportError:
        raise GenloomError("media.tracer_missing") from None
