"""Texts that a new language model writes while it is trained, so that one sees what it has learned."""

import numpy as np
import torch

from genloom.capabilities import StreamingCodec
from genloom.model import Model
from genloom.noise import Noise
from genloom.objectives.autoregressive import SamplingParams
from genloom.types import TokenSpace

MAX_CHARS = 160
PARAMS = SamplingParams(max_tokens=2 * MAX_CHARS, temperature=0.8)  # of which the first characters are shown
FIRST_SHARE = 0.1  # of the steps, before the first text


def can_write_text(model: Model) -> bool:
    """Return whether the model writes text from left to right, without conditions."""
    is_causal = all(spec.is_causal for spec in model.objective.network_specs.values())
    return is_causal and not model.conditioners and isinstance(model.codec, StreamingCodec)


def choose_sample_steps(num_steps: int, count: int) -> set[int]:
    """Return the steps after which the model writes a text: early, in between and at the end."""
    return {max(round(share * num_steps), 1) for share in np.linspace(FIRST_SHARE, 1, count)}


@torch.inference_mode()
def sample_text(model: Model) -> str:
    """Return the beginning of a text by the model, in evaluation mode meanwhile; it uses no other noise."""
    training_parts = [part for part in model.parts.values() if part.training]
    model.parts.eval()
    *_, tokens_BL = model.objective.sample(dict(model.parts.items()), 1, None, Noise(0, (0,)), PARAMS)
    for part in training_parts:
        part.train()
    space, ids = model.codec.space, tokens_BL[0].cpu().numpy()
    assert isinstance(space, TokenSpace)
    text = model.codec.decode(ids[: np.argmax(ids == space.eos)] if (ids == space.eos).any() else ids)
    return " ".join(text[:MAX_CHARS].split())
