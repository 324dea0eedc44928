"""Prompts as what a model's networks are given, followed more or less strongly, and away from a negative prompt.

Shape letters: B rows, S states of a prompt, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from genloom.generate.guidance import ClassifierFreeGuidance
from genloom.generate.interpolation import Interpolation, interpolate_states
from genloom.model import Model
from genloom.networks import lora
from genloom.settings import parse
from genloom.text_encoders import prompt_weighting
from genloom.types import Condition, Parts, TokenSpace

DEFAULT_GUIDANCE_SCALE = 3.0  # where nobody says how strongly


@dataclass(frozen=True)
class GuidanceConfig:
    """How strongly prompts are followed: 1 as the model has learned, more at the cost of variety."""

    guidance_scale: float = DEFAULT_GUIDANCE_SCALE
    negative_prompt: str = ""  # what outputs shall not be like
    guidance_start: float = 0.0  # the time, from noise (0) to data (1), before which there is no guidance
    guidance_end: float = 1.0  # and the time after which there is none

    def __post_init__(self) -> None:
        if not 0 <= self.guidance_scale <= 100:
            raise ValueError(f"guidance_scale must be …, got {self.guidance_scale}.")
        if not 0 <= self.guidance_start <= self.guidance_end <= 1:
            raise ValueError(
                "guided_from and guided_until are times from 0 to 1, the first the smaller, "
                f"got {self.guidance_start} and {self.guidance_end}."
            )


def can_guide(model: Model) -> bool:
    """Whether guidance can be chosen: what was given prompts predicts a step, and has not learned one strength."""
    has_steps = any(
        role.has_time or isinstance(role.output, TokenSpace) for role in model.objective.network_specs.values()
    )
    return model.text_encoder is not None and has_steps and not hasattr(model.objective, "guidance_scale")


def encode_conditions(
    model: Model, prompts: Sequence[str], interpolation: Interpolation | None, params: Mapping[str, Any]
) -> tuple[Parts, Condition | None]:
    """The model's parts, made to follow the prompts as strongly as `controls` say, and the prompts as their condition.

    Raises ValueError for a weight in a prompt that cannot be read.
    """
    parts = dict(model.parts.items())
    if model.text_encoder is None:
        return parts, None
    field_names = {f.name for f in fields(GuidanceConfig)}
    guidance = parse(
        GuidanceConfig, {k: v for k, v in params.items() if k in field_names and v is not None}, "generate"
    )
    prompt_states = prompt_weighting.encode_weighted_prompts(model.text_encoder, prompts)
    if interpolation is not None:
        prompt_states = interpolate_states(
            prompt_states,
            prompt_weighting.encode_weighted_prompts(model.text_encoder, interpolation.prompts),
            interpolation.weights,
        )
    (negative_states,) = prompt_weighting.encode_weighted_prompts(model.text_encoder, [guidance.negative_prompt])
    cond, uncond = (
        pad_states(prompt_states, model.device),
        pad_states([negative_states] * len(prompt_states), model.device),
    )
    if (
        not can_guide(model)
        or guidance.guidance_scale == 1
        or not (len(negative_states) or any(map(len, prompt_states)))
    ):
        return parts, cond
    interval = guidance.guidance_start, guidance.guidance_end
    base_networks = get_base_networks(model)
    return {
        name: ClassifierFreeGuidance(part, guidance.guidance_scale, uncond, interval, base_networks.get(name))
        for name, part in parts.items()
    }, cond


def get_base_networks(model: Model) -> Parts:
    """The networks as they were before tuning, of those that have time and carry adapters; weights are shared.

    Guidance takes the difference between with and without the prompt. What an adapter taught to both cancels there, and
    a tuned style fades the more, the more strongly prompts are followed: so "without" is said by the base.
    """
    tuned_names = {
        name
        for name, role in model.objective.network_specs.items()
        if role.has_time and lora.list_adapter_names(model.parts[name])
    }
    return (
        {name: part for name, part in model.with_adapters(()).parts.items() if name in tuned_names}
        if tuned_names
        else {}
    )


def pad_states(states: Sequence[np.ndarray], device: torch.device) -> Condition:
    """The states (S, D) of every row with a mask; a row without any has one that is masked."""
    max_length = max([1, *map(len, states)])
    tokens_BSD = np.zeros((len(states), max_length, states[0].shape[1]), np.float32)
    mask_BS = np.arange(max_length) < np.array([len(states_SD) for states_SD in states])[:, None]
    for row, states_SD in zip(tokens_BSD, states, strict=True):
        row[: len(states_SD)] = states_SD
    return Condition(torch.from_numpy(tokens_BSD).to(device), torch.from_numpy(mask_BS).to(device))
