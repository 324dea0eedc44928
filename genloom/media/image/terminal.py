"""Rendering of images in a terminal: half blocks, two pixels per character, in 24-bit colours."""

import numpy as np

from genloom.media.image import decoding

RESET = "\x1b[0m"


def render_ansi(value_HWC: np.ndarray, max_columns: int) -> str:
    """Return lines of at most `max_columns` characters: the upper pixel is the foreground, the lower the background."""
    from PIL import Image

    height, width, _ = value_HWC.shape
    num_columns = min(max_columns, width)
    num_rows = max(2, round(height * num_columns / width) // 2 * 2)
    thumbnail = np.asarray(decoding.to_pil_image(value_HWC).resize((num_columns, num_rows), Image.Resampling.BOX))
    return "\n".join(_render_line(thumbnail[row], thumbnail[row + 1]) + RESET for row in range(0, num_rows, 2))


def _render_line(upper_WC: np.ndarray, lower_WC: np.ndarray) -> str:
    """Render one line, with escape codes only where a colour changes."""
    cells, foreground, background = [], None, None
    for above, below in zip(upper_WC.tolist(), lower_WC.tolist(), strict=True):
        if above != foreground:
            cells.append("\x1b[38;2;{};{};{}m".format(*above))
        if below != background:
            cells.append("\x1b[48;2;{};{};{}m".format(*below))
        cells.append("▀")
        foreground, background = above, below
    return "".join(cells)
