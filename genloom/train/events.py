"""What a training run tells whoever watches it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Stage:
    """A part of the work before or after the steps began."""

    text: str


@dataclass(frozen=True)
class Contract:
    """What the run will take and should give, before it starts; the fact stands beside it at the end."""

    parameters: int
    steps: int
    tokens: int
    seconds: float
    memory_bytes: int
    tokens_per_second: float
    bits_per_byte: float | None  # of held-out text; None where there is too little text to say
    error: float  # the share of the forecast that is allowed for
    floor: float | None  # bits per byte of an n-gram model on the same text: what no training should fall short of
    trained: int | None = None  # of the parameters, where an adapter learns and not all of them
    before: float | None = None  # bits per byte before a model is tuned
    general_before: float | None = None  # and on general text, which tuning may make it forget


@dataclass(frozen=True)
class Stepped:
    step: int
    steps: int
    losses: Mapping[str, float]  # nats a unit, by turn
    metrics: Mapping[str, float]
    tokens_per_second: float
    seconds_left: float
    seconds: float  # of training so far, in this process and those before it


@dataclass(frozen=True)
class Checked:
    """Bits per byte of held-out text in the middle of a run."""

    step: int
    bits_per_byte: float


@dataclass(frozen=True)
class Warned:
    text: str


@dataclass(frozen=True)
class Finished:
    ref: str
    run: str
    bits_per_byte: float | None
    seconds: float
    forecast: Mapping[str, Any] = field(default_factory=dict)
    fact: Mapping[str, Any] = field(default_factory=dict)


Event = Stage | Contract | Stepped | Checked | Warned | Finished
