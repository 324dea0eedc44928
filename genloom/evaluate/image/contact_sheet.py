"""Contact sheets as PNG bytes: samples with captions, each followed by its nearest training images."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genloom.evaluate.charts import encode_png, open_figure

ImageArray = NDArray[np.uint8]

_SIDE = 96  # pixels of an image on a sheet
_GAP = 8
_CAPTION_HEIGHT = 30  # pixels below an image, for two lines
_INK, _FLAG_COLOUR = "#333333", "#D55E00"


@dataclass(frozen=True)
class SheetImage:
    """An image with the caption below it; a flagged one has a frame."""

    image: ImageArray
    caption: str = ""
    is_flagged: bool = False


@dataclass(frozen=True)
class SheetRow:
    """A sample and the images next to it."""

    sample: SheetImage
    neighbours: Sequence[SheetImage] = field(default_factory=tuple)


def draw_contact_sheet(rows: Sequence[SheetRow], title: str = "", columns: int = 0) -> bytes:
    """Draw rows, each starting with its sample, in `columns` groups (0: as many as make about a square)."""
    max_images = 1 + max(len(row.neighbours) for row in rows)
    columns = columns or max(1, round((len(rows) / max_images) ** 0.5))
    num_lines = -(-len(rows) // columns)
    group_width = max_images * (_SIDE + _GAP) + (4 * _GAP if max_images > 1 else 0)
    canvas = np.full(
        (num_lines * (_SIDE + _CAPTION_HEIGHT + _GAP) + _GAP, columns * group_width + _GAP, 3), 255, np.uint8
    )
    height, width, _ = canvas.shape
    with open_figure(max(width / 100, 3.2), (height + 40 * bool(title)) / 100) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, height / (height + 40 * bool(title))))
        axes.set_axis_off()
        for row_index, row in enumerate(rows):
            top = _GAP + row_index // columns * (_SIDE + _CAPTION_HEIGHT + _GAP)
            for column_index, cell in enumerate((row.sample, *row.neighbours)):
                left = (
                    _GAP
                    + row_index % columns * group_width
                    + column_index * (_SIDE + _GAP)
                    + (_GAP if column_index else 0)
                )
                canvas[top : top + _SIDE, left : left + _SIDE] = _resize_square(cell.image)
                colour = _FLAG_COLOUR if cell.is_flagged else _INK
                caption = "\n".join(textwrap.wrap(cell.caption, 20, max_lines=2, placeholder=" …"))
                axes.text(left + _SIDE / 2, top + _SIDE + 3, caption, ha="center", va="top", fontsize=6, color=colour)
                if cell.is_flagged:
                    axes.plot(*_build_frame_lines(left, top), color=_FLAG_COLOUR, linewidth=2)
        axes.imshow(canvas, interpolation="nearest")
        if title:
            figure.text(0.01, 0.995, title, va="top", fontsize=11, fontweight="bold")
        return encode_png(figure)


def _resize_square(image: ImageArray) -> ImageArray:
    """Resize an image to a square cell, without smoothing if it is enlarged."""
    resample = Image.Resampling.NEAREST if max(image.shape[:2]) < _SIDE else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), resample))


def _build_frame_lines(left: int, top: int) -> tuple[list[int], list[int]]:
    right, bottom = left + _SIDE, top + _SIDE
    return [left, right, right, left, left], [top, top, bottom, bottom, top]
