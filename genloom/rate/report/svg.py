"""Charts of a receipt as inline SVG by matplotlib, in colours that follow the page's light or dark theme.

The charts are drawn in placeholder colours, which become the page's CSS variables.
"""

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from html import escape
from typing import TYPE_CHECKING, Any

from genloom.figures import open_figure
from genloom.rate.calibration import Calibration
from genloom.rate.gate import Measure, compute_win_interval, format_values
from genloom.rate.report.receipt import CurvePoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 640  # pixels
_INK, _SOFT, _RULE, _GOOD, _BAD, _EVEN = ("#0f0001", "#0f0002", "#0f0003", "#0f0004", "#0f0005", "#0f0006")
_CSS_VARIABLES = {_INK: "ink", _SOFT: "soft", _RULE: "rule", _GOOD: "good", _BAD: "bad", _EVEN: "even"}
_COLOURS = {"good": _GOOD, "bad": _BAD, "even": _EVEN}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "genloom receipt",  # the same ids in every run
    "figure.dpi": 72,  # one pixel per point
    "savefig.transparent": True,
    "font.size": 13,
    "text.color": _SOFT,
    "axes.labelcolor": _SOFT,
    "axes.titlecolor": _SOFT,
    "axes.titlesize": 13,
    "axes.edgecolor": _RULE,
    "axes.spines.left": False,
    "axes.spines.bottom": False,
    "grid.color": _RULE,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def choose_css_class(measure: Measure) -> str:
    return "good" if measure.is_better else "bad" if measure.has_regressed_significantly else "even"


def draw_win_rate(measure: Measure) -> str:
    """Draw the held-out win rate with its interval, on a scale from 0 to 100 %, with the 50 % of chance."""
    low, high = compute_win_interval(measure)
    colour, rate = _COLOURS[choose_css_class(measure)], measure.challenger
    with _open_figure(WIDTH, 110) as figure:
        axes = figure.add_axes((0.05, 0.25, 0.9, 0.45))
        axes.axvline(0.5, color=_INK, linewidth=1.5)
        axes.axvspan(low, high, 0.2, 0.8, facecolor=colour, alpha=0.25)
        axes.vlines((low, high), 0.1, 0.9, color=colour, linewidth=2)
        axes.plot(rate, 0.5, "o", color=colour, markersize=16, clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), yticks=[], xticks=[n / 10 for n in range(11)])
        axes.set_xticklabels([f"{10 * n} %" if n % 5 == 0 else "" for n in range(11)])
        axes.annotate("chance", (0.5, 1), (0, 5), textcoords="offset points", ha="center")
        offset = 0 if abs(rate - 0.5) > 0.1 else 64 if rate >= 0.5 else -64  # the number does not cover that label
        number = f"{100 * rate:.0f} %"
        axes.annotate(
            number,
            (rate, 1),
            (offset, 4),
            textcoords="offset points",
            ha="center",
            color=_INK,
            fontsize=18,
            fontweight="bold",
        )
        return _encode_svg(figure, f"Win rate {number}, interval from {100 * low:.0f} to {100 * high:.0f} %")


def draw_gain(measure: Measure) -> str:
    """Draw one measure's gain with its interval, on a scale of its own: better is to the right."""
    limit = 1.15 * max(abs(measure.low), abs(measure.high), measure.tolerance, 1e-12)
    colour = _COLOURS[choose_css_class(measure)]
    with _open_figure(220, 28) as figure:
        axes = figure.add_axes((0.03, 0.05, 0.94, 0.9))
        axes.axvline(0, color=_INK, linewidth=1.5)
        if measure.tolerance:
            axes.axvline(-measure.tolerance, color=_SOFT, linewidth=1, linestyle=(0, (4, 4)))
        axes.plot([measure.low, measure.high], [0.5, 0.5], "|-", color=colour, linewidth=2.5, markersize=10)
        axes.plot(measure.gain, 0.5, "o", color=colour, markersize=10)
        axes.set(xlim=(-limit, limit), ylim=(0, 1))
        axes.axis("off")
        return _encode_svg(figure, f"gain {format_values(measure)[2]}")


