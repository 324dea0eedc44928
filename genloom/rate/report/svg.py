"""Charts of a receipt as SVG, drawn by hand: no library, no script, and colours that follow the page's."""

from collections.abc import Sequence
from html import escape

from genloom.rate.calibration import Calibration
from genloom.rate.gate import Measure, compute_win_interval
from genloom.rate.report.receipt import CurvePoint

WIDTH = 640


def render_figure(width: int, height: int, label: str, elements: Sequence[str]) -> str:
    """An SVG that scales with the page; `label` is what a screen reader says."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(elements)}</svg>'
    )


def draw_line(x1: float, y1: float, x2: float, y2: float, css_class: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css_class}"/>'


def draw_text(x: float, y: float, content: str, css_class: str = "", anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css_class}" text-anchor="{anchor}">{escape(content)}</text>'


def draw_dot(x: float, y: float, css_class: str, radius: float = 6) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{css_class}"/>'


def draw_polyline(points: Sequence[tuple[float, float]], css_class: str) -> str:
    coordinates = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{coordinates}" class="{css_class}"/>'


def choose_css_class(measure: Measure) -> str:
    return "good" if measure.is_better else "bad" if measure.has_regressed_significantly else "even"


def draw_win_rate(measure: Measure) -> str:
    """The held-out win rate with its interval, on a scale of all there is, beside the coin's 50 %."""

    def to_x(share: float) -> float:
        return 30 + share * (WIDTH - 60)

    low, high = compute_win_interval(measure)
    css_class = choose_css_class(measure)
    elements = [draw_line(to_x(n / 10), 40, to_x(n / 10), 84, "grid") for n in range(11)]
    elements += [draw_text(to_x(n / 4), 102, f"{25 * n} %", "small") for n in range(5)]
    elements += [
        draw_line(to_x(0.5), 30, to_x(0.5), 88, "zero"),
        draw_text(to_x(0.5), 22, "a coin", "small"),
        f'<rect x="{to_x(low):.1f}" y="50" width="{to_x(high) - to_x(low):.1f}" height="24" rx="4" class="{css_class} band"/>',
        draw_line(to_x(low), 46, to_x(low), 78, f"{css_class} edge"),
        draw_line(to_x(high), 46, to_x(high), 78, f"{css_class} edge"),
        draw_dot(to_x(measure.challenger), 62, css_class, 8),
    ]
    # The number stands aside where it would cover the coin's label.
    marker_x = to_x(measure.challenger)
    shift_x = 0 if abs(marker_x - to_x(0.5)) > 60 else 64 if marker_x >= to_x(0.5) else -64
    percent_text = f"{100 * measure.challenger:.0f} %"
    elements.append(draw_text(marker_x + shift_x, 30, percent_text, "big"))
    label = f"Win rate {percent_text}, interval from {100 * low:.0f} to {100 * high:.0f} %"
    return render_figure(WIDTH, 110, label, elements)


def draw_gain(measure: Measure) -> str:
    """One measure's gain with its interval, on a scale of its own: to the right is better."""
    half_range = 1.15 * max(abs(measure.low), abs(measure.high), measure.tolerance, 1e-12)

    def to_x(gain: float) -> float:
        return 110 + gain / half_range * 104

    css_class = choose_css_class(measure)
    elements = [draw_line(110, 2, 110, 26, "zero")]
    if measure.tolerance:
        elements.append(draw_line(to_x(-measure.tolerance), 2, to_x(-measure.tolerance), 26, "bound"))
    elements += [
        draw_line(to_x(measure.low), 14, to_x(measure.high), 14, f"{css_class} whisker"),
        draw_line(to_x(measure.low), 9, to_x(measure.low), 19, f"{css_class} edge"),
        draw_line(to_x(measure.high), 9, to_x(measure.high), 19, f"{css_class} edge"),
        draw_dot(to_x(measure.gain), 14, css_class, 5),
    ]
    label = f"gain {measure.gain:+.3g}, interval from {measure.low:+.3g} to {measure.high:+.3g}"
    return render_figure(220, 28, label, elements)


