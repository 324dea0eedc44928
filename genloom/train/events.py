"""Events that a training run yields."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from genloom.model.likelihood import BITS_PER_BYTE, HeldOutMetric, to_metric_key


@dataclass(frozen=True)
class Unit:
    """The unit in which a run counts its data."""

    key: str  # in records
    word: str  # in messages


TOKENS = Unit("tokens", "tokens")


@dataclass(frozen=True)
class RunStart:
    """The first event: which run is continued if the process dies."""

    run: str


@dataclass(frozen=True)
class Status:
    """The current stage of the work, outside the training steps."""

    text: str


@dataclass(frozen=True)
class RunEstimate:
    """The cost and expected quality of a run, before it starts; the measured values follow in `RunResult`."""

    num_parameters: int
    steps: int
    total_units: int  # to train on, with repetition
    seconds: float  # of training and evaluation
    memory_bytes: int
    units_per_second: float
    expected_loss: float | None  # the held-out metric; None if no scaling law is known
    error_margin: float  # relative error of the forecast
    ngram_baseline: float | None  # the metric of an n-gram model on the same text; training should beat it
    num_trained: int | None = None  # trained parameters, if only an adapter is trained
    loss_before: float | None = None  # the metric before fine-tuning
    general_loss_before: float | None = None  # and on general data, which fine-tuning may make the model forget
    unit: Unit = TOKENS
    metric: str = BITS_PER_BYTE
    setup_seconds: float = 0.0  # for preparing and measuring
    num_epochs: float = 0.0  # passes over the training data; 0: unknown

    def to_record(self) -> dict[str, Any]:
        """Return the record that jobs and cards store."""
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
            "epochs": self.num_epochs or None,
        }
        return {key: value for key, value in record.items() if value is not None}


@dataclass(frozen=True)
class StepMetrics:
    step: int
    steps: int
    losses: Mapping[str, float]  # by phase; nats per term if the objective has a likelihood
    metrics: Mapping[str, float]
    units_per_second: float
    seconds_left: float
    seconds: float  # of training so far, earlier processes included
    unit: Unit = TOKENS

    def to_record(self) -> dict[str, Any]:
        """Return a row of the log."""
        record = {f"{self.unit.key}_per_second" if k == "units_per_second" else k: v for k, v in asdict(self).items()}
        return {key: value for key, value in record.items() if key != "unit"}


@dataclass(frozen=True)
class EvalMetrics:
    """An evaluation on held-out data during a run."""

    step: int
    held_out_metric: HeldOutMetric

    def to_record(self) -> dict[str, Any]:
        return {"step": self.step, self.held_out_metric.key: self.held_out_metric.value}


@dataclass(frozen=True)
class TextSample:
    """A text that the model writes at a step, for people; it is not stored."""

    step: int
    text: str


@dataclass(frozen=True)
class RunWarning:
    text: str


@dataclass(frozen=True)
class RunResult:
    ref: str
    run: str
    held_out_metric: HeldOutMetric | None  # None if nothing is held out
    seconds: float
    estimate: Mapping[str, Any] = field(default_factory=dict)
    actual: Mapping[str, Any] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """Return the record that `--json` prints."""
        metric_record = {} if self.held_out_metric is None else {self.held_out_metric.key: self.held_out_metric.value}
        record = {"ref": self.ref, "run": self.run, **metric_record, "seconds": self.seconds}
        return {**record, "forecast": dict(self.estimate), "fact": dict(self.actual)}


Event = RunStart | Status | RunEstimate | StepMetrics | EvalMetrics | TextSample | RunWarning | RunResult
