"""Whether a challenger replaces the champion: only when held-out ratings prove it better and nothing shows it worse."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genloom.rate.report.wording import format_count

MeasureGroup = Literal["preference", "reward", "check", "regression"]
Numbers = Sequence[float] | NDArray[Any]

ALPHA = 0.05  # of the first challenger's interval, both sides together; what all may err on one side together
MIN_PROMPTS = 10  # prompts; fewer prove nothing
_NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class Measure:
    """One thing measured of both versions on the same held-out prompts.

    `gain` and its interval are the challenger's lead in the measure's own unit, above zero where it is better.
    """

    name: str
    group: MeasureGroup
    champion: float
    challenger: float
    gain: float
    low: float
    high: float
    count: int  # prompts, or pieces of text
    tolerance: float = 0.0  # how much worse the challenger may be
    is_proof: bool = False  # whether a gain in it counts as a reason to promote
    is_pairwise: bool = False  # the versions were set against each other: champion and challenger are win rates
    e_value: float | None = None  # how much the odds have risen that the gain is real, if it was looked at on the way
    alpha: float = ALPHA  # how often the interval misses, both sides together

    @property
    def is_better(self) -> bool:
        """Shown to be better: the interval lies above zero, and the evidence, where it is asked for, is enough."""
        return self.low > 0 and (self.e_value is None or self.e_value >= 1 / self.alpha)

    @property
    def has_regressed_significantly(self) -> bool:
        """Shown to be worse, and by more than is allowed."""
        return self.high < 0 and self.gain < -self.tolerance

    @property
    def has_regressed(self) -> bool:
        """Worse by more than is allowed, whether or not so few prompts can show it."""
        return self.gain < -self.tolerance


@dataclass(frozen=True)
class Decision:
    """What the gate says, and why, in sentences for a person."""

    should_promote: bool
    reasons: tuple[str, ...]
    alarms: tuple[str, ...]
    measures: tuple[Measure, ...]


def alpha_left(num_earlier: int) -> float:
    """The alpha of the next challenger of a champion that so many were set against before.

    Who tries often enough wins once by chance. So each challenger's interval may err half as often as the one before
    (alpha spending, Lan and DeMets 1983): all their errors to the challenger's side, however many are tried, add up to
    ALPHA at most. A champion that was replaced leaves its successor a fresh account.
    """
    return ALPHA / 2**num_earlier


def decide_promotion(measures: Sequence[Measure]) -> Decision:
    """Promote if every measure that bears proof shows a gain, there is one, and none of all measures is fatal.

    All of the proofs have to hold, so that more of them make a false promotion rarer. Raises ValueError where two
    measures share a name.
    """
    if len({m.name for m in measures}) < len(measures):
        raise ValueError("Two measures of the gate have the same name; give each its own.")
    proofs = [m for m in measures if m.is_proof]
    reasons = [explain_proof(m) for m in proofs]
    if not proofs:
        reasons.append("Nothing was measured on held-out ratings, so nothing can show that the challenger is better.")
    reasons += [f"{m.name} got worse: {format_change(m)}." for m in measures if m.has_regressed_significantly]
    has_preference_gain = any(m.gain > 0 for m in measures if m.group in ("preference", "reward"))
    alarms = [
        f"Taste rises while {m.name} falls: {format_change(m)}. Read what the challenger writes."
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
        return f"{measure.name} rests on {prompts}, and {MIN_PROMPTS} are the least that count."
    if measure.is_better:
        return f"{measure.name} got better: {format_change(measure)}."
    if measure.low > 0:
        return f"{measure.name} may be better ({format_change(measure)}), but it was looked at on the way: rate more of them."
    num_earlier = round(math.log2(ALPHA / measure.alpha))
    interval_note = (
        f" (an interval of {100 * (1 - measure.alpha):.4g} %, as {format_count(num_earlier, 'challenger')} came before)"
    )
    return f"{measure.name} is not shown to be better: {format_change(measure)}{interval_note if num_earlier else ''}."


def format_change(measure: Measure) -> str:
    if measure.is_pairwise:
        low, high = compute_win_interval(measure)
        rate = f"{100 * measure.challenger:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
        return f"the challenger wins {rate} of {format_count(measure.count, 'held-out comparison')}"
    return (
        f"{measure.champion:.4g} → {measure.challenger:.4g} "
        f"(gain {measure.gain:+.3g}, interval {measure.low:+.3g} to {measure.high:+.3g}, {measure.count} held out)"
    )


def compute_win_interval(measure: Measure) -> tuple[float, float]:
    """The interval of the challenger's win rate; the measure's own is of the lead, a difference of two win rates."""
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
    """A measure from one number a prompt for either version; the prompts are the same, in the same order.

    The interval is the bootstrap over prompts (Efron 1979), whose tails are set back for few prompts by the method of
    Hesterberg (2014, section 5.3). Raises ValueError for lists that do not fit and for numbers that are not finite.
    """
    champion_values, challenger_values = np.asarray(champion, np.float64), np.asarray(challenger, np.float64)
    if champion_values.shape != challenger_values.shape or champion_values.ndim != 1 or len(champion_values) < 2:
        raise ValueError(
            f"{name}: both versions must be measured on the same prompts, two or more; "
            f"they are on {champion_values.size} and {challenger_values.size}."
        )
    if not (np.isfinite(champion_values).all() and np.isfinite(challenger_values).all()):
        raise ValueError(f"{name}: a measurement is not a finite number; measure again.")
    gains = challenger_values - champion_values if direction == "higher" else champion_values - challenger_values
    low, high = bootstrap_interval(gains, seed)
    means = float(champion_values.mean()), float(challenger_values.mean()), float(gains.mean())
    return Measure(name, group, *means, low, high, len(gains), tolerance=tolerance, is_proof=is_proof)


def measure_win_rate(
    name: str, outcomes: Numbers, group: MeasureGroup = "preference", is_sequential: bool = False, alpha: float = ALPHA
) -> Measure:
    """A measure, and a proof, from comparisons of the two versions, one a prompt: 1 the challenger won, 0.5 a tie, 0.

    Champion and challenger are their win rates, ties counted half; the gain is their difference. `looked` says that
    someone could have stopped, or gone on, because of what the comparisons so far had shown: then the interval is not
    enough, and the evidence has to be as well. `alpha` is what `spent` has left.
    """
    x = np.asarray(outcomes, np.float64)
    if not len(x) or not ((x >= 0) & (x <= 1)).all():
        raise ValueError(f"{name}: outcomes must be from 0 (lost) to 1 (won), and there must be one at least.")
    rate = float(x.mean())
    low, high = clopper_pearson(float(x.sum()), len(x), alpha)
    e_value = float(e_values(x)[-1]) if is_sequential else None
    gain_interval = 2 * rate - 1, 2 * low - 1, 2 * high - 1
    return Measure(
        name,
        group,
        1 - rate,
        rate,
        *gain_interval,
        len(x),
        is_proof=True,
        is_pairwise=True,
        e_value=e_value,
        alpha=alpha,
    )


def average_by_prompt(prompts: Sequence[str], values: Sequence[float]) -> list[float]:
    """One number a prompt, the mean of its own: answers to one prompt are not independent of each other."""
    values_by_prompt: dict[str, list[float]] = {}
    for prompt, value in zip(prompts, values, strict=True):
        values_by_prompt.setdefault(prompt, []).append(value)
    return [float(np.mean(prompt_values)) for prompt_values in values_by_prompt.values()]


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a mean; one value alone bounds nothing."""
    count = len(values)
    if count < 2:
        return -math.inf, math.inf
    counts = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _NUM_RESAMPLES)
    means = counts @ values / count
    spread = math.sqrt(count / (count - 1)) * student_t_quantile(count - 1) / 1.959964
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    mean = float(values.mean())
    return mean - spread * (mean - float(low)), mean + spread * (float(high) - mean)


