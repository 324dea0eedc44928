"""What a training run tells whoever watches it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from genloom.model.likelihood import BITS_PER_BYTE, HeldOutMetric, to_metric_key


@dataclass(frozen=True)
class Unit:
    """What a run counts its reading in: how records and people call it."""

    key: str
    word: str


TOKENS = Unit("tokens", "tokens")


@dataclass(frozen=True)
class Status:
    """A part of the work before or after the steps began."""

    text: str


@dataclass(frozen=True)
class RunEstimate:
    """What the run will take and should give, before it starts; the fact stands beside it at the end."""

    num_parameters: int
    steps: int
    total_units: int  # in the unit, to be read
    seconds: float  # of training, looks at what is held out included
    memory_bytes: int
    units_per_second: float  # in the unit, a second
    expected_loss: float | None  # of the measure, on what is held out; None where there is nothing to say it from
    error_margin: float  # the share of the forecast that is allowed for
    ngram_baseline: float | None  # of an n-gram model on the same text: what no training should fall short of
    num_trained: int | None = None  # of the parameters, where an adapter learns and not all of them
    loss_before: float | None = None  # of the measure, before a model is tuned
    general_loss_before: float | None = None  # and on general data, which tuning may make it forget
    unit: Unit = TOKENS
    metric: str = BITS_PER_BYTE
    setup_seconds: float = 0.0  # seconds that preparing and measuring took before

    def to_record(self) -> dict[str, Any]:
        """As jobs and cards keep it."""
        record = {
            "parameters": self.num_parameters,
            "steps": self.steps,
            self.unit.key: self.total_units,
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
            f"{self.unit.key}_per_second": self.units_per_second,
            to_metric_key(self.metric): self.expected_loss,
            "error": self.error_margin,
            "floor": self.ngram_baseline,
            "trained": self.num_trained,
            "before": self.loss_before,
            "general_before": self.general_loss_before,
        }
        return {key: value for key, value in record.items() if value is not None}


@dataclass(frozen=True)
class StepMetrics:
    step: int
    steps: int
    losses: Mapping[str, float]  # nats a unit where there is a likelihood, by turn
    metrics: Mapping[str, float]
    units_per_second: float  # in the unit, a second
    seconds_left: float
    seconds: float  # of training so far, in this process and those before it
    unit: Unit = TOKENS

    def to_record(self) -> dict[str, Any]:
        """As a line of the log."""
        record = {f"{self.unit.key}_per_second" if k == "units_per_second" else k: v for k, v in asdict(self).items()}
        return {key: value for key, value in record.items() if key != "unit"}


@dataclass(frozen=True)
class EvalMetrics:
    """A look at what is held out, in the middle of a run."""

    step: int
    held_out_metric: HeldOutMetric

    def to_record(self) -> dict[str, Any]:
        return {"step": self.step, self.held_out_metric.key: self.held_out_metric.value}


@dataclass(frozen=True)
class RunWarning:
    text: str


@dataclass(frozen=True)
class RunResult:
    ref: str
    run: str
    held_out_metric: HeldOutMetric | None  # None where nothing is held out
    seconds: float
    estimate: Mapping[str, Any] = field(default_factory=dict)
    actual: Mapping[str, Any] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """As scripts are told it."""
        metric_record = {} if self.held_out_metric is None else {self.held_out_metric.key: self.held_out_metric.value}
        record = {"ref": self.ref, "run": self.run, **metric_record, "seconds": self.seconds}
        return {**record, "forecast": dict(self.estimate), "fact": dict(self.actual)}


Event = Status | RunEstimate | StepMetrics | EvalMetrics | RunWarning | RunResult
