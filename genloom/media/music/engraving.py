"""Engraved scores as SVG, by Verovio, which is not part of the extra: its licence is the LGPL."""

from importlib import import_module
from typing import Any

from genloom.errors import GenloomError
from genloom.media.music.notation_writing import write_notation
from genloom.media.music.score import Score

PAGE_WIDTH, MAX_PAGE_HEIGHT, SCALE = 2100, 60_000, 40  # Verovio's units, and percent
OPTIONS = {
    "pageWidth": PAGE_WIDTH,
    "pageHeight": MAX_PAGE_HEIGHT,
    "scale": SCALE,
    "adjustPageHeight": True,
    "footer": "none",
    "xmlIdSeed": 1,  # the same bytes for equal scores
}


def engrave_score(score: Score) -> bytes:
    """Return the score on one page; GenloomError without Verovio."""
    try:
        verovio: Any = import_module("verovio")
    except ImportError:
        raise GenloomError("music.no_verovio") from None
    verovio.enableLog(verovio.LOG_OFF)
    toolkit: Any = verovio.toolkit()
    toolkit.setOptions(OPTIONS)
    toolkit.loadData(write_notation(score, ".musicxml").decode())
    return toolkit.renderToSVG(1).encode()
