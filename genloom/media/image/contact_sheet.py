"""Contact sheets: several images as one, with captions, marked cells and a title where they are given."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from io import BytesIO
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

ImageArray = NDArray[np.uint8]  # H W 3

GAP = 4  # pixels between images and around them
BACKGROUND = 255
CAPTION_LINES = 2
_FONT_SIZE, _TITLE_SIZE = 10, 16
_LINE_HEIGHT = 13
_INK, _FLAG_COLOUR = (51, 51, 51), (213, 94, 0)


@dataclass(frozen=True)
class SheetCell:
    """An image with the caption below it; a flagged one has a frame."""

    image: ImageArray
    caption: str = ""
    is_flagged: bool = False


def draw_contact_sheet(
    rows: Sequence[Sequence[SheetCell]], title: str = "", columns: int = 0, height: int = 0
) -> ImageArray:
    """Draw groups of cells that belong together, each from left to right, in `columns` of groups.

    Images are scaled to `height` (0: to the smallest one); cells are as wide as the widest image then is. Without
    `columns`, the sheet has about as many cells in a row as in a column.
    """
    row_height = height or min(len(cell.image) for row in rows for cell in row)
    scaled_rows = [[scale_to_height(cell.image, row_height) for cell in row] for row in rows]
    cell_width = max(image.shape[1] for row in scaled_rows for image in row)
    group_size = max(map(len, rows))
    columns = columns or max(1, ceil((len(rows) / group_size) ** 0.5))
    caption_height = CAPTION_LINES * _LINE_HEIGHT if any(cell.caption for row in rows for cell in row) else 0
    title_height = 2 * _TITLE_SIZE if title else 0
    group_gap = 4 * GAP if group_size > 1 else 0
    group_width = group_size * (cell_width + GAP) + group_gap
    line_height = row_height + caption_height + GAP
    sheet_size = title_height + ceil(len(rows) / columns) * line_height + GAP, columns * group_width - group_gap + GAP
    canvas = np.full((*sheet_size, 3), BACKGROUND, np.uint8)
    places = [
        (
            cell,
            image,
            title_height + GAP + index // columns * line_height,
            GAP + index % columns * group_width + position * (cell_width + GAP),
        )
        for index, (row, images) in enumerate(zip(rows, scaled_rows, strict=True))
        for position, (cell, image) in enumerate(zip(row, images, strict=True))
    ]
    for _, image, top, left in places:
        canvas[top : top + row_height, left : left + image.shape[1]] = image
    if not caption_height and not title and not any(cell.is_flagged for cell, *_ in places):
        return canvas
    sheet = Image.fromarray(canvas)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((GAP, GAP), title, _INK, _load_font(_TITLE_SIZE))
    for cell, image, top, left in places:
        colour = _FLAG_COLOUR if cell.is_flagged else _INK
        caption = _wrap_caption(cell.caption, cell_width)
        draw.multiline_text((left, top + row_height + 1), caption, colour, _load_font(_FONT_SIZE), spacing=1)
        if cell.is_flagged:
            draw.rectangle((left - 2, top - 2, left + image.shape[1] + 1, top + row_height + 1), None, _FLAG_COLOUR, 2)
    return np.asarray(sheet)


def scale_to_height(image: ImageArray, target_height: int) -> ImageArray:
    """Scale an image, without smoothing if it is enlarged."""
    height, width, _ = image.shape
    if height == target_height:
        return image
    size = max(round(width * target_height / height), 1), target_height
    resample = Image.Resampling.NEAREST if height < target_height else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(image).resize(size, resample))


def _wrap_caption(caption: str, width: int) -> str:
    num_characters = max(8, int(width / (0.56 * _FONT_SIZE)))
    return "\n".join(textwrap.wrap(caption, num_characters, max_lines=CAPTION_LINES, placeholder=" …"))


@cache
def _load_font(size: int) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which has more scripts than the font in Pillow, from matplotlib's data."""
    font = resources.files("matplotlib").joinpath("mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
    with font.open("rb") as file:
        return ImageFont.truetype(BytesIO(file.read()), size)
