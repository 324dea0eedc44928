"""What a training run tells whoever watches it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from genloom.likelihood import BITS, Measured, key_of


@dataclass(frozen=True)
class Unit:
    """What a run counts its reading in: how records and people call it."""

    key: str
    word: str


TOKENS = Unit("tokens", "tokens")


@dataclass(frozen=True)
class Stage:
    """A part of the work before or after the steps began."""

    text: str


@dataclass(frozen=True)
class Contract:
    """What the run will take and should give, before it starts; the fact stands beside it at the end."""

    parameters: int
    steps: int
    amount: int  # in the unit, to be read
    seconds: float  # of training, looks at what is held out included
    memory_bytes: int
    speed: float  # in the unit, a second
    expected: float | None  # of the measure, on what is held out; None where there is nothing to say it from
    error: float  # the share of the forecast that is allowed for
    floor: float | None  # of an n-gram model on the same text: what no training should fall short of
    trained: int | None = None  # of the parameters, where an adapter learns and not all of them
    before: float | None = None  # of the measure, before a model is tuned
    general_before: float | None = None  # and on general data, which tuning may make it forget
    unit: Unit = TOKENS
    measure: str = BITS
    spent: float = 0.0  # seconds that preparing and measuring took before

    def facts(self) -> dict[str, Any]:
        """As jobs and cards keep it."""
        found = {
            "parameters": self.parameters,
            "steps": self.steps,
            self.unit.key: self.amount,
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
            f"{self.unit.key}_per_second": self.speed,
            key_of(self.measure): self.expected,
            "error": self.error,
            "floor": self.floor,
            "trained": self.trained,
            "before": self.before,
            "general_before": self.general_before,
        }
        return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True)
class Stepped:
    step: int
    steps: int
    losses: Mapping[str, float]  # nats a unit where there is a likelihood, by turn
    metrics: Mapping[str, float]
    speed: float  # in the unit, a second
    seconds_left: float
    seconds: float  # of training so far, in this process and those before it
    unit: Unit = TOKENS

    def facts(self) -> dict[str, Any]:
        """As a line of the log."""
        found = {f"{self.unit.key}_per_second" if k == "speed" else k: v for k, v in asdict(self).items()}
        return {key: value for key, value in found.items() if key != "unit"}


@dataclass(frozen=True)
class Checked:
    """A look at what is held out, in the middle of a run."""

    step: int
    found: Measured

    def facts(self) -> dict[str, Any]:
        return {"step": self.step, self.found.key: self.found.value}


@dataclass(frozen=True)
class Warned:
    text: str


@dataclass(frozen=True)
class Finished:
    ref: str
    run: str
    found: Measured | None  # None where nothing is held out
    seconds: float
    forecast: Mapping[str, Any] = field(default_factory=dict)
    fact: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """As scripts are told it."""
        measured = {} if self.found is None else {self.found.key: self.found.value}
        ended = {"ref": self.ref, "run": self.run, **measured, "seconds": self.seconds}
        return {**ended, "forecast": dict(self.forecast), "fact": dict(self.fact)}


Event = Stage | Contract | Stepped | Checked | Warned | Finished
