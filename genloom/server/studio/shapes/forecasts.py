"""Shapes of forecasts of trainings and collections."""

from typing import Any, Literal

from pydantic import Field

from genloom.server.studio.shapes.datasets import Reason
from genloom.server.studio.shapes.shape import Body, Shape


class ForecastRequest(Body):
    kind: Literal["train", "collect"]
    params: dict[str, Any] = Field(default_factory=dict)


class Forecast(Shape):
    """The expected cost and quality of a training."""

    minutes: float
    parameters: int
    trained: int | None = None
    steps: int
    units: int
    unit: str
    epochs: float | None = None
    seconds: float
    setup_seconds: float = 0.0
    memory_bytes: int
    memory_available: int
    fits: bool
    why_not: str = ""
    metric: str
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    before: float | None = None
    level: str = ""  # what new text is like: a key of genloom.api.progress.TEXT_QUALITY


class MediumCount(Shape):
    medium: str
    files: int
    bytes: int


class CollectForecast(Shape):
    medium: str
    media: list[MediumCount]
    files: int
    bytes: int
    left: list[Reason] = Field(default_factory=list)
    examples: list[str] = Field(default_factory=list)
