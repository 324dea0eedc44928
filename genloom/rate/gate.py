"""The promotion gate: a challenger replaces the champion only with a proven gain and no regression."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError
from genloom.metrics.statistics import ALPHA, bootstrap_interval, clopper_pearson
from genloom.text_format import format_count

MeasureGroup = Literal["preference", "reward", "check", "regression"]
Numbers = Sequence[float] | NDArray[Any]

MIN_PROMPTS = 10  # fewer prompts are never a proof


@dataclass(frozen=True)
class Measure:
    """One metric of both versions on the same held-out prompts.

    `gain` and its interval are the challenger's lead in the metric's own unit, positive if it is better.
    """

    name: str
    group: MeasureGroup
    champion: float
    challenger: float
    gain: float
    low: float
    high: float
    count: int  # prompts, or chunks of text
    tolerance: float = 0.0  # how much worse the challenger may be
    is_proof: bool = False  # whether a gain in it counts as a reason to promote
    is_pairwise: bool = False  # the versions were compared with each other: champion and challenger are win rates
    alpha: float = ALPHA  # two-sided error of the interval

    @property
    def is_better(self) -> bool:
        """Whether it is significantly better: the interval lies above zero."""
        return self.low > 0

    @property
    def has_regressed_significantly(self) -> bool:
        """Whether it is significantly worse, and by more than the tolerance."""
        return self.high < 0 and self.gain < -self.tolerance

    @property
    def has_regressed(self) -> bool:
        """Whether it is worse by more than the tolerance, significantly or not."""
        return self.gain < -self.tolerance


@dataclass(frozen=True)
class Decision:
    """The gate's decision, with reasons and alarms in sentences."""

    should_promote: bool
    reasons: tuple[str, ...]
    alarms: tuple[str, ...]
    measures: tuple[Measure, ...]


def compute_alpha_left(num_earlier: int) -> float:
    """Return the alpha of a champion's next challenger, after `num_earlier` others.

    With enough attempts one wins by chance, so each challenger's interval may err half as often as the one before
    (alpha spending, Lan and DeMets 1983): however many are tried, the errors in their favour add up to at most ALPHA,
    the two-sided error of the first one's interval. A new champion starts with a fresh budget.
    """
    return ALPHA / 2**num_earlier


def decide_promotion(measures: Sequence[Measure]) -> Decision:
    """Promote if there is a proof, every proof shows a gain, and no measure regressed significantly.

    All proofs must hold, so that more of them make a false promotion less likely.
    """
    assert len({m.name for m in measures}) == len(measures), "each measure has a name of its own"
    proofs = [m for m in measures if m.is_proof]
    reasons = [explain_proof(m) for m in proofs]
    if not proofs:
        reasons.append("Nothing was measured on held-out ratings, so there is no proof that the challenger is better.")
    reasons += [f"{m.name} got worse: {format_change(m)}." for m in measures if m.has_regressed_significantly]
    has_preference_gain = any(m.gain > 0 for m in measures if m.group in ("preference", "reward"))
    alarms = [
        f"Preference rises while {m.name} falls: {format_change(m)}. Read the challenger's outputs."
        for m in measures
        if has_preference_gain and m.group == "check" and m.has_regressed
    ]
    should_promote = (
        bool(proofs)
        and all(m.is_better and m.count >= MIN_PROMPTS for m in proofs)
        and not any(m.has_regressed_significantly for m in measures)
    )
    return Decision(should_promote, tuple(reasons), tuple(alarms), tuple(measures))


def explain_proof(measure: Measure) -> str:
    if measure.count < MIN_PROMPTS:
        prompts = format_count(measure.count, "held-out prompt")
        return f"{measure.name} was measured on only {prompts}; at least {MIN_PROMPTS} are required."
    if measure.is_better:
        return f"{measure.name} got better: {format_change(measure)}."
    num_earlier = round(math.log2(ALPHA / measure.alpha))
    interval_note = (
        f" (a {100 * (1 - measure.alpha):.4g} % interval, after {format_count(num_earlier, 'earlier challenger')})"
    )
    return (
        f"{measure.name} is not significantly better: {format_change(measure)}{interval_note if num_earlier else ''}."
    )


