"""The check that ends every import and export: logits of source and result on fixed text, within a stated tolerance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genloom.exchange.reference import Get, logits
from genloom.types import Codec, Tokens

TEXT = (
    'The capital of France is Paris. In 1969, 2 people walked on the Moon; "it\'s small", said one.\n'
    "def area(r):\n    return 3.14159 * r ** 2  # Grüße, 世界\n"
)
LENGTH = 64  # symbols of it that are read

# Largest relative error by the precision in which the result is written: rounding its weights moves logits so far.
TOLERANCE = {"float32": 1e-4, "float16": 0.02, "bfloat16": 0.08, "q8_0": 0.08}


@dataclass(frozen=True)
class Parity:
    """How far two sets of logits lie apart."""

    positions: int
    absolute: float  # the largest difference
    relative: float  # root mean square of the difference, as a share of that of the source's logits around their mean
    agree: float  # share of positions where both find the same symbol likeliest
    tolerance: float

    def __str__(self) -> str:
        return (
            f"{self.positions} positions: largest difference {self.absolute:.2g}, relative error {self.relative:.2g} "
            f"(at most {self.tolerance:g}), same likeliest symbol at {100 * self.agree:.0f} %"
        )


def compared(network: nn.Module, config: Mapping[str, Any], own: Get, gguf: bool, ids: list[int], kind: str) -> Parity:
    """The network's logits beside those that the file's own tensors give in a plain forward pass.

    Raises ValueError where they lie further apart than the tolerance of `kind`.
    """
    other = logits(config, own, gguf, ids)
    with torch.inference_mode():
        ours = network(torch.tensor([ids]))[0].float()
    return judged(ours, other, TOLERANCE[kind])


def judged(ours_LV: Tensor, other_LV: Tensor, tolerance: float) -> Parity:
    if ours_LV.shape != other_LV.shape:
        raise ValueError(f"the logits have the shapes {tuple(ours_LV.shape)} and {tuple(other_LV.shape)}")
    spread = (other_LV - other_LV.mean(-1, keepdim=True)).square().mean().sqrt()
    error = (ours_LV - other_LV).square().mean().sqrt() / spread.clamp(min=1e-9)
    same = (ours_LV.argmax(-1) == other_LV.argmax(-1)).float().mean()
    found = Parity(len(ours_LV), float((ours_LV - other_LV).abs().max()), float(error), float(same), tolerance)
    if not found.relative <= tolerance:  # also where it is not a number
        raise ValueError(f"the parity check failed, so nothing was kept: {found}")
    return found


def text_of(codec: Codec, length: int) -> list[int]:
    """The ids of the fixed text, as many as the network reads."""
    assert isinstance(codec.space, Tokens), "a language model has symbols"
    return [codec.space.start, *codec.encode(TEXT).tolist()][: min(LENGTH, length)]
