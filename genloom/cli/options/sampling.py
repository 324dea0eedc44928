"""Sampling options: those of token models, and those of diffusion-like models."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from genloom.api.models import Model
from genloom.cli.options.numbers import GuidanceScale, Penalty, Seed, Share, Temperature, int_range
from genloom.objectives.checks import SUGGESTED_TEMPERATURE

MaxTokens = Annotated[
    int,
    int_range(1, 1_000_000),
    Parameter(help="Most tokens to add. [default: 400; 512 in chat]"),
]
SamplingTemperature = Annotated[
    Temperature,
    Parameter(
        help="Sampling temperature. 0 always picks the most likely token; 1 samples from the model's distribution. "
        f"[default: {SUGGESTED_TEMPERATURE}; 0.3 in a chat]"
    ),
]
TopP = Annotated[
    Share,
    Parameter(help="Nucleus sampling: probability of the tokens to sample from. [default: off; 0.9 in a chat]"),
]
Steps = Annotated[
    int, int_range(1, 10_000), Parameter(help="Number of sampling steps of an image; fewer are faster, more are finer.")
]
Guidance = Annotated[
    GuidanceScale,
    Parameter(help="Guidance scale: 1 is off; higher values follow the prompt more closely, with less variety."),
]
SamplingSeed = Annotated[
    Seed,
    Parameter(help="Random seed. [default: a new one each time]"),
]


Unmarked = Annotated[
    bool,
    Parameter(
        name="--unmarked",
        negative="",
        help="Outputs without the mark of this workspace.",
    ),
]
ParamSettings = Annotated[
    list[str],
    Parameter(
        name=["--option", "-o"],
        help="Sampling option as NAME=VALUE; genloom generate MODEL --options lists them. Repeatable.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class TokenSamplingOptions:
    """Sampling options of token models."""

    max_tokens: MaxTokens | None = None

    temperature: SamplingTemperature | None = None

    top_k: Annotated[int, int_range(0, 10**9)] | None = None
    """Number of most likely tokens to sample from."""

    top_p: TopP | None = None

    min_p: Share | None = None
    """Minimum probability of a token, relative to that of the most likely one."""

    repetition_penalty: Penalty | None = None
    """Penalty above 1 on tokens that are already in the text. [default: off; 1.05 in a chat]"""

    def to_params(self, **defaults: Any) -> dict[str, Any]:
        """Return the options that were given, and `defaults` for those that were not."""
        return merge_params(self, defaults)


@Parameter(name="*")
@dataclass(frozen=True)
class StepSamplingOptions:
    """Sampling options of diffusion-like models, and guidance."""

    negative_prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Text that an image must not resemble."""

    guidance_scale: Guidance | None = None

    steps: Steps | None = None

    solver: str | None = None
    """ODE solver: euler (fast), heun (second order) or multistep (reuses the previous step)."""

    resample_steps: Annotated[int, int_range(0, 1000)] | None = None
    """RePaint resampling steps of inpainting."""

    def to_params(self) -> dict[str, Any]:
        return merge_params(self, {})


def merge_params(options: TokenSamplingOptions | StepSamplingOptions, defaults: dict[str, Any]) -> dict[str, Any]:
    return defaults | {name: value for name, value in asdict(options).items() if value is not None}


DEFAULT_TOKEN_OPTIONS, DEFAULT_STEP_OPTIONS = TokenSamplingOptions(), StepSamplingOptions()


def parse_settings(model: Model, adapters: Sequence[str], precision: str, settings: Sequence[str]) -> dict[str, Any]:
    """Return the sampling parameters of `--option NAME=VALUE`; {} without any, for which no model is loaded."""
    from genloom.generate.sampling_params import parse_params

    return parse_params(model.load(adapters, precision), settings) if settings else {}
