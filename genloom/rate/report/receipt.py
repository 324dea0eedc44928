"""The receipt of a learning round: training data, measured changes with their intervals, unused ratings, cost."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from genloom.errors import GenloomError
from genloom.old_names import upgrade_fields
from genloom.rate.calibration import Calibration
from genloom.rate.gate import Decision, Measure, compute_win_interval, format_change, format_values
from genloom.text_format import format_count, format_duration

MAX_RECEIPT_BYTES = 50_000_000  # of the JSON


@dataclass(frozen=True)
class RatingSummary:
    """The ratings in the ledger when the round began."""

    total: int  # ratings and choices in effect
    pairs: int  # pairs, held-out ones included
    unpaired: int  # single outputs, desirable or not
    prompts: int
    held_out: int  # pairs and single outputs that were only used to evaluate
    held_out_prompts: int
    contradictions: int = 0
    withdrawn: int = 0
    raters: Mapping[str, float] = field(default_factory=dict)  # the weight of each rater's votes
    unused: Mapping[str, str] = field(default_factory=dict)  # ledger entries without effect, with the reason


@dataclass(frozen=True)
class CurvePoint:
    """Metrics of one training step."""

    step: int
    loss: float
    agreement: float  # the share of the step's pairs that the model ranks as raters do, or see `curve_label`


@dataclass(frozen=True)
class Example:
    """A held-out prompt with the outputs of both versions, as text or as what the page shows."""

    prompt: str
    champion: str
    challenger: str
    preferred_version: str = ""  # "champion", "challenger", or "" if unknown
    shown: tuple[tuple[str, str], ...] = ()  # both outputs, unless they are text: MIME type, and bytes in base 64


@dataclass(frozen=True)
class Cost:
    seconds: Mapping[str, float]  # by part of the round
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
    calibration: Calibration | None = None  # of the reward model on held-out pairs, if there is one
    curve: tuple[CurvePoint, ...] = ()
    examples: tuple[Example, ...] = ()
    override_reason: str = ""  # who overruled the gate, and why
    baseline: tuple[Measure, ...] = ()  # best-of-n of the champion against the champion
    curve_label: str = ""  # the metric of the curve


_RECEIPT_ADAPTER = TypeAdapter(Receipt)


def to_json(receipt: Receipt) -> bytes:
    """Return JSON, the same bytes for the same receipt; the ledger refers to it by their digest."""
    return _RECEIPT_ADAPTER.dump_json(receipt, indent=2) + b"\n"


def from_json(data: bytes) -> Receipt:
    """Parse the output of `to_json`, also of older versions; raise GenloomError for anything else."""
    if len(data) > MAX_RECEIPT_BYTES:
        raise GenloomError("rate.receipt_too_large", limit=MAX_RECEIPT_BYTES, size=len(data))
    try:
        return _RECEIPT_ADAPTER.validate_json(json.dumps(_upgrade_keys(json.loads(data))))
    except ValidationError as error:
        first_error = error.errors()[0]
        location = ".".join(str(part) for part in first_error["loc"])
        raise GenloomError("rate.not_a_receipt", reason=f"{location}: {first_error['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise GenloomError("rate.not_a_receipt", reason=error) from None


def _upgrade_keys(table: Any) -> Any:
    """Rename the keys of a receipt that an older version wrote."""
    if not isinstance(table, dict):
        return table
    table = upgrade_fields(Receipt, table)
    kinds = {"ratings": RatingSummary, "decision": Decision, "examples": Example, "baseline": Measure}
    upgraded = {key: _upgrade_fields(kind, table[key]) for key, kind in kinds.items() if key in table}
    for example in upgraded.get("examples", ()):
        if isinstance(example, dict) and "pictures" in example:  # of versions that showed text and images only
            example["shown"] = [("image/png", data) for data in example.pop("pictures")]
    if isinstance(decision := upgraded.get("decision"), dict) and "measures" in decision:
        decision["measures"] = _upgrade_fields(Measure, decision["measures"])
    return {**table, **upgraded}


def _upgrade_fields(kind: type, value: Any) -> Any:
    if isinstance(value, list):
        return [_upgrade_fields(kind, item) for item in value]
    return upgrade_fields(kind, value) if isinstance(value, dict) else value


def compute_digest(receipt: Receipt) -> str:
    return hashlib.sha256(to_json(receipt)).hexdigest()


def format_headline(receipt: Receipt) -> str:
    """Return one sentence on the effect of the ratings."""
    subject = f"Your {format_count(receipt.ratings.total, 'rating')}"
    if num_scored := receipt.method.get("scored outputs"):
        subject = format_count(int(num_scored), "scored output")
    proof = next((m for m in receipt.decision.measures if m.is_proof), None)
    if proof is None and receipt.baseline:
        return f"{subject} suffice for {receipt.baseline[0].name}: {format_change(receipt.baseline[0])}."
    if proof is None:
        return f"{subject} could not be evaluated: nothing was held out."
    sentence = f"{subject} moved {proof.name} from {proof.champion:.4g} to {proof.challenger:.4g}"
    if proof.is_pairwise:
        low, high = compute_win_interval(proof)
        rate = f"{100 * proof.challenger:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
        sentence = f"{subject} moved the win rate from 50 % to {rate} on {proof.name}"
    return f"{sentence}." if proof.is_better else f"{sentence}; this difference is not significant."


def format_outcome(receipt: Receipt) -> str:
    if receipt.override_reason:
        return f"The gate was overruled: {receipt.override_reason}"
    if receipt.challenger == receipt.champion:
        return f"No training; {receipt.champion} stays in use."
    if receipt.decision.should_promote:
        return f"Promoted: {receipt.challenger} replaces {receipt.champion}."
    return f"Kept: {receipt.champion} stays in use; {receipt.challenger} remains a challenger."


def to_text(receipt: Receipt) -> str:
    """Format the receipt for a terminal."""
    ratings, decision, cost = receipt.ratings, receipt.decision, receipt.cost
    lines = [format_outcome(receipt), format_headline(receipt), "", "Why"]
    lines += [f"  {reason}" for reason in decision.reasons]
    lines += [f"  ALARM: {alarm}" for alarm in decision.alarms]
    lines += ["", "Measured on held-out data", *format_measures(decision.measures)] if decision.measures else []
    lines += ["", "Without learning", *format_measures(receipt.baseline)] if receipt.baseline else []
    if receipt.calibration:
        lines += ["", "The reward model", f"  {format_calibration(receipt.calibration)}"]
    lines += ["", "Learned from"]
    if num_scored := receipt.method.get("scored outputs"):
        scores = f"{receipt.method['rewards']}; the ten best score {receipt.method['mean score of the ten best']}"
        lines.append(f"  {format_count(int(num_scored), 'output')} of its own, scored by {scores}.")
        return "\n".join([*lines, "", "Cost", f"  {format_duration(cost.total)}: {format_cost(cost)}"]) + "\n"
    lines.append(
        f"  {format_count(ratings.total, 'rating')} of {format_count(len(ratings.raters), 'rater')} "
        f"on {format_count(ratings.prompts, 'prompt')}: "
        f"{format_count(ratings.pairs, 'pair')} and {format_count(ratings.unpaired, 'single rating')}; "
        f"{ratings.held_out} of them, on {format_count(ratings.held_out_prompts, 'prompt')}, held out."
    )
    lines.append(f"  {format_count(ratings.contradictions, 'contradiction')}, {ratings.withdrawn} withdrawn.")
    lines += [f"  {count} without effect: {reason}" for reason, count in Counter(ratings.unused.values()).most_common()]
    lines += ["", "Cost", f"  {format_duration(cost.total)}: {format_cost(cost)}"]
    return "\n".join(lines) + "\n"


def format_measures(measures: Sequence[Measure]) -> list[str]:
    width = max(len(m.name) for m in measures)
    return [
        f"  {m.name:{width}}  {champion:>8} → {challenger:8} gain {gain}  {describe_measure(m)}"
        for m in measures
        for champion, challenger, gain in [format_values(m)]
    ]


def describe_measure(measure: Measure) -> str:
    """Return the verdict on a measure in a few words."""
    if measure.is_better:
        return "better"
    if measure.has_regressed_significantly:
        return "worse"
    if measure.high < 0:
        return "worse, within the tolerance"
    return "not significant"


def format_calibration(calibration: Calibration) -> str:
    agreement = "agrees with the raters" if calibration.is_trusted else "does NOT significantly agree with the raters"
    accuracy = f"{100 * calibration.accuracy:.0f} % [{100 * calibration.low:.0f}, {100 * calibration.high:.0f}]"
    return (
        f"{agreement} on {accuracy} of {calibration.count} held-out pairs; "
        f"calibration error {calibration.error:.3f} at temperature {calibration.temperature:.2f} "
        f"(before: {calibration.error_before:.3f})"
    )


def format_cost(cost: Cost) -> str:
    items = [f"{name} {format_duration(seconds)}" for name, seconds in cost.seconds.items()]
    items += [format_count(cost.steps, "step")] if cost.steps else []
    items += [f"{cost.peak_bytes / 2**30:.1f} GiB peak memory"] if cost.peak_bytes else []
    return ", ".join([*items, *([cost.machine] if cost.machine else [])])
