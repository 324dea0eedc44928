"""The conditions of a model's networks, with classifier-free guidance and negative prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from genloom import conditioners
from genloom.capabilities import LearnedGuidance
from genloom.conditioners import PROMPT, Given
from genloom.errors import GenloomError
from genloom.generate.guidance import ClassifierFreeGuidance
from genloom.generate.interpolation import Interpolation, interpolate_conditions
from genloom.model import Model
from genloom.networks import lora
from genloom.settings import option, parse_settings
from genloom.types import Condition, Parts, TokenSpace

DEFAULT_GUIDANCE_SCALE = 3.0


@dataclass(frozen=True)
class GuidanceConfig:
    """Strength of guidance: 1 samples the learned distribution; more follows prompts closer and reduces diversity."""

    guidance_scale: float | dict[str, float] = option(
        DEFAULT_GUIDANCE_SCALE, "Guidance scale of all conditions together, or by name; 1 is off."
    )
    negative_prompt: str = option("", "Text that outputs must not resemble.")
    guidance_start: float = option(0.0, "Time, from noise (0) to data (1), when guidance begins.", minimum=0, maximum=1)
    guidance_end: float = option(1.0, "Time when guidance ends.", minimum=0, maximum=1)

    def __post_init__(self) -> None:
        scales = self.guidance_scale.values() if isinstance(self.guidance_scale, dict) else [self.guidance_scale]
        for scale in scales:
            if not 0 <= scale <= 100:
                raise GenloomError("generate.bad_guidance_scale", value=scale)
        if not 0 <= self.guidance_start <= self.guidance_end <= 1:
            raise GenloomError("generate.bad_guidance_interval", start=self.guidance_start, end=self.guidance_end)


def can_guide(model: Model) -> bool:
    """Whether guidance applies: the network predicts steps from conditions, and has no distilled guidance scale."""
    has_steps = any(
        role.has_time or isinstance(role.output, TokenSpace) for role in model.objective.network_specs.values()
    )
    return bool(model.conditioners) and has_steps and not isinstance(model.objective, LearnedGuidance)


def encode_conditions(
    model: Model,
    prompts: Sequence[str],
    interpolation: Interpolation | None,
    params: Mapping[str, Any],
    given: Sequence[Given] = (),
) -> tuple[Parts, Condition | None]:
    """Return the model's networks, wrapped in guidance if `params` ask for it, and the condition of the rows.

    Raises ValueError for an invalid weight in a prompt, and for an unknown condition.
    """
    parts = dict(model.parts.items())
    if not model.conditioners:
        return parts, None
    field_names = {f.name for f in fields(GuidanceConfig)}
    settings = {name: value for name, value in params.items() if name in field_names and value is not None}
    guidance = parse_settings(GuidanceConfig, settings, "generate")
    conds = encode_rows(model, prompts, given)
    if interpolation is not None:
        ends = encode_rows(model, interpolation.prompts, interpolation.given or given)
        conds = {name: interpolate_conditions(conds[name], ends[name], interpolation.weights) for name in conds}
    cond = drop_empty_field(to_device(model, conditioners.merge_conditions(conds)))
    null_conds = encode_rows(model, [guidance.negative_prompt] * len(prompts), ())
    uncond = fit_empty_field(drop_empty_field(to_device(model, conditioners.merge_conditions(null_conds))), cond)
    has_effect = has_values(cond) or has_values(uncond)
    if not has_effect and cond.field is not None:  # which may not have the size of the samples
        return parts, None
    if not can_guide(model) or guidance.guidance_scale == 1 or not has_effect:
        return parts, cond
    scale, components = guidance.guidance_scale, []
    if isinstance(scale, dict):
        conditioners.check_names(model.conditioners, list(scale))
        no_prompts = encode_rows(model, [""] * len(prompts), ())
        components = [
            (
                drop_empty_field(to_device(model, conditioners.merge_conditions({**no_prompts, name: conds[name]}))),
                scale.get(name, 1.0),
            )
            for name in conds
        ]
        scale = 1.0
    interval = guidance.guidance_start, guidance.guidance_end
    base_networks = get_base_networks(model)
    return {
        name: ClassifierFreeGuidance(part, scale, uncond, interval, base_networks.get(name), components)
        for name, part in parts.items()
    }, cond


def build_given(model: Model, prompts: Sequence[str], given: Sequence[Given]) -> list[Given]:
    """Return the values of all conditions per row, with the prompts among them if the model reads prompts."""
    rows = given or [{}] * len(prompts)
    if PROMPT not in model.conditioners:
        return list(rows)
    return [{**values, PROMPT: prompt or None} for prompt, values in zip(prompts, rows, strict=True)]


def encode_rows(model: Model, prompts: Sequence[str], given: Sequence[Given]) -> dict[str, Condition]:
    """Encode the conditions of rows, by name, without guidance."""
    return conditioners.encode_given(model.conditioners, build_given(model, prompts, given))


def encode_condition(model: Model, prompts: Sequence[str], given: Sequence[Given]) -> Condition | None:
    """Return the condition of rows, without guidance; None for an unconditional model."""
    if not model.conditioners:
        return None
    return to_device(model, conditioners.merge_conditions(encode_rows(model, prompts, given)))


def to_device(model: Model, cond: Condition) -> Condition:
    return cond.map(lambda t: t.to(model.device))


def drop_empty_field(cond: Condition) -> Condition:
    """Return a condition of several kinds without a field that is zero throughout, which fits samples of any size."""
    is_needed = cond.field is None or bool(cond.field.any()) or (cond.tokens is None and cond.vector is None)
    return cond if is_needed else replace(cond, field=None)


def fit_empty_field(cond: Condition, other: Condition) -> Condition:
    """Return a condition whose field, if it is zero throughout, has the size of that of another: of the samples."""
    if cond.field is None or other.field is None or cond.field.any():
        return cond
    return replace(cond, field=torch.zeros_like(other.field))


def has_values(cond: Condition) -> bool:
    """Whether any row has a condition at all."""
    return any(t is not None and bool(t.any()) for t in (cond.mask, cond.vector, cond.field))


def get_base_networks(model: Model) -> Parts:
    """Return the networks without their adapters, for those with time and adapters; weights are shared.

    Guidance extrapolates the difference between conditional and unconditional output. Changes by an adapter to both
    cancel in it, so a fine-tuned style fades as guidance grows: the base network gives the unconditional output.
    """
    tuned_names = {
        name
        for name, role in model.objective.network_specs.items()
        if role.has_time and lora.list_adapter_names(model.parts[name])
    }
    if not tuned_names:
        return {}
    return {name: part for name, part in model.with_adapters(()).parts.items() if name in tuned_names}