def format_change(measure: Measure) -> str:
    if measure.is_pairwise:
        low, high = compute_win_interval(measure)
        rate = f"{100 * measure.challenger:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
        return f"the challenger wins {rate} of {format_count(measure.count, 'held-out comparison')}"
    return (
        f"{measure.champion:.4g} → {measure.challenger:.4g} "
        f"(gain {measure.gain:+.3g}, interval {measure.low:+.3g} to {measure.high:+.3g}, {measure.count} held out)"
    )


def format_values(measure: Measure) -> tuple[str, str, str]:
    """Return champion, challenger, and the gain with its interval; a win rate is compared with 50 %, as no change."""
    if measure.is_pairwise:
        gain, low, high = (50 * value for value in (measure.gain, measure.low, measure.high))
        return "50 %", f"{100 * measure.challenger:.0f} %", f"{gain:+.0f} points [{low:+.0f}, {high:+.0f}]"
    gain = f"{measure.gain:+.3g} [{measure.low:+.3g}, {measure.high:+.3g}]"
    return f"{measure.champion:.4g}", f"{measure.challenger:.4g}", gain


def compute_win_interval(measure: Measure) -> tuple[float, float]:
    """Return the interval of the challenger's win rate; the measure's own is of the lead, a difference of win rates."""
    return (1 + measure.low) / 2, (1 + measure.high) / 2


def measure_scores(
    name: str,
    group: MeasureGroup,
    champion: Numbers,
    challenger: Numbers,
    direction: Literal["higher", "lower"] = "higher",
    tolerance: float = 0.0,
    is_proof: bool = False,
    seed: int = 0,
) -> Measure:
    """Build a measure from one number per prompt for each version; the prompts are the same, in the same order.

    The interval is the bootstrap over prompts (Efron 1979), widened for few prompts by the method of Hesterberg (2014,
    section 5.3). Raises GenloomError for lists that do not match and for numbers that are not finite.
    """
    champion_values, challenger_values = np.asarray(champion, np.float64), np.asarray(challenger, np.float64)
    if champion_values.shape != challenger_values.shape or champion_values.ndim != 1 or len(champion_values) < 2:
        raise GenloomError(
            "rate.unpaired_scores", name=name, champion=champion_values.size, challenger=challenger_values.size
        )
    if not (np.isfinite(champion_values).all() and np.isfinite(challenger_values).all()):
        raise GenloomError("rate.not_finite", name=name)
    gains = challenger_values - champion_values if direction == "higher" else champion_values - challenger_values
    low, high = bootstrap_interval(gains, seed)
    means = float(champion_values.mean()), float(challenger_values.mean()), float(gains.mean())
    return Measure(name, group, *means, low, high, len(gains), tolerance=tolerance, is_proof=is_proof)


def measure_win_rate(name: str, outcomes: Numbers, group: MeasureGroup = "preference", alpha: float = ALPHA) -> Measure:
    """Build a measure, and a proof, from one comparison per prompt: 1 if the challenger won, 0.5 for a tie, 0.

    Champion and challenger are their win rates, with ties counted half; the gain is their difference. `alpha` is what
    `compute_alpha_left` returns.
    """
    x = np.asarray(outcomes, np.float64)
    if not len(x) or not ((x >= 0) & (x <= 1)).all():
        raise GenloomError("rate.bad_outcomes", name=name)
    rate = float(x.mean())
    low, high = clopper_pearson(float(x.sum()), len(x), alpha)
    gain_interval = 2 * rate - 1, 2 * low - 1, 2 * high - 1
    return Measure(name, group, 1 - rate, rate, *gain_interval, len(x), is_proof=True, is_pairwise=True, alpha=alpha)


def average_by_prompt(prompts: Sequence[str], values: Sequence[float]) -> list[float]:
    """Return one mean per prompt: answers to the same prompt are not independent of each other."""
    values_by_prompt: dict[str, list[float]] = {}
    for prompt, value in zip(prompts, values, strict=True):
        values_by_prompt.setdefault(prompt, []).append(value)
    return [float(np.mean(prompt_values)) for prompt_values in values_by_prompt.values()]
