"""Prompts as conditions of a model's networks, with classifier-free guidance and negative prompts.

Shape letters: B rows, S states of a prompt, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from genloom.errors import GenloomError
from genloom.generate.guidance import ClassifierFreeGuidance
from genloom.generate.interpolation import Interpolation, interpolate_states
from genloom.model import Model
from genloom.networks import lora
from genloom.settings import parse
from genloom.text_encoders import prompt_weighting
from genloom.types import Condition, Parts, TokenSpace

DEFAULT_GUIDANCE_SCALE = 3.0


@dataclass(frozen=True)
class GuidanceConfig:
    """Strength of guidance: 1 samples the learned distribution; more follows prompts closer and reduces diversity."""

    guidance_scale: float = DEFAULT_GUIDANCE_SCALE
    negative_prompt: str = ""  # what outputs should not look like
    guidance_start: float = 0.0  # time, from noise (0) to data (1), when guidance begins
    guidance_end: float = 1.0  # time when guidance ends

    def __post_init__(self) -> None:
        if not 0 <= self.guidance_scale <= 100:
            raise GenloomError("generate.bad_guidance_scale", value=self.guidance_scale)
        if not 0 <= self.guidance_start <= self.guidance_end <= 1:
            raise GenloomError("generate.bad_guidance_interval", start=self.guidance_start, end=self.guidance_end)


def can_guide(model: Model) -> bool:
    """Whether guidance applies: the network predicts steps from prompts, and has no distilled guidance scale."""
    has_steps = any(
        role.has_time or isinstance(role.output, TokenSpace) for role in model.objective.network_specs.values()
    )
    return model.text_encoder is not None and has_steps and not hasattr(model.objective, "guidance_scale")


def encode_conditions(
    model: Model, prompts: Sequence[str], interpolation: Interpolation | None, params: Mapping[str, Any]
) -> tuple[Parts, Condition | None]:
    """Return the model's networks, wrapped in guidance if `params` ask for it, and the prompts as their condition.

    Raises ValueError for an invalid weight in a prompt.
    """
    parts = dict(model.parts.items())
    if model.text_encoder is None:
        return parts, None
    field_names = {f.name for f in fields(GuidanceConfig)}
    settings = {name: value for name, value in params.items() if name in field_names and value is not None}
    guidance = parse(GuidanceConfig, settings, "generate")
    prompt_states = prompt_weighting.encode_weighted_prompts(model.text_encoder, prompts)
    if interpolation is not None:
        prompt_states = interpolate_states(
            prompt_states,
            prompt_weighting.encode_weighted_prompts(model.text_encoder, interpolation.prompts),
            interpolation.weights,
        )
    (negative_states,) = prompt_weighting.encode_weighted_prompts(model.text_encoder, [guidance.negative_prompt])
    cond = pad_states(prompt_states, model.device)
    uncond = pad_states([negative_states] * len(prompt_states), model.device)
    has_prompts = len(negative_states) or any(map(len, prompt_states))
    if not can_guide(model) or guidance.guidance_scale == 1 or not has_prompts:
        return parts, cond
    interval = guidance.guidance_start, guidance.guidance_end
    base_networks = get_base_networks(model)
    return {
        name: ClassifierFreeGuidance(part, guidance.guidance_scale, uncond, interval, base_networks.get(name))
        for name, part in parts.items()
    }, cond


def get_base_networks(model: Model) -> Parts:
    """Return the networks without their adapters, for those with time and adapters; weights are shared.

    Guidance extrapolates the difference between conditional and unconditional output. What an adapter taught to both
    cancels in it, so a fine-tuned style fades as guidance grows: the base network gives the unconditional output.
    """
    tuned_names = {
        name
        for name, role in model.objective.network_specs.items()
        if role.has_time and lora.list_adapter_names(model.parts[name])
    }
    if not tuned_names:
        return {}
    return {name: part for name, part in model.with_adapters(()).parts.items() if name in tuned_names}


def pad_states(states: Sequence[np.ndarray], device: torch.device) -> Condition:
    """Pad the states (S, D) of all rows into one condition with a mask; empty rows get one masked state."""
    max_length = max([1, *map(len, states)])
    tokens_BSD = np.zeros((len(states), max_length, states[0].shape[1]), np.float32)
    mask_BS = np.arange(max_length) < np.array([len(states_SD) for states_SD in states])[:, None]
    for row, states_SD in zip(tokens_BSD, states, strict=True):
        row[: len(states_SD)] = states_SD
    return Condition(torch.from_numpy(tokens_BSD).to(device), torch.from_numpy(mask_BS).to(device))