def draw_curve(points: Sequence[CurvePoint], metric_label: str = "") -> str:
    """Draw the metric and the loss by step in two panels, each with its running mean."""
    steps, metric = [p.step for p in points], [p.agreement for p in points]
    with _open_figure(WIDTH, 266) as figure:
        top, bottom = figure.add_axes((0.0875, 0.57, 0.88, 0.34)), figure.add_axes((0.0875, 0.1, 0.88, 0.34))
        _draw_panel(top, metric_label or "agreement with the ratings of the step", steps, metric, _GOOD)
        top.set(ylim=(min(0, *metric), max(1, *metric)), xticks=[])
        _draw_panel(bottom, "loss", steps, [p.loss for p in points], _EVEN)
        bottom.set(xticks=[steps[0], steps[-1]], xticklabels=[f"step {steps[0]}", f"step {steps[-1]}"])
        for label, side in zip(bottom.get_xticklabels(), ("left", "right"), strict=True):
            label.set_horizontalalignment(side)
        return _encode_svg(figure, f"Loss and {metric_label or 'agreement'} at {len(points)} steps of training")


def draw_reliability(calibration: Calibration) -> str:
    """Draw the accuracy of the reward model by its confidence; on the diagonal it is calibrated."""
    with _open_figure(430, 252) as figure:
        axes = figure.add_axes((0.14, 0.18, 0.442, 0.754))
        axes.plot([0.5, 1], [0.5, 1], color=_SOFT, linewidth=1, linestyle=(0, (4, 4)))
        max_count = max(b.count for b in calibration.bins)
        sizes = [(2 * (3 + 7 * (b.count / max_count) ** 0.5)) ** 2 for b in calibration.bins]
        confidences, accuracies = zip(*((b.confidence, b.accuracy) for b in calibration.bins), strict=True)
        axes.scatter(confidences, accuracies, sizes, color=_EVEN, clip_on=False)
        axes.set(xlim=(0.5, 1), ylim=(0, 1), xticks=[0.5, 0.75, 1], yticks=[0, 0.25, 0.5, 0.75, 1], xlabel="confidence")
        axes.set_xticklabels(["50 %", "75 %", "100 %"])
        axes.tick_params(axis="x", pad=8)
        axes.set_yticklabels([f"{25 * n} %" for n in range(5)])
        axes.annotate("calibrated", (1, 1), (14, -4), textcoords="offset points")
        axes.annotate("accuracy ↑", (1, 0.5), (14, 0), textcoords="offset points")
        return _encode_svg(figure, "Accuracy of the reward model by its confidence")


def smooth_values(values: Sequence[float]) -> list[float]:
    """Return the running mean over a twentieth of all values to either side."""
    radius = max(len(values) // 20, 1)
    windows = [values[max(n - radius, 0) : n + radius + 1] for n in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def _draw_panel(axes: "Axes", name: str, steps: Sequence[int], values: Sequence[float], colour: str) -> None:
    axes.plot(steps, values, color=colour, alpha=0.3, linewidth=1.2)
    axes.plot(steps, smooth_values(values), color=colour, linewidth=2.5)
    axes.set_title(name)
    axes.set_xlim(steps[0], max(steps[-1], steps[0] + 1))
    axes.grid(axis="x", visible=False)
    axes.locator_params(axis="y", nbins=3)


def _open_figure(width: int, height: int) -> "AbstractContextManager[Figure]":
    """Open a figure of this size in pixels."""
    return open_figure(width / 72, height / 72, _STYLE)


def _encode_svg(figure: "Figure", label: str) -> str:
    """Return an SVG element that scales with the page; `label` is for screen readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<style.*?</style>", "", text, count=1, flags=re.DOTALL)  # it would apply to the whole page
    text = re.sub(r' id="[\w.]+_\d+"', "", text)  # of groups, the same in every chart; ids in use have no "_"
    text = re.sub(r"font-family: [^;]*; ", "", text)  # the page's
    text = re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg \1 role="img" aria-label="{escape(label)}" '
                  'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">', text)  # fmt: skip
    for colour, variable in _CSS_VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return text.strip()
