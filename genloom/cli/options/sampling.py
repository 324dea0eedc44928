"""The options that say how a model draws: those of texts, and those of what is made in steps from noise."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from genloom.cli.options.types import Count, GuidanceScale, Positive, Share, Temperature, int_range


@Parameter(name="*")
@dataclass(frozen=True)
class TokenSamplingOptions:
    """How symbols are drawn one after the other."""

    max_tokens: Count | None = None
    """How many symbols, letters or pieces of words, to write at most. Default: 400, for an answer in a chat 512."""

    temperature: Temperature | None = None
    """How daring: 0 always takes the likeliest symbol, 1 draws as the model believes. Default: 0.8, in a chat 0.3."""

    top_k: Annotated[int, int_range(0)] | None = None
    """Only draw from so many likeliest symbols."""

    top_p: Share | None = None
    """Only draw from the likeliest symbols that make up this share of the belief. Default in a chat: 0.9."""

    min_p: Share | None = None
    """Only draw from symbols at least this likely compared with the likeliest."""

    repetition_penalty: Positive | None = None
    """Above 1, symbols that stand in the text already become less likely. Default in a chat: 1.05."""

    def to_params(self, **defaults: Any) -> dict[str, Any]:
        """What was asked for by name, and `otherwise` for what was not."""
        return merge_params(self, defaults)


@Parameter(name="*")
@dataclass(frozen=True)
class StepSamplingOptions:
    """How things that are whole from the start are made from noise, and how closely they follow a prompt."""

    negative_prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """What a picture shall not be like, in words."""

    guidance_scale: GuidanceScale | None = None
    """How closely a picture follows its prompt: 1 as the model has learned, more is closer and less varied."""

    steps: Count | None = None
    """In how many steps a picture is made: fewer are quicker, more are finer."""

    solver: str | None = None
    """How a step is taken: euler is quick, heun looks twice, multistep remembers the step before."""

    resample_steps: Annotated[int, int_range(0)] | None = None
    """With a part to fill: how often each step is taken back and done over, so that it fits the rest better."""

    def to_params(self) -> dict[str, Any]:
        return merge_params(self, {})


def merge_params(options: TokenSamplingOptions | StepSamplingOptions, defaults: dict[str, Any]) -> dict[str, Any]:
    return defaults | {name: value for name, value in asdict(options).items() if value is not None}


DEFAULT_TOKEN_OPTIONS, DEFAULT_STEP_OPTIONS = TokenSamplingOptions(), StepSamplingOptions()  # where nothing is said
