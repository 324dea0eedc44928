"""The privacy of training data in a model: membership, verbatim extraction, exposure of canaries, personal data.

The measures take losses, texts and counts, so that they are the same for every medium and every model.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.metrics.statistics import ALPHA, IntervalEstimate, bootstrap_interval, compute_wilson_interval
from genloom.store.files import write_atomic
from genloom.store.manifest import read_record, write_record

Losses = NDArray[np.float64]  # nats per unit, or the objective's loss per term, of one document each

REPORT_FILE, REPORT_SUFFIX = "privacy.json", "-privacy"  # the suffix of the folder of a model's report
FALSE_POSITIVE_RATE = 0.05
CHANCE_EXPOSURE = 1 / math.log(2)  # bits, the mean of a secret that the model has not learned
_CARD_MEASURES: Sequence[tuple[str, tuple[str, ...], str]] = (
    ("membership by the loss, AUC", ("membership", "auc"), "0.5"),
    ("membership beside the base model, AUC", ("calibrated", "auc"), "0.5"),
    ("training documents continued verbatim", ("extraction", "train"), "the next row"),
    ("held-out documents continued verbatim", ("extraction", "held_out"), "-"),
    ("exposure of canaries, bits", ("exposure", "mean"), f"{CHANCE_EXPOSURE:.2f}"),
    ("outputs with personal data", ("personal_data", "share"), "-"),
)
_Z = NormalDist().inv_cdf(1 - ALPHA / 2)


@dataclass(frozen=True)
class Membership:
    """How well the loss tells training documents from held-out ones."""

    auc: IntervalEstimate  # 0.5: not at all, 1: every time
    found: IntervalEstimate  # share of training documents found at a false-positive rate of 5 %
    num_train: int
    num_held_out: int
    reference: str = ""  # the model whose loss is subtracted; "": none

    @property
    def is_leaking(self) -> bool:
        return self.auc.low > 0.5


@dataclass(frozen=True)
class Extraction:
    """How often a model continues the beginning of a document verbatim."""

    train: IntervalEstimate  # share of training documents
    held_out: IntervalEstimate | None  # of held-out ones, which is chance; None without any
    num_units: int  # characters that must agree

    @property
    def is_leaking(self) -> bool:
        """Whether training documents are continued verbatim more often than held-out ones, beyond both intervals."""
        return self.train.low > (0.0 if self.held_out is None else self.held_out.high)


@dataclass(frozen=True)
class Exposure:
    """The exposure of secrets that were put into the training data (Carlini et al. 2019), in bits."""

    mean: IntervalEstimate
    exposures: tuple[float, ...]
    num_candidates: int  # that each secret is ranked among; the highest exposure is its logarithm

    @property
    def is_leaking(self) -> bool:
        return self.mean.low > CHANCE_EXPOSURE


@dataclass(frozen=True)
class PersonalData:
    """Personal data in stored outputs, by kind."""

    share: IntervalEstimate  # of outputs with any
    counts: Mapping[str, int]


@dataclass(frozen=True)
class PrivacyReport:
    """The measures; None with a note where one could not be taken."""

    model: str
    dataset: str
    membership: Membership | None = None
    calibrated: Membership | None = None  # by the loss of a reference
    extraction: Extraction | None = None
    exposure: Exposure | None = None
    personal_data: PersonalData | None = None
    notes: tuple[str, ...] = ()  # on what was not measured, and why
    digest: str = ""  # of the model

    @property
    def is_leaking(self) -> bool:
        """Whether a measure shows that the model reveals training data; personal data in outputs may be invented."""
        measures = (self.membership, self.calibrated, self.extraction, self.exposure)
        return any(measure is not None and measure.is_leaking for measure in measures)

    @property
    def lines(self) -> list[str]:
        """Return the report as lines for people."""
        lines = [f"Privacy of {self.model} (training data {self.dataset}):"]
        for title, membership in (("membership", self.membership), ("membership, calibrated", self.calibrated)):
            if membership is not None:
                by = f", by the loss beside that of {membership.reference}" if membership.reference else ""
                counts = f"{membership.num_train} training and {membership.num_held_out} held-out documents"
                found = f"{_format_share(membership.found)} found at 5 % false alarms"
                lines += [f"  {title}: AUC {_format_rate(membership.auc)}{by}; 0.5 is chance", f"    {counts}; {found}"]
        if self.extraction is not None:
            chance = self.extraction.held_out
            beside = "" if chance is None else f"; of held-out ones {_format_share(chance)}"
            lines.append(
                f"  extraction: {_format_share(self.extraction.train)} of training documents are continued verbatim "
                f"for {self.extraction.num_units} characters{beside}"
            )
        if self.exposure is not None:
            lines.append(
                f"  canaries: exposure {_format_rate(self.exposure.mean)} bits of at most "
                f"{math.log2(self.exposure.num_candidates):.1f}; {CHANCE_EXPOSURE:.1f} is chance"
            )
        if self.personal_data is not None:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.personal_data.counts.items()))
            lines.append(
                f"  personal data: in {_format_share(self.personal_data.share)} of {self.personal_data.share.count} "
                f"outputs{f' ({kinds})' if kinds else ''}"
            )
        verdict = "the model reveals training data" if self.is_leaking else "no sign that training data are revealed"
        measured = self.membership or self.extraction or self.exposure
        return [*lines, *(f"  {note}" for note in self.notes), *([f"  {verdict}"] if measured else [])]

    def to_json(self) -> dict[str, Any]:
        """Return every number as JSON values."""
        return {**_to_json(asdict(self)), "leaking": self.is_leaking}

    def to_html(self) -> str:
        """Return the report as a page."""
        rows = "".join(f"<li>{escape(line.strip())}</li>" for line in self.lines[1:])
        title = escape(self.lines[0].rstrip(":"))
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
            f"<body><h1>{title}</h1><ul>{rows}</ul></body></html>\n"
        )

    def save(self, folder: Path) -> None:
        """Write privacy.json and the page privacy.html."""
        write_atomic(folder / "privacy.html", self.to_html())
        write_record(folder / REPORT_FILE, self.to_json(), ["privacy.html"])

    def __str__(self) -> str:
        return "\n".join(self.lines)


def find_privacy_report(root: Path, ref: str, digest: str) -> dict[str, Any] | None:
    """Return the stored report on a version, e.g. "notes/2", for its card; None if there is none of this digest."""
    folder = root / "reports" / f"{ref.replace('/', '-')}{REPORT_SUFFIX}"
    try:
        report = read_record(folder / REPORT_FILE)
    except (OSError, ValueError):
        return None
    return report if report.get("model") == ref and report.get("digest") == digest else None


def list_card_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the measures of a stored report as measure, value, interval and chance; [] for one of another form."""
    rows: list[tuple[str, str, str, str]] = []
    for title, path, chance in _CARD_MEASURES:
        found: Any = report
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping) and all(
            isinstance(found.get(key), int | float) for key in ("mean", "low", "high")
        ):
            rows.append((title, f"{found['mean']:.3f}", f"{found['low']:.3f} to {found['high']:.3f}", chance))
    return rows


