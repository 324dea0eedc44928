"""The check that ends every import and export: logits of source and result on fixed text, within a stated tolerance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genloom.exchange.reference_forward import TensorGetter, compute_reference_logits
from genloom.types import Codec, TokenSpace

PARITY_TEXT = (
    'The capital of France is Paris. In 1969, 2 people walked on the Moon; "it\'s small", said one.\n'
    "def area(r):\n    return 3.14159 * r ** 2  # Grüße, 世界\n"
)
PARITY_LENGTH = 64  # symbols of it that are read

# Largest relative error: two float32 computations in another order differ by less, a wrong weight by far more.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """How far two sets of logits lie apart."""

    num_positions: int
    max_abs_error: float  # the largest difference
    relative_error: (
        float  # root mean square of the difference, as a share of that of the source's logits around their mean
    )
    top1_agreement: float  # share of positions where both find the same symbol likeliest
    tolerance: float

    def __str__(self) -> str:
        return (
            f"{self.num_positions} positions: largest difference {self.max_abs_error:.2g}, relative error {self.relative_error:.2g} "
            f"(at most {self.tolerance:g}), same likeliest symbol at {100 * self.top1_agreement:.0f} %"
        )


def check_parity(
    network: nn.Module, config: Mapping[str, Any], get_tensor: TensorGetter, is_gguf: bool, ids: list[int]
) -> Parity:
    """The network's logits beside those that the file's own tensors give in a plain forward pass.

    Raises ValueError where they lie further apart than TOLERANCE.
    """
    return compare_logits(
        compute_model_logits(network, ids), compute_reference_logits(config, get_tensor, is_gguf, ids)
    )


@torch.inference_mode()
def compute_model_logits(network: nn.Module, ids: list[int]) -> Tensor:
    """The network's own logits, (L, V)."""
    return network(torch.tensor([ids]))[0].float()


def compare_logits(ours_LV: Tensor, reference_LV: Tensor) -> Parity:
    """The parity of two sets of logits; ValueError where they lie further apart than TOLERANCE."""
    if ours_LV.shape != reference_LV.shape:
        raise ValueError(f"the logits have the shapes {tuple(ours_LV.shape)} and {tuple(reference_LV.shape)}")
    top1_agreement = (ours_LV.argmax(-1) == reference_LV.argmax(-1)).float().mean()
    max_abs_error = float((ours_LV - reference_LV).abs().max())
    parity = Parity(
        len(ours_LV), max_abs_error, compute_relative_error(ours_LV, reference_LV), float(top1_agreement), TOLERANCE
    )
    if not parity.relative_error <= TOLERANCE:  # also where it is not a number
        raise ValueError(f"The parity check failed, so nothing was kept: {parity}.")
    return parity


def compute_relative_error(ours_LV: Tensor, reference_LV: Tensor) -> float:
    """Root mean square of the difference, as a share of that of the other's logits around their mean."""
    reference_std = (reference_LV - reference_LV.mean(-1, keepdim=True)).square().mean().sqrt()
    return float((ours_LV - reference_LV).square().mean().sqrt() / reference_std.clamp(min=1e-9))


def encode_parity_text(codec: Codec, length: int) -> list[int]:
    """The ids of the fixed text, as many as the network reads."""
    assert isinstance(codec.space, TokenSpace), "a language model has symbols"
    return [codec.space.bos, *codec.encode(PARITY_TEXT).tolist()][: min(PARITY_LENGTH, length)]
