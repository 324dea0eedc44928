"""Charts of training and evaluation as PNG bytes; matplotlib is imported when the first one is drawn."""

import io
import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.evaluate.compare import Comparison
from genloom.evaluate.likelihood import Estimate
from genloom.evaluate.report import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genloom.evaluate.battery.score import Score

# Okabe and Ito's colours, told apart by every kind of colour vision; line styles and marks carry the same difference.
_BLUE, _GREEN, _RED, _GREY, _PALE = "#0072B2", "#009E73", "#D55E00", "#5A5A5A", "#A6A6A6"
_PLAIN = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}  # keeps lines out of numbers
_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "legend.frameon": False,
    "savefig.dpi": 150,
}


def training_curve(
    steps: Sequence[int],
    train: Sequence[float],
    held: Sequence[tuple[int, float]] = (),
    floor: float | None = None,
    title: str = "Training",
    unit: str = "bits per byte",
) -> bytes:
    """Loss by step: every training step faintly, their running mean, and the (step, loss) pairs of held-out text."""
    with drawing(8, 4.8) as figure:
        axes = figure.subplots()
        losses = np.asarray(train, np.float64)
        if len(losses):
            smooth = _running_mean(losses, max(1, len(losses) // 50))
            axes.plot(steps, losses, color=_BLUE, alpha=0.22, linewidth=0.8)
            axes.plot(steps, smooth, color=_BLUE, linewidth=2, label="training text, running mean")
        if held:
            at, loss = zip(*held, strict=True)
            axes.plot(at, loss, "o--", color=_RED, linewidth=1.6, markersize=5, label="held-out text")
            axes.annotate(
                f"{loss[-1]:.3f}", (at[-1], loss[-1]), (7, 0), textcoords="offset points", va="center", color=_RED
            )
        if floor is not None:
            axes.axhline(floor, color=_GREY, linestyle=":", linewidth=1.6, label=f"n-gram floor {floor:.3f}")
        shown = [*losses[len(losses) // 50 :].tolist(), *(loss for _, loss in held), *([floor] if floor else [])]
        if shown:  # the first few steps fall from far above and would flatten the rest
            low, high = min(shown), max(np.quantile(shown, 0.995), *(loss for _, loss in held), 0)
            room = 0.06 * (high - low) or 0.1
            axes.set_ylim(low - room, high + room)
        axes.set(title=title, xlabel="step", ylabel=f"loss, {unit}")
        axes.margins(x=0.02)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper right")
        return png(figure)


def likelihood_bars(evaluations: Sequence[Evaluation], title: str = "Held-out text") -> bytes:
    """Bits per byte of each model with its 95 % interval, and below them the n-gram floor of the first that has one."""
    rows = [(evaluation.model, evaluation.bits_per_byte, _BLUE) for evaluation in evaluations]
    floor = next((evaluation.floor for evaluation in evaluations if evaluation.floor), None)
    if floor:
        rows.append((f"{floor.order}-gram floor", floor.bits_per_byte, _PALE))
    with drawing(8, 1.5 + 0.55 * len(rows)) as figure:
        axes = figure.subplots()
        _bars(axes, rows)
        axes.set_title(title)
        return png(figure)


def comparison_chart(comparison: Comparison) -> bytes:
    """Two models' bits per byte, and below them their paired difference with the interval that gives the verdict."""
    first, second, gap = comparison.first, comparison.second, comparison.difference
    colour = {"better": _GREEN, "worse": _RED, "no difference shown": _GREY}[comparison.verdict]
    with drawing(8, 4.9) as figure:
        above, below = figure.subplots(2, height_ratios=[3, 2])
        _bars(above, [(first.model, first.bits_per_byte, _PALE), (second.model, second.bits_per_byte, _BLUE)])
        above.set_title(f"{second.model} against {first.model}: {comparison.verdict}")
        spread = [[gap.mean - gap.low], [gap.high - gap.mean]] if math.isfinite(gap.low) else None
        ends = (gap.low, gap.high) if spread else (2 * gap.mean,)
        reach = max(1.25 * max(map(abs, ends)), 1e-4)
        below.axvline(0, color="black", linewidth=1)
        below.errorbar(gap.mean, 0, xerr=spread, fmt="o", color=colour, capsize=6, linewidth=2.4, markersize=8)
        number = f"{gap.mean:+.3f}".replace("-", "−")
        _number(below, number, (gap.mean, 0), (0, 12), ha="center", color=colour)
        below.set(xlim=(-reach, reach), ylim=(-1, 1.6), yticks=[])
        below.spines["left"].set_visible(False)
        over = f"95 % interval over {gap.count} pieces of text" if spread else "one piece of text: no interval"
        below.set_xlabel(f"difference in bits per byte, {over}")
        for x, text, side in ((0.0, f"← {second.model} better", "left"), (1.0, f"{first.model} better →", "right")):
            below.annotate(text, (x, 1), (0, 6), "axes fraction", "offset points", ha=side, color=_GREY)
        return png(figure)


def shares_chart(scores: "Sequence[Score]", title: str) -> bytes:
    """The share right of each task with its 95 % interval, and a mark where whoever judges would put the truth."""
    with drawing(8, 1.5 + 0.55 * len(scores)) as figure:
        axes = figure.subplots()
        at = range(len(scores))
        found = [score.accuracy for score in scores]
        means = [100 * one.mean for one in found]
        spread = [[100 * (one.mean - one.low) for one in found], [100 * (one.high - one.mean) for one in found]]
        axes.barh(at, means, height=0.62, color=_BLUE, xerr=spread, error_kw={"capsize": 4, "linewidth": 1.6})
        bounds = [100 * score.bound for score in scores]
        axes.plot(bounds, at, "|", color=_RED, markersize=20, markeredgewidth=2, label="real pictures, the same judge")
        told = zip(scores, found, means, strict=True)
        axes.set_yticks(list(at), [f"{score.measure}: {mean:.0f} % of {one.count}" for score, one, mean in told])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(title=title, xlim=(0, 102), xlabel="pictures that show what was asked, %, 95 % interval")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25))
        return png(figure)


def _bars(axes: "Axes", rows: Sequence[tuple[str, Estimate, str]]) -> None:
    """One bar a row of name, estimate and colour; an estimate without an interval is drawn without one."""
    names, estimates, colours = zip(*rows, strict=True)
    means = [estimate.mean for estimate in estimates]
    lows = [e.low if math.isfinite(e.low) else e.mean for e in estimates]
    highs = [e.high if math.isfinite(e.high) else e.mean for e in estimates]
    spread = [np.subtract(means, lows), np.subtract(highs, means)]
    at = range(len(rows))
    axes.barh(at, means, height=0.62, color=colours, xerr=spread, error_kw={"capsize": 4, "linewidth": 1.6})
    for row, mean, high in zip(at, means, highs, strict=True):
        _number(axes, f"{mean:.3f}", (high, row), (7, 0), va="center")
    axes.set_yticks(list(at), names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.14 * max(highs))
    axes.set_xlabel("bits per byte on held-out text, 95 % interval (less is better)")


def _number(axes: "Axes", text: str, at: tuple[float, float], offset: tuple[float, float], **how: str) -> None:
    axes.annotate(text, at, offset, textcoords="offset points", bbox=_PLAIN, **how)  # ty: ignore[invalid-argument-type]


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of each value and its neighbours, up to width // 2 on either side, as many on both."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    reach = np.minimum(np.minimum(at, len(values) - 1 - at), width // 2)
    return (sums[at + reach + 1] - sums[at - reach]) / (2 * reach + 1)


@contextmanager
def drawing(width: float, height: float) -> "Generator[Figure]":
    """A figure of its own, outside pyplot, so that charts can be drawn on any thread and none is left open."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def png(figure: "Figure") -> bytes:
    """The figure as a file."""
    memory = io.BytesIO()
    figure.savefig(memory, format="png")
    return memory.getvalue()
