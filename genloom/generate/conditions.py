"""Prompts as what a model's networks are given, followed more or less strongly, and away from a negative prompt.

Shape letters: B rows, S states of a prompt, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from genloom.generate.guidance import Guided
from genloom.generate.interpolation import Toward, mixed
from genloom.model import Model
from genloom.networks import lora
from genloom.settings import made
from genloom.text_encoders import weighting
from genloom.types import Condition, Parts, Tokens

GUIDANCE = 3.0  # where nobody says how strongly


@dataclass(frozen=True)
class Strength:
    """How strongly prompts are followed: 1 as the model has learned, more at the cost of variety."""

    guidance: float = GUIDANCE
    negative: str = ""  # what outputs shall not be like
    guided_from: float = 0.0  # the time, from noise (0) to data (1), before which there is no guidance
    guided_until: float = 1.0  # and the time after which there is none

    def __post_init__(self) -> None:
        if not 0 <= self.guidance <= 100:
            raise ValueError(f"guidance must be from 0 to 100, got {self.guidance}.")
        if not 0 <= self.guided_from <= self.guided_until <= 1:
            raise ValueError(
                "guided_from and guided_until are times from 0 to 1, the first the smaller, "
                f"got {self.guided_from} and {self.guided_until}."
            )


def guidable(model: Model) -> bool:
    """Whether guidance can be chosen: what was given prompts predicts a step, and has not learned one strength."""
    steps = any(role.timed or isinstance(role.gives, Tokens) for role in model.objective.roles.values())
    return model.prompts is not None and steps and not hasattr(model.objective, "guidance")


def told(
    model: Model, prompts: Sequence[str], toward: Toward | None, controls: Mapping[str, Any]
) -> tuple[Parts, Condition | None]:
    """The model's parts, made to follow the prompts as strongly as `controls` say, and the prompts as their condition.

    Raises ValueError for a weight in a prompt that cannot be read.
    """
    parts = dict(model.parts.items())
    if model.prompts is None:
        return parts, None
    known = {f.name for f in fields(Strength)}
    strength = made(Strength, {k: v for k, v in controls.items() if k in known and v is not None}, "generate")
    states = weighting.states(model.prompts, prompts)
    if toward is not None:
        states = mixed(states, weighting.states(model.prompts, toward.prompts), toward.shares)
    (avoided,) = weighting.states(model.prompts, [strength.negative])
    cond, against = padded(states, model.device), padded([avoided] * len(states), model.device)
    if not guidable(model) or strength.guidance == 1 or not (len(avoided) or any(map(len, states))):
        return parts, cond
    span = strength.guided_from, strength.guided_until
    bases = bases_of(model)
    return {name: Guided(part, strength.guidance, against, span, bases.get(name)) for name, part in parts.items()}, cond


def bases_of(model: Model) -> Parts:
    """The networks as they were before tuning, of those that have time and carry adapters; weights are shared.

    Guidance takes the difference between with and without the prompt. What an adapter taught to both cancels there, and
    a tuned style fades the more, the more strongly prompts are followed: so "without" is said by the base.
    """
    tuned = {name for name, role in model.objective.roles.items() if role.timed and lora.names(model.parts[name])}
    return {name: part for name, part in model.switched(()).parts.items() if name in tuned} if tuned else {}


def padded(states: Sequence[np.ndarray], device: torch.device) -> Condition:
    """The states (S, D) of every row with a mask; a row without any has one that is masked."""
    longest = max([1, *map(len, states)])
    tokens_BSD = np.zeros((len(states), longest, states[0].shape[1]), np.float32)
    mask_BS = np.arange(longest) < np.array([len(states_SD) for states_SD in states])[:, None]
    for row, states_SD in zip(tokens_BSD, states, strict=True):
        row[: len(states_SD)] = states_SD
    return Condition(torch.from_numpy(tokens_BSD).to(device), torch.from_numpy(mask_BS).to(device))
