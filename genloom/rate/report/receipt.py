"""The receipt of a learning round: what was learned from, what moved and how surely, what had no effect, the cost."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from genloom.rate.calibration import Calibration
from genloom.rate.gate import Decision, Measure, compute_win_interval, format_change
from genloom.rate.report.wording import format_count

MAX_RECEIPT_BYTES = 50_000_000  # bytes of a receipt's JSON


@dataclass(frozen=True)
class RatingSummary:
    """What the ledger held when the round began."""

    total: int  # ratings and choices that stand
    pairs: int  # preferences made of them, held-out ones among them
    unpaired: int  # liked or disliked by themselves
    prompts: int
    held_out: int  # pairs and opinions that only judged and never taught
    held_out_prompts: int
    contradictions: int = 0
    withdrawn: int = 0
    raters: Mapping[str, float] = field(default_factory=dict)  # the weight of each one's word
    unused: Mapping[str, str] = field(default_factory=dict)  # the ledger's entries without effect, with the reason


@dataclass(frozen=True)
class CurvePoint:
    """Where training stood after a step."""

    step: int
    loss: float
    agreement: float  # the share of the step's pairs on whose winner model and raters agree, or what `curve_of` says


@dataclass(frozen=True)
class Example:
    """A held-out prompt answered by both versions."""

    prompt: str
    champion: str
    challenger: str
    preferred_version: str = ""  # "champion", "challenger", or "" where nobody said
    pictures: tuple[str, ...] = ()  # both answers as PNG in base 64, where they are pictures and no texts


@dataclass(frozen=True)
class Cost:
    seconds: Mapping[str, float]  # of each part of the round
    steps: int = 0
    peak_bytes: int = 0
    machine: str = ""

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Receipt:
    model: str
    champion: str  # "notes/1"
    challenger: str  # "notes/2"
    at: str  # ISO 8601, UTC
    ratings: RatingSummary
    method: Mapping[str, str | int | float | bool]
    decision: Decision
    cost: Cost
    calibration: Calibration | None = None  # the reward model on held-out pairs, where there is one
    curve: tuple[CurvePoint, ...] = ()
    examples: tuple[Example, ...] = ()
    override_reason: str = ""  # who decided against the gate, and why
    baseline: tuple[Measure, ...] = ()  # the champion with a choice of its own answers against the champion
    curve_label: str = ""  # what the curve shows beside the loss


_RECEIPT_ADAPTER = TypeAdapter(Receipt)


def to_json(receipt: Receipt) -> bytes:
    """The same bytes for the same receipt; their digest names it in the ledger."""
    return _RECEIPT_ADAPTER.dump_json(receipt, indent=2) + b"\n"


def from_json(data: bytes) -> Receipt:
    """The inverse of `to_json`; raises ValueError where the bytes are no receipt."""
    if len(data) > MAX_RECEIPT_BYTES:
        raise ValueError(f"A receipt has at most {MAX_RECEIPT_BYTES:,} bytes, and this has {len(data):,}.")
    try:
        return _RECEIPT_ADAPTER.validate_json(data)
    except ValidationError as error:
        first_error = error.errors()[0]
        location = ".".join(str(part) for part in first_error["loc"])
        raise ValueError(
            f"This is no receipt of a learning round: {location}: {first_error['msg']}. Learn again."
        ) from None


def compute_digest(receipt: Receipt) -> str:
    return hashlib.sha256(to_json(receipt)).hexdigest()


def format_headline(receipt: Receipt) -> str:
    """One sentence: what so many ratings did."""
    subject = f"Your {format_count(receipt.ratings.total, 'rating')}"
    proof = next((m for m in receipt.decision.measures if m.is_proof), None)
    if proof is None and receipt.baseline:
        return f"{subject} are enough to choose: {receipt.baseline[0].name}, {format_change(receipt.baseline[0])}."
    if proof is None:
        return f"{subject} could not be judged: nothing was held out."
    sentence = f"{subject} moved {proof.name} from {proof.champion:.4g} to {proof.challenger:.4g}"
    if proof.is_pairwise:
        low, high = compute_win_interval(proof)
        rate = f"{100 * proof.challenger:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
        sentence = f"{subject} moved the win rate on {proof.name} from 50 % to {rate}"
    return f"{sentence}." if proof.is_better else f"{sentence}, which chance alone could have done."


def format_outcome(receipt: Receipt) -> str:
    if receipt.override_reason:
        return f"The gate was overruled: {receipt.override_reason}"
    if receipt.challenger == receipt.champion:
        return f"Nothing was learned; {receipt.champion} stays in use."
    if receipt.decision.should_promote:
        return f"Promoted: {receipt.challenger} replaces {receipt.champion}."
    return f"Kept: {receipt.champion} stays in use; {receipt.challenger} remains a challenger."


def to_text(receipt: Receipt) -> str:
    """The receipt for a terminal."""
    ratings, decision, cost = receipt.ratings, receipt.decision, receipt.cost
    lines = [format_outcome(receipt), format_headline(receipt), "", "Why"]
    lines += [f"  {reason}" for reason in decision.reasons]
    lines += [f"  ALARM: {alarm}" for alarm in decision.alarms]
    lines += ["", "Measured on what was held out", *format_measures(decision.measures)] if decision.measures else []
    lines += ["", "Without learning", *format_measures(receipt.baseline)] if receipt.baseline else []
    if receipt.calibration:
        lines += ["", "The reward model", f"  {format_calibration(receipt.calibration)}"]
    lines += ["", "Learned from"]
    lines.append(
        f"  {format_count(ratings.total, 'rating')} of {format_count(len(ratings.raters), 'rater')} "
        f"on {format_count(ratings.prompts, 'prompt')}: "
        f"{format_count(ratings.pairs, 'pair')} and {format_count(ratings.unpaired, 'single opinion')}; "
        f"{ratings.held_out} of them, on {format_count(ratings.held_out_prompts, 'prompt')}, only judged."
    )
    lines.append(f"  {format_count(ratings.contradictions, 'contradiction')}, {ratings.withdrawn} withdrawn.")
    lines += [f"  {count} without effect: {reason}" for reason, count in Counter(ratings.unused.values()).most_common()]
    lines += ["", "Cost", f"  {format_duration(cost.total)}: {format_cost(cost)}"]
    return "\n".join(lines) + "\n"


def format_measures(measures: Sequence[Measure]) -> list[str]:
    width = max(len(m.name) for m in measures)
    return [
        f"  {m.name:{width}}  {m.champion:8.4g} → {m.challenger:<8.4g} "
        f"gain {m.gain:+.3g} [{m.low:+.3g}, {m.high:+.3g}]  {describe_measure(m)}"
        for m in measures
    ]


def describe_measure(measure: Measure) -> str:
    """What may be said of a measure, in two words."""
    if measure.is_better:
        return "better"
    if measure.has_regressed_significantly:
        return "worse"
    if measure.high < 0:
        return "worse, within what is allowed"
    return "no difference shown"


def format_calibration(calibration: Calibration) -> str:
    agreement = "agrees with the raters" if calibration.is_trusted else "is NOT shown to agree with the raters"
    accuracy = f"{100 * calibration.accuracy:.0f} % [{100 * calibration.low:.0f}, {100 * calibration.high:.0f}]"
    return (
        f"{agreement} on {accuracy} of {calibration.count} held-out pairs; "
        f"calibration error {calibration.error:.3f} at temperature {calibration.temperature:.2f} (before: {calibration.error_before:.3f})"
    )


def format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def format_cost(cost: Cost) -> str:
    items = [f"{name} {format_duration(seconds)}" for name, seconds in cost.seconds.items()]
    items += [format_count(cost.steps, "step")] if cost.steps else []
    items += [f"{cost.peak_bytes / 2**30:.1f} GiB of memory at most"] if cost.peak_bytes else []
    return ", ".join([*items, *([cost.machine] if cost.machine else [])])
