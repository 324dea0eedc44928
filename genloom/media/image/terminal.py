"""Draws a picture on a terminal: half blocks, two pixels to a character, in 24-bit colours."""

import numpy as np

from genloom.media.image import decoding

RESET = "\x1b[0m"


def drawn(value_HWC: np.ndarray, columns: int) -> str:
    """Lines of at most `columns` characters; the upper pixel is a block's ink, the lower its paper."""
    from PIL import Image

    height, width, _ = value_HWC.shape
    wide = min(columns, width)
    high = max(2, round(height * wide / width) // 2 * 2)
    small = np.asarray(decoding.image_of(value_HWC).resize((wide, high), Image.Resampling.BOX))
    return "\n".join(_line(small[row], small[row + 1]) + RESET for row in range(0, high, 2))


def _line(upper_WC: np.ndarray, lower_WC: np.ndarray) -> str:
    """Says a colour only where it changes."""
    cells, ink, paper = [], None, None
    for above, below in zip(upper_WC.tolist(), lower_WC.tolist(), strict=True):
        if above != ink:
            cells.append("\x1b[38;2;{};{};{}m".format(*above))
        if below != paper:
            cells.append("\x1b[48;2;{};{};{}m".format(*below))
        cells.append("▀")
        ink, paper = above, below
    return "".join(cells)
