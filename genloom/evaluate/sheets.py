"""Sheets of pictures as PNG bytes: samples with their captions, and beside each the training pictures nearest to it."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genloom.evaluate.charts import drawing, png

Picture = NDArray[np.uint8]

_SIDE = 96  # pixels of a picture on a sheet
_GAP = 8
_WORDS = 30  # pixels below a picture, for two lines
_INK, _ALARM = "#333333", "#D55E00"


@dataclass(frozen=True)
class Shown:
    """A picture with what is written below it; `marked` frames it."""

    picture: Picture
    words: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Row:
    """A sample, and what is set beside it."""

    sample: Shown
    beside: Sequence[Shown] = field(default_factory=tuple)


def sheet(rows: Sequence[Row], title: str = "", across: int = 0) -> bytes:
    """Rows side by side, `across` of them (as many as make about a square), each beginning with its sample."""
    widest = 1 + max(len(row.beside) for row in rows)
    across = across or max(1, round((len(rows) / widest) ** 0.5))
    lines = -(-len(rows) // across)
    group = widest * (_SIDE + _GAP) + (4 * _GAP if widest > 1 else 0)
    paper = np.full((lines * (_SIDE + _WORDS + _GAP) + _GAP, across * group + _GAP, 3), 255, np.uint8)
    height, width, _ = paper.shape
    with drawing(max(width / 100, 3.2), (height + 40 * bool(title)) / 100) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, height / (height + 40 * bool(title))))
        axes.set_axis_off()
        for number, row in enumerate(rows):
            top = _GAP + number // across * (_SIDE + _WORDS + _GAP)
            for place, shown in enumerate((row.sample, *row.beside)):
                left = _GAP + number % across * group + place * (_SIDE + _GAP) + (_GAP if place else 0)
                paper[top : top + _SIDE, left : left + _SIDE] = _square(shown.picture)
                colour = _ALARM if shown.marked else _INK
                words = "\n".join(textwrap.wrap(shown.words, 20, max_lines=2, placeholder=" …"))
                axes.text(left + _SIDE / 2, top + _SIDE + 3, words, ha="center", va="top", fontsize=6, color=colour)
                if shown.marked:
                    axes.plot(*_frame(left, top), color=_ALARM, linewidth=2)
        axes.imshow(paper, interpolation="nearest")
        if title:
            figure.text(0.01, 0.995, title, va="top", fontsize=11, fontweight="bold")
        return png(figure)


def _square(picture: Picture) -> Picture:
    """The picture as a square of the sheet, without smoothing where it is made larger."""
    way = Image.Resampling.NEAREST if max(picture.shape[:2]) < _SIDE else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize((_SIDE, _SIDE), way))


def _frame(left: int, top: int) -> tuple[list[int], list[int]]:
    right, bottom = left + _SIDE, top + _SIDE
    return [left, right, right, left, left], [top, top, bottom, bottom, top]
