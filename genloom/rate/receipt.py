"""The receipt of a learning round: what was learned from, what moved and how surely, what had no effect, the cost."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from genloom.rate.calibration import Calibration
from genloom.rate.gate import Decision, Measure, change, win_interval
from genloom.rate.wording import counted

LARGEST = 50_000_000  # bytes of a receipt's JSON


@dataclass(frozen=True)
class Ratings:
    """What the ledger held when the round began."""

    total: int  # ratings and choices that stand
    pairs: int  # preferences made of them, held-out ones among them
    opinions: int  # liked or disliked by themselves
    prompts: int
    held_out: int  # pairs and opinions that only judged and never taught
    held_out_prompts: int
    contradictions: int = 0
    withdrawn: int = 0
    raters: Mapping[str, float] = field(default_factory=dict)  # the weight of each one's word
    unused: Mapping[str, str] = field(default_factory=dict)  # the ledger's entries without effect, with the reason


@dataclass(frozen=True)
class Point:
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
    preferred: str = ""  # "champion", "challenger", or "" where nobody said
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
    ratings: Ratings
    method: Mapping[str, str | int | float | bool]
    decision: Decision
    cost: Cost
    judge: Calibration | None = None  # the reward model on held-out pairs, where there is one
    curve: tuple[Point, ...] = ()
    examples: tuple[Example, ...] = ()
    overruled: str = ""  # who decided against the gate, and why
    baseline: tuple[Measure, ...] = ()  # the champion with a choice of its own answers against the champion
    curve_of: str = ""  # what the curve shows beside the loss


_RECEIPTS = TypeAdapter(Receipt)


def to_json(receipt: Receipt) -> bytes:
    """The same bytes for the same receipt; their digest names it in the ledger."""
    return _RECEIPTS.dump_json(receipt, indent=2) + b"\n"


def from_json(data: bytes) -> Receipt:
    """The inverse of `to_json`; raises ValueError where the bytes are no receipt."""
    if len(data) > LARGEST:
        raise ValueError(f"A receipt has at most {LARGEST:,} bytes, and this has {len(data):,}.")
    try:
        return _RECEIPTS.validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"This is no receipt of a learning round: {where}: {first['msg']}. Learn again.") from None


def digest(receipt: Receipt) -> str:
    return hashlib.sha256(to_json(receipt)).hexdigest()


def headline(receipt: Receipt) -> str:
    """One sentence: what so many ratings did."""
    said = f"Your {counted(receipt.ratings.total, 'rating')}"
    proof = next((m for m in receipt.decision.measures if m.proof), None)
    if proof is None and receipt.baseline:
        return f"{said} are enough to choose: {receipt.baseline[0].name}, {change(receipt.baseline[0])}."
    if proof is None:
        return f"{said} could not be judged: nothing was held out."
    moved = f"{said} moved {proof.name} from {proof.champion:.4g} to {proof.challenger:.4g}"
    if proof.against:
        low, high = win_interval(proof)
        rate = f"{100 * proof.challenger:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
        moved = f"{said} moved the win rate on {proof.name} from 50 % to {rate}"
    return f"{moved}." if proof.better else f"{moved}, which chance alone could have done."


def outcome(receipt: Receipt) -> str:
    if receipt.overruled:
        return f"The gate was overruled: {receipt.overruled}"
    if receipt.challenger == receipt.champion:
        return f"Nothing was learned; {receipt.champion} stays in use."
    if receipt.decision.promote:
        return f"Promoted: {receipt.challenger} replaces {receipt.champion}."
    return f"Kept: {receipt.champion} stays in use; {receipt.challenger} remains a challenger."


def as_text(receipt: Receipt) -> str:
    """The receipt for a terminal."""
    ratings, decision, cost = receipt.ratings, receipt.decision, receipt.cost
    lines = [outcome(receipt), headline(receipt), "", "Why"]
    lines += [f"  {reason}" for reason in decision.reasons]
    lines += [f"  ALARM: {alarm}" for alarm in decision.alarms]
    lines += ["", "Measured on what was held out", *measured(decision.measures)] if decision.measures else []
    lines += ["", "Without learning", *measured(receipt.baseline)] if receipt.baseline else []
    if receipt.judge:
        lines += ["", "The reward model", f"  {judged(receipt.judge)}"]
    lines += ["", "Learned from"]
    lines.append(
        f"  {counted(ratings.total, 'rating')} of {counted(len(ratings.raters), 'rater')} "
        f"on {counted(ratings.prompts, 'prompt')}: "
        f"{counted(ratings.pairs, 'pair')} and {counted(ratings.opinions, 'single opinion')}; "
        f"{ratings.held_out} of them, on {counted(ratings.held_out_prompts, 'prompt')}, only judged."
    )
    lines.append(f"  {counted(ratings.contradictions, 'contradiction')}, {ratings.withdrawn} withdrawn.")
    lines += [f"  {count} without effect: {reason}" for reason, count in Counter(ratings.unused.values()).most_common()]
    lines += ["", "Cost", f"  {duration(cost.total)}: {parts(cost)}"]
    return "\n".join(lines) + "\n"


def measured(measures: Sequence[Measure]) -> list[str]:
    widest = max(len(m.name) for m in measures)
    return [
        f"  {m.name:{widest}}  {m.champion:8.4g} → {m.challenger:<8.4g} "
        f"gain {m.gain:+.3g} [{m.low:+.3g}, {m.high:+.3g}]  {shown(m)}"
        for m in measures
    ]


def shown(measure: Measure) -> str:
    """What may be said of a measure, in two words."""
    if measure.better:
        return "better"
    if measure.fatal:
        return "worse"
    if measure.high < 0:
        return "worse, within what is allowed"
    return "no difference shown"


def judged(judge: Calibration) -> str:
    trust = "agrees with the raters" if judge.trusted else "is NOT shown to agree with the raters"
    share = f"{100 * judge.accuracy:.0f} % [{100 * judge.low:.0f}, {100 * judge.high:.0f}]"
    return (
        f"{trust} on {share} of {judge.count} held-out pairs; "
        f"calibration error {judge.error:.3f} at temperature {judge.temperature:.2f} (before: {judge.error_before:.3f})"
    )


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def parts(cost: Cost) -> str:
    said = [f"{name} {duration(seconds)}" for name, seconds in cost.seconds.items()]
    said += [counted(cost.steps, "step")] if cost.steps else []
    said += [f"{cost.peak_bytes / 2**30:.1f} GiB of memory at most"] if cost.peak_bytes else []
    return ", ".join([*said, *([cost.machine] if cost.machine else [])])
