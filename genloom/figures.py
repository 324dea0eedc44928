"""Figures of matplotlib, which is imported when the first one is drawn, and what the style of all charts shares."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARED_STYLE: Mapping[Any, Any] = {
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
}


@contextmanager
def open_figure(width: float, height: float, style: Mapping[Any, Any], **options: Any) -> "Generator[Figure]":
    """Yield a figure that pyplot does not know, so that any thread can draw and no figure stays open."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_SHARED_STYLE, **style}):
        figure = Figure(figsize=(width, height), **options)
        FigureCanvasAgg(figure)
        yield figure
