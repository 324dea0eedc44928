"""Charts of a receipt as SVG, drawn by hand: no library, no script, and colours that follow the page's."""

from collections.abc import Sequence
from html import escape

from genloom.rate.calibration import Calibration
from genloom.rate.gate import Measure, win_interval
from genloom.rate.receipt import Point

WIDTH = 640


def figure(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    """An SVG that scales with the page; `label` is what a screen reader says."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(said)}</text>'


def dot(x: float, y: float, kind: str, radius: float = 6) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{kind}"/>'


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{steps}" class="{kind}"/>'


def tone(measure: Measure) -> str:
    return "good" if measure.better else "bad" if measure.fatal else "even"


def win_rate(measure: Measure) -> str:
    """The held-out win rate with its interval, on a scale of all there is, beside the coin's 50 %."""

    def at(share: float) -> float:
        return 30 + share * (WIDTH - 60)

    low, high = win_interval(measure)
    kind = tone(measure)
    parts = [line(at(n / 10), 40, at(n / 10), 84, "grid") for n in range(11)]
    parts += [text(at(n / 4), 102, f"{25 * n} %", "small") for n in range(5)]
    parts += [
        line(at(0.5), 30, at(0.5), 88, "zero"),
        text(at(0.5), 22, "a coin", "small"),
        f'<rect x="{at(low):.1f}" y="50" width="{at(high) - at(low):.1f}" height="24" rx="4" class="{kind} band"/>',
        line(at(low), 46, at(low), 78, f"{kind} edge"),
        line(at(high), 46, at(high), 78, f"{kind} edge"),
        dot(at(measure.challenger), 62, kind, 8),
    ]
    # The number stands aside where it would cover the coin's label.
    here = at(measure.challenger)
    aside = 0 if abs(here - at(0.5)) > 60 else 64 if here >= at(0.5) else -64
    said = f"{100 * measure.challenger:.0f} %"
    parts.append(text(here + aside, 30, said, "big"))
    label = f"Win rate {said}, interval from {100 * low:.0f} to {100 * high:.0f} %"
    return figure(WIDTH, 110, label, parts)


def lead(measure: Measure) -> str:
    """One measure's gain with its interval, on a scale of its own: to the right is better."""
    reach = 1.15 * max(abs(measure.low), abs(measure.high), measure.allowed, 1e-12)

    def at(gain: float) -> float:
        return 110 + gain / reach * 104

    kind = tone(measure)
    parts = [line(110, 2, 110, 26, "zero")]
    if measure.allowed:
        parts.append(line(at(-measure.allowed), 2, at(-measure.allowed), 26, "bound"))
    parts += [
        line(at(measure.low), 14, at(measure.high), 14, f"{kind} whisker"),
        line(at(measure.low), 9, at(measure.low), 19, f"{kind} edge"),
        line(at(measure.high), 9, at(measure.high), 19, f"{kind} edge"),
        dot(at(measure.gain), 14, kind, 5),
    ]
    label = f"gain {measure.gain:+.3g}, interval from {measure.low:+.3g} to {measure.high:+.3g}"
    return figure(220, 28, label, parts)


def curve(points: Sequence[Point], of: str = "") -> str:
    """Loss and agreement (or what `of` says) by step, in two panels above each other, each with its running mean."""
    steps, losses = [p.step for p in points], [p.loss for p in points]
    shares = [p.agreement for p in points]
    ends = min(0, *shares), max(1, *shares)
    agreement = panel(of or "agreement with the ratings of the step", steps, shares, ends, 22, "good")
    loss = panel("loss", steps, losses, (min(losses), max(losses)), 148, "even")
    edges = [
        text(56, 258, f"step {steps[0]}", "small", "start"),
        text(WIDTH - 20, 258, f"step {steps[-1]}", "small", "end"),
    ]
    return figure(WIDTH, 266, f"Loss and agreement at {len(points)} steps of training", [*agreement, *loss, *edges])


def panel(
    name: str, steps: Sequence[int], values: Sequence[float], ends: tuple[float, float], top: float, kind: str
) -> list[str]:
    """A chart 92 high: the values faintly, their running mean strongly."""
    left, right, tall, (low, high) = 56, WIDTH - 20, 92, ends
    span, last = max(high - low, 1e-12), max(steps[-1] - steps[0], 1)

    def at(step: float, value: float) -> tuple[float, float]:
        return left + (step - steps[0]) / last * (right - left), top + tall - (value - low) / span * tall

    parts = [text(left, top - 7, name, "small", "start")]
    for value in (low, low + span / 2, low + span):
        _, y = at(steps[0], value)
        parts += [line(left, y, right, y, "grid"), text(left - 7, y + 4, f"{value:.2g}", "small", "end")]
    parts.append(path([at(*point) for point in zip(steps, values, strict=True)], f"{kind} faint"))
    parts.append(path([at(*point) for point in zip(steps, smoothed(values), strict=True)], f"{kind} stroke"))
    return parts


def smoothed(values: Sequence[float]) -> list[float]:
    """The mean of each value and its neighbours, a twentieth of the whole to either side."""
    reach = max(len(values) // 20, 1)
    spans = [values[max(n - reach, 0) : n + reach + 1] for n in range(len(values))]
    return [sum(span) / len(span) for span in spans]


def reliability(judge: Calibration) -> str:
    """How often a judge was right, by how sure it was; on the diagonal it is exactly as right as it says."""
    side, left, top = 190, 60, 16

    def at(sure: float, right: float) -> tuple[float, float]:
        return left + (sure - 0.5) * 2 * side, top + side - right * side

    parts = []
    for n in range(5):
        _, y = at(0.5, n / 4)
        parts += [line(left, y, left + side, y, "grid"), text(left - 8, y + 4, f"{25 * n} %", "small", "end")]
    for n in range(3):
        parts.append(text(at(0.5 + n / 4, 0)[0], top + side + 18, f"{50 + 25 * n} %", "small"))
    parts.append(path([at(0.5, 0.5), at(1, 1)], "bound"))
    most = max(b.count for b in judge.bins)
    parts += [dot(*at(b.confidence, b.accuracy), "even", 3 + 7 * (b.count / most) ** 0.5) for b in judge.bins]
    parts.append(text(left + side / 2, top + side + 38, "how sure it was", "small"))
    parts.append(text(left + side + 14, at(0.5, 1)[1] + 4, "as right as it says", "small", "start"))
    parts.append(text(left + side + 14, top + side / 2, "how often it was right ↑", "small", "start"))
    return figure(430, top + side + 46, "How often the judge was right, by how sure it was", parts)