def student_t_quantile(degrees_of_freedom: int) -> float:
    """The 97.5 % point of Student's t (the expansion of Abramowitz and Stegun, 26.7.5)."""
    z = 1.959964
    terms = (z, (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return sum(term / degrees_of_freedom**power for power, term in enumerate(terms))


def clopper_pearson(num_wins: float, count: int, alpha: float = ALPHA) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson 1934), of 95 %; halves, for ties, only make it wider."""
    p = (np.arange(20000) + 0.5) / 20000

    def beta(a: float, b: float, q: float) -> float:
        logs = (a - 1) * np.log(p) + (b - 1) * np.log1p(-p)
        mass = np.cumsum(np.exp(logs - logs.max()))
        return float(np.interp(q, mass / mass[-1], p))

    low = 0.0 if num_wins <= 0 else beta(num_wins, count - num_wins + 1, alpha / 2)
    high = 1.0 if num_wins >= count else beta(num_wins + 1, count - num_wins, 1 - alpha / 2)
    return low, high


def e_values(outcomes: Numbers, null_mean: float = 0.5) -> NDArray[np.float64]:
    """After each comparison, what a gambler owns who began with 1 and bet that the challenger wins more than it loses.

    The bets are spread over many stakes, each kept throughout (a mixture of the test martingales of Waudby-Smith and
    Ramdas 2023, section 4). If the challenger is no better, the gambler ever reaches 20 in at most one case of twenty,
    whenever someone looks, and whatever makes them stop (Ville 1939).
    """
    x = np.asarray(outcomes, np.float64)
    stakes = (np.arange(100) + 0.5)[:, None] / 100 / null_mean
    return np.exp(np.cumsum(np.log1p(stakes * (x - null_mean)), 1)).mean(0)
