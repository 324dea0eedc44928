"""Charts of training and evaluation as PNG bytes; matplotlib is imported only when a chart is drawn."""

import io
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.figures import open_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genloom.evaluate.likelihood import Baseline, HeldOutLoss, LossComparison
    from genloom.evaluate.scores import Score
    from genloom.metrics.statistics import IntervalEstimate

# Okabe and Ito's colours, safe for every kind of colour vision; line styles and markers make the same distinctions.
_BLUE, _GREEN, _RED, _GREY, _PALE = "#0072B2", "#009E73", "#D55E00", "#5A5A5A", "#A6A6A6"
_TEXT_BOX = {
    "boxstyle": "square,pad=0.1",
    "facecolor": "white",
    "edgecolor": "none",
}  # so that no line crosses a number
_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.titlepad": 14,
    "grid.color": "#E3E3E3",
    "legend.frameon": False,
    "savefig.dpi": 150,
}


def draw_training_curve(
    steps: Sequence[int],
    train_losses: Sequence[float],
    held_out: Sequence[tuple[int, float]] = (),
    baseline: float | None = None,
    title: str = "Training",
    unit: str = "bits per byte",
) -> bytes:
    """Draw loss by step: each training step faintly, the running mean, and (step, loss) pairs of held-out data."""
    with _open_figure(8, 4.8) as figure:
        axes = figure.subplots()
        losses = np.asarray(train_losses, np.float64)
        if len(losses):
            smooth = _compute_running_mean(losses, max(1, len(losses) // 50))
            axes.plot(steps, losses, color=_BLUE, alpha=0.22, linewidth=0.8)
            axes.plot(steps, smooth, color=_BLUE, linewidth=2, label="training data, running mean")
        if held_out:
            held_out_steps, loss = zip(*held_out, strict=True)
            axes.plot(held_out_steps, loss, "o--", color=_RED, linewidth=1.6, markersize=5, label="held-out data")
            axes.annotate(
                f"{loss[-1]:.3f}",
                (held_out_steps[-1], loss[-1]),
                (7, 0),
                textcoords="offset points",
                va="center",
                color=_RED,
            )
        if baseline is not None:
            axes.axhline(baseline, color=_GREY, linestyle=":", linewidth=1.6, label=f"n-gram baseline {baseline:.3f}")
        visible_losses = [
            *losses[len(losses) // 50 :].tolist(),
            *(loss for _, loss in held_out),
            *([baseline] if baseline else []),
        ]
        if visible_losses:  # without the first steps, whose high losses would flatten the rest
            low, high = min(visible_losses), max(np.quantile(visible_losses, 0.995), *(loss for _, loss in held_out), 0)
            margin = 0.06 * (high - low) or 0.1
            axes.set_ylim(low - margin, high + margin)
        axes.set(title=title, xlabel="step", ylabel=f"loss, {unit}")
        axes.margins(x=0.02)
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside lower center", ncols=3)  # anywhere inside, it may cover a line
        return encode_png(figure)


def draw_loss_bars(held_out_losses: "Sequence[HeldOutLoss]", baseline: "Baseline | None" = None) -> bytes:
    """Draw the loss of each model with its 95 % interval, then that of the baseline."""
    rows = [(held_out_loss.model, held_out_loss.estimate, _BLUE) for held_out_loss in held_out_losses]
    if baseline:
        rows.append((baseline.name, baseline.bits_per_unit, _PALE))
    with _open_figure(8, 1.5 + 0.55 * len(rows)) as figure:
        axes = figure.subplots()
        _draw_bars(axes, rows, held_out_losses[0].metric)
        axes.set_title("Held-out data")
        return encode_png(figure)


def draw_comparison(comparison: "LossComparison") -> bytes:
    """Draw two models' losses, and below them the paired difference with its interval."""
    first, second, difference = comparison.first, comparison.second, comparison.difference
    colour = {"better": _GREEN, "worse": _RED, "no difference shown": _GREY}[comparison.verdict]
    with _open_figure(8, 4.9) as figure:
        top_axes, bottom_axes = figure.subplots(2, height_ratios=[3, 2])
        rows = [(first.model, first.estimate, _PALE), (second.model, second.estimate, _BLUE)]
        _draw_bars(top_axes, rows, first.metric)
        top_axes.set_title(f"{second.model} against {first.model}: {comparison.verdict}")
        errors = (
            [[difference.mean - difference.low], [difference.high - difference.mean]]
            if math.isfinite(difference.low)
            else None
        )
        bounds = (difference.low, difference.high) if errors else (2 * difference.mean,)
        limit = max(1.25 * max(map(abs, bounds)), 1e-4)
        bottom_axes.axvline(0, color="black", linewidth=1)
        bottom_axes.errorbar(
            difference.mean, 0, xerr=errors, fmt="o", color=colour, capsize=6, linewidth=2.4, markersize=8
        )
        number = f"{difference.mean:+.3f}".replace("-", "−")
        _annotate_number(bottom_axes, number, (difference.mean, 0), (0, 12), ha="center", color=colour)
        bottom_axes.set(xlim=(-limit, limit), ylim=(-1, 1.6), yticks=[])
        bottom_axes.spines["left"].set_visible(False)
        interval_label = (
            f"95 % interval over {difference.count} parts of the data" if errors else "one part: no interval"
        )
        bottom_axes.set_xlabel(f"difference in {first.metric}, {interval_label}")
        for x, text, side in ((0.0, f"← {second.model} better", "left"), (1.0, f"{first.model} better →", "right")):
            bottom_axes.annotate(text, (x, 1), (0, 6), "axes fraction", "offset points", ha=side, color=_GREY)
        return encode_png(figure)


def draw_accuracy_bars(scores: "Sequence[Score]", title: str) -> bytes:
    """Draw each task's accuracy with its 95 % interval, and a mark at the score that real data reach."""
    with _open_figure(8, 1.5 + 0.55 * len(scores)) as figure:
        axes = figure.subplots()
        positions = range(len(scores))
        intervals = [score.accuracy for score in scores]
        means = [100 * interval.mean for interval in intervals]
        errors = [
            [100 * (interval.mean - interval.low) for interval in intervals],
            [100 * (interval.high - interval.mean) for interval in intervals],
        ]
        axes.barh(positions, means, height=0.62, color=_BLUE, xerr=errors, error_kw={"capsize": 4, "linewidth": 1.6})
        bounds = [100 * score.bound for score in scores]
        axes.plot(
            bounds, positions, "|", color=_RED, markersize=20, markeredgewidth=2, label="real data, same detector"
        )
        labelled_scores = zip(scores, intervals, means, strict=True)
        axes.set_yticks(
            list(positions),
            [f"{score.metric}: {mean:.0f} % of {interval.count}" for score, interval, mean in labelled_scores],
        )
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(title=title, xlim=(0, 102), xlabel="accuracy, %, 95 % interval")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25))
        return encode_png(figure)


def _draw_bars(axes: "Axes", rows: "Sequence[tuple[str, IntervalEstimate, str]]", metric: str) -> None:
    """Draw a bar for each (name, estimate, colour); infinite intervals are not drawn."""
    names, estimates, colours = zip(*rows, strict=True)
    means = [estimate.mean for estimate in estimates]
    lows = [e.low if math.isfinite(e.low) else e.mean for e in estimates]
    highs = [e.high if math.isfinite(e.high) else e.mean for e in estimates]
    errors = [np.subtract(means, lows), np.subtract(highs, means)]
    positions = range(len(rows))
    axes.barh(positions, means, height=0.62, color=colours, xerr=errors, error_kw={"capsize": 4, "linewidth": 1.6})
    for row, mean, high in zip(positions, means, highs, strict=True):
        _annotate_number(axes, f"{mean:.3f}", (high, row), (7, 0), va="center")
    axes.set_yticks(list(positions), names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(1.14 * min(*lows, 0.0), 1.14 * max(*highs, 0.0) or 1.0)
    axes.set_xlabel(f"{metric} on held-out data, 95 % interval (less is better)")


def _annotate_number(
    axes: "Axes", text: str, position: tuple[float, float], offset: tuple[float, float], **text_options: str
) -> None:
    axes.annotate(text, position, offset, textcoords="offset points", bbox=_TEXT_BOX, **text_options)  # ty: ignore[invalid-argument-type]


def _compute_running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean of each value and its neighbours, up to width // 2 and equally many on either side."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    indices = np.arange(len(values))
    half_width = np.minimum(np.minimum(indices, len(values) - 1 - indices), width // 2)
    return (sums[indices + half_width + 1] - sums[indices - half_width]) / (2 * half_width + 1)


def _open_figure(width: float, height: float) -> "AbstractContextManager[Figure]":
    return open_figure(width, height, _STYLE, layout="constrained")


def encode_png(figure: "Figure") -> bytes:
    """Return the figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
