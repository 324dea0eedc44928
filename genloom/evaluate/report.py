"""The results of evaluations: numbers as JSON values, lines for people, and charts and sheets as files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from genloom.evaluate.scores import Score, ScoreComparison
from genloom.metrics.statistics import IntervalEstimate
from genloom.store.files import write_atomic
from genloom.store.manifest import write_record

Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Report:
    """The evaluation of one model on held-out data."""

    model: str
    dataset: str  # name@digest:split, and how many documents were left out
    measures: Mapping[str, IntervalEstimate]  # the main ones by name, "bits per byte"; infinite intervals are unknown
    details: Mapping[str, Any]  # every number, as JSON values
    lines: Sequence[str]  # for people
    files: Mapping[str, bytes] = field(default_factory=dict)  # charts and sheets by name

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        split = self.dataset.rpartition(":")[2].partition(" ")[0]
        return {"model": self.model, "dataset": self.dataset, "split": split, **self.details}

    def save(self, folder: Path) -> None:
        """Write evaluation.json and the files to a folder."""
        _save_files(folder, "evaluation.json", self.to_json(), self.files)


@dataclass(frozen=True)
class Sample:
    """A sample under a heading, to be read; what a terminal shows of it."""

    heading: str
    text: str


@dataclass(frozen=True)
class ComparisonReport:
    """`second` against `first` on the same held-out data."""

    first: str
    second: str
    measure: str  # that the verdict rests on; lower is better
    difference: IntervalEstimate  # second minus first
    details: Mapping[str, Any]  # every number, as JSON values
    lines: Sequence[str]  # for people
    chart: bytes  # PNG of both models
    samples: Sequence[Sample] = ()  # one of each model, to be read

    @property
    def verdict(self) -> Verdict:
        """The verdict on `second`, from the 95 % interval of the paired difference."""
        return get_verdict(self.difference)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {**self.details, "verdict": self.verdict}


@dataclass(frozen=True)
class BatteryReport:
    """The scores of one model in the tasks of its medium's battery."""

    model: str
    scores: Sequence[Score]
    lines: Sequence[str]  # for people
    details: Mapping[str, Any] = field(default_factory=dict)  # further numbers, as JSON values
    files: Mapping[str, bytes] = field(default_factory=dict)  # charts and sheets by name

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON values."""
        return {"model": self.model, "battery": [score.to_json() for score in self.scores], **self.details}

    def save(self, folder: Path) -> None:
        """Write battery.json and the files to a folder."""
        _save_files(folder, "battery.json", self.to_json(), self.files)


@dataclass(frozen=True)
class BatteryComparison:
    """Return the gain in accuracy from `first` to `second` in each task."""

    first: str
    second: str
    gaps: Sequence[ScoreComparison]
    lines: Sequence[str]  # for people

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {"first": self.first, "second": self.second, "battery": [gap.to_json() for gap in self.gaps]}


def get_verdict(difference: IntervalEstimate) -> Verdict:
    """Return the verdict on the second model of a paired difference in a measure of which less is better."""
    if not difference.excludes(0.0):
        return "no difference shown"
    return "better" if difference.mean < 0 else "worse"


def without_interval(value: float, count: int) -> IntervalEstimate:
    """Return a measure over `count` values whose interval is unknown."""
    return IntervalEstimate(value, -math.inf, math.inf, count)


def estimate_to_json(estimate: IntervalEstimate) -> dict[str, float | int | None]:
    """Return an estimate as JSON values; infinities, which JSON lacks, become null."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(estimate).items()}


def difference_to_json(difference: IntervalEstimate) -> dict[str, float] | None:
    """Return a difference with its interval as JSON values; null if it has no interval."""
    if difference.count < 2:
        return None
    return {"mean": difference.mean, "low": difference.low, "high": difference.high}


def _save_files(folder: Path, name: str, content: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    for file_name, data in files.items():
        write_atomic(folder / file_name, data)
    write_record(folder / name, content, files)