def draw_curve(points: Sequence[CurvePoint], metric_label: str = "") -> str:
    """Loss and agreement (or what `of` says) by step, in two panels above each other, each with its running mean."""
    steps, losses = [p.step for p in points], [p.loss for p in points]
    agreements = [p.agreement for p in points]
    value_range = min(0, *agreements), max(1, *agreements)
    agreement = draw_panel(
        metric_label or "agreement with the ratings of the step", steps, agreements, value_range, 22, "good"
    )
    loss = draw_panel("loss", steps, losses, (min(losses), max(losses)), 148, "even")
    step_labels = [
        draw_text(56, 258, f"step {steps[0]}", "small", "start"),
        draw_text(WIDTH - 20, 258, f"step {steps[-1]}", "small", "end"),
    ]
    return render_figure(
        WIDTH, 266, f"Loss and agreement at {len(points)} steps of training", [*agreement, *loss, *step_labels]
    )


def draw_panel(
    name: str,
    steps: Sequence[int],
    values: Sequence[float],
    value_range: tuple[float, float],
    top: float,
    css_class: str,
) -> list[str]:
    """A chart 92 high: the values faintly, their running mean strongly."""
    left, right, height, (low, high) = 56, WIDTH - 20, 92, value_range
    span, step_range = max(high - low, 1e-12), max(steps[-1] - steps[0], 1)

    def to_point(step: float, value: float) -> tuple[float, float]:
        return left + (step - steps[0]) / step_range * (right - left), top + height - (value - low) / span * height

    elements = [draw_text(left, top - 7, name, "small", "start")]
    for value in (low, low + span / 2, low + span):
        _, y = to_point(steps[0], value)
        elements += [draw_line(left, y, right, y, "grid"), draw_text(left - 7, y + 4, f"{value:.2g}", "small", "end")]
    elements.append(
        draw_polyline([to_point(*point) for point in zip(steps, values, strict=True)], f"{css_class} faint")
    )
    elements.append(
        draw_polyline([to_point(*point) for point in zip(steps, smooth(values), strict=True)], f"{css_class} stroke")
    )
    return elements


def smooth(values: Sequence[float]) -> list[float]:
    """The mean of each value and its neighbours, a twentieth of the whole to either side."""
    radius = max(len(values) // 20, 1)
    windows = [values[max(n - radius, 0) : n + radius + 1] for n in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def draw_reliability(calibration: Calibration) -> str:
    """How often a judge was right, by how sure it was; on the diagonal it is exactly as right as it says."""
    side, left, top = 190, 60, 16

    def to_point(confidence: float, accuracy: float) -> tuple[float, float]:
        return left + (confidence - 0.5) * 2 * side, top + side - accuracy * side

    elements = []
    for n in range(5):
        _, y = to_point(0.5, n / 4)
        elements += [
            draw_line(left, y, left + side, y, "grid"),
            draw_text(left - 8, y + 4, f"{25 * n} %", "small", "end"),
        ]
    for n in range(3):
        elements.append(draw_text(to_point(0.5 + n / 4, 0)[0], top + side + 18, f"{50 + 25 * n} %", "small"))
    elements.append(draw_polyline([to_point(0.5, 0.5), to_point(1, 1)], "bound"))
    max_count = max(b.count for b in calibration.bins)
    elements += [
        draw_dot(*to_point(b.confidence, b.accuracy), "even", 3 + 7 * (b.count / max_count) ** 0.5)
        for b in calibration.bins
    ]
    elements.append(draw_text(left + side / 2, top + side + 38, "how sure it was", "small"))
    elements.append(draw_text(left + side + 14, to_point(0.5, 1)[1] + 4, "as right as it says", "small", "start"))
    elements.append(draw_text(left + side + 14, top + side / 2, "how often it was right ↑", "small", "start"))
    return render_figure(430, top + side + 46, "How often the judge was right, by how sure it was", elements)