def measure_membership(train: Losses, held_out: Losses, reference: str = "") -> Membership:
    """Return how well a low loss tells training documents; both lists must have a document."""
    limit = float(np.quantile(held_out, FALSE_POSITIVE_RATE))
    found = compute_wilson_interval(int((train < limit).sum()), len(train))
    return Membership(estimate_auc(train, held_out), found, len(train), len(held_out), reference)


def estimate_auc(low: Losses, high: Losses) -> IntervalEstimate:
    """Return the probability that a value of `low` is less than one of `high`; ties count half.

    The interval inverts the score with the variance of Hanley and McNeil (Newcombe 2006, method 5), so that it has a
    width even if the two do not overlap.
    """
    ordered = np.sort(high)
    below, up_to = (np.searchsorted(ordered, low, side) for side in ("left", "right"))
    auc = float((len(high) - (below + up_to) / 2).mean() / len(high))

    def exceeds(theta: float) -> bool:
        """Whether the observed value lies too far from this true one."""
        shape = (len(low) + len(high)) / 2 - 1
        factor = 1 + shape * (1 - theta) / (2 - theta) + shape * theta / (1 + theta)
        return abs(auc - theta) > _Z * math.sqrt(theta * (1 - theta) * factor / (len(low) * len(high)))

    return IntervalEstimate(auc, _find_bound(exceeds, auc, 0.0), _find_bound(exceeds, auc, 1.0), len(low) + len(high))


def _find_bound(exceeds: Any, inside: float, outside: float) -> float:
    for _ in range(50):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if exceeds(middle) else (middle, outside)
    return inside


def measure_extraction(
    train: Sequence[tuple[str, str]], held_out: Sequence[tuple[str, str]], num_units: int
) -> Extraction:
    """Compare continuations with what follows in the documents: pairs of the generated and the true text.

    The first `num_units` characters must be equal; of a shorter rest, all.
    """

    def estimate(pairs: Sequence[tuple[str, str]]) -> IntervalEstimate:
        equal = sum(generated[: len(rest[:num_units])] == rest[:num_units] for generated, rest in pairs)
        return compute_wilson_interval(equal, len(pairs))

    return Extraction(estimate(train), estimate(held_out) if held_out else None, num_units)


def measure_exposure(secret_losses: Losses, candidate_losses: Losses) -> Exposure:
    """Return the exposure of each secret by its rank among random candidates of the same form.

    A secret that is likelier than all R candidates has the exposure log2(R + 1); one that the model has not learned
    has 1.44 bits on average.
    """
    num_candidates = len(candidate_losses) + 1
    ordered = np.sort(candidate_losses)
    ranks = 1 + np.searchsorted(ordered, secret_losses, "right")  # ties count against exposure
    exposures = math.log2(num_candidates) - np.log2(ranks)
    low, high = bootstrap_interval(exposures)
    high = min(high, math.log2(num_candidates))  # the bootstrap of few values does not know the bound
    mean = IntervalEstimate(float(exposures.mean()), low, high, len(exposures))
    return Exposure(mean, tuple(exposures.tolist()), num_candidates)


def count_personal_data(found: Sequence[Mapping[str, int]]) -> PersonalData | None:
    """Return how many outputs have personal data; None without outputs."""
    if not found:
        return None
    total: Counter[str] = Counter()
    for counts in found:
        total.update(counts)
    return PersonalData(compute_wilson_interval(sum(bool(counts) for counts in found), len(found)), dict(total))


def _format_rate(estimate: IntervalEstimate) -> str:
    if not math.isfinite(estimate.low):
        return f"{estimate.mean:.3f} (no interval of one value)"
    return f"{estimate.mean:.3f} (95 % interval {estimate.low:.3f} to {estimate.high:.3f})"


def _format_share(estimate: IntervalEstimate) -> str:
    return f"{estimate.mean:.0%} ({estimate.low:.0%} to {estimate.high:.0%})"


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _to_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
