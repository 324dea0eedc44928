"""Types that the requests of several addresses share."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXT_CHARS = 4_000_000
MAX_TOKENS = 1_000_000
MAX_CHOICES = 128
MAX_STOPS = 16

Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
Name = Annotated[str, Field(min_length=1, max_length=512)]
StopText = Annotated[str, Field(min_length=1, max_length=1000)]
Stop = StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS)] | None
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Count = Annotated[int, Field(ge=1, le=MAX_CHOICES)]
MaxTokens = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
LogitBias = Annotated[dict[Annotated[int, Field(ge=0, lt=2**31)], Bias], Field(max_length=2048)]


class Shape(BaseModel):
    """A request: fields of later versions of the API are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class SamplingShape(Shape):
    """How tokens are sampled; the last fields are ours."""

    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    seed: Seed | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)] | None = None
    logit_bias: LogitBias | None = None
    top_k: Annotated[int, Field(ge=0, le=10**9)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)] | None = None
    is_marked: bool = True  # whether the workspace's key marks the answer
    refuse_copies: bool = False  # whether an answer that copies training data is withheld

    def list_params(self) -> dict[str, Any]:
        """Return the sampling parameters that are given."""
        names = (
            "temperature",
            "top_p",
            "presence_penalty",
            "frequency_penalty",
            "top_k",
            "min_p",
            "repetition_penalty",
        )
        return {name: value for name in names if (value := getattr(self, name, None)) is not None}


def to_seed(seed: int | None) -> int | None:
    """Return a seed of the engine, which is not negative."""
    return None if seed is None else seed % 2**63


def to_stops(stop: str | list[str] | None) -> tuple[str, ...]:
    return () if stop is None else (stop,) if isinstance(stop, str) else tuple(stop)
