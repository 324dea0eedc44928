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

# Largest relative error: two float32 computations in another order differ by less, a wrong weight by far more.
TOLERANCE = 1e-4


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


def compared(network: nn.Module, config: Mapping[str, Any], own: Get, gguf: bool, ids: list[int]) -> Parity:
    """The network's logits beside those that the file's own tensors give in a plain forward pass.

    Raises ValueError where they lie further apart than TOLERANCE.
    """
    return judged(logits_of(network, ids), logits(config, own, gguf, ids))


@torch.inference_mode()
def logits_of(network: nn.Module, ids: list[int]) -> Tensor:
    """The network's own logits, (L, V)."""
    return network(torch.tensor([ids]))[0].float()


def judged(ours_LV: Tensor, other_LV: Tensor) -> Parity:
    """The parity of two sets of logits; ValueError where they lie further apart than TOLERANCE."""
    if ours_LV.shape != other_LV.shape:
        raise ValueError(f"the logits have the shapes {tuple(ours_LV.shape)} and {tuple(other_LV.shape)}")
    same = (ours_LV.argmax(-1) == other_LV.argmax(-1)).float().mean()
    largest = float((ours_LV - other_LV).abs().max())
    found = Parity(len(ours_LV), largest, apart(ours_LV, other_LV), float(same), TOLERANCE)
    if not found.relative <= TOLERANCE:  # also where it is not a number
        raise ValueError(f"The parity check failed, so nothing was kept: {found}.")
    return found


def apart(ours_LV: Tensor, other_LV: Tensor) -> float:
    """Root mean square of the difference, as a share of that of the other's logits around their mean."""
    spread = (other_LV - other_LV.mean(-1, keepdim=True)).square().mean().sqrt()
    return float((ours_LV - other_LV).square().mean().sqrt() / spread.clamp(min=1e-9))


def text_of(codec: Codec, length: int) -> list[int]:
    """The ids of the fixed text, as many as the network reads."""
    assert isinstance(codec.space, Tokens), "a language model has symbols"
    return [codec.space.start, *codec.encode(TEXT).tolist()][: min(LENGTH, length)]
