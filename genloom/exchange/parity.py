"""The check at the end of every import and export: the logits of source and result on a fixed text must agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.exchange.reference_forward import TensorGetter, compute_reference_logits
from genloom.types import Codec, TokenSpace

PARITY_TEXT = (
    'The capital of France is Paris. In 1969, 2 people walked on the Moon; "it\'s small", said one.\n'
    "def area(r):\n    return 3.14159 * r ** 2  # Grüße, 世界\n"
)
PARITY_LENGTH = 64  # tokens of it

# The largest relative error: float32 computations in different orders differ by less, a wrong weight by far more.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """The difference between two sets of logits."""

    num_positions: int
    max_abs_error: float
    relative_error: float  # root mean square of the difference, divided by that of the source around its mean
    top1_agreement: float  # the share of positions with the same most likely token
    tolerance: float

    def __str__(self) -> str:
        return (
            f"{self.num_positions} positions: largest difference {self.max_abs_error:.2g}, "
            f"relative error {self.relative_error:.2g} (at most {self.tolerance:g}), "
            f"same most likely token at {100 * self.top1_agreement:.0f} %"
        )


def check_parity(
    network: nn.Module, config: Mapping[str, Any], get_tensor: TensorGetter, is_gguf: bool, ids: list[int]
) -> Parity:
    """Compare the network's logits with those of a plain forward pass over the file's own tensors.

    Raises GenloomError if they differ by more than TOLERANCE.
    """
    return compare_logits(
        compute_model_logits(network, ids), compute_reference_logits(config, get_tensor, is_gguf, ids)
    )


@torch.inference_mode()
def compute_model_logits(network: nn.Module, ids: list[int]) -> Tensor:
    """Return the network's logits, (L, V)."""
    return network(torch.tensor([ids]))[0].float()


def compare_logits(ours_LV: Tensor, reference_LV: Tensor) -> Parity:
    """Return the parity of two sets of logits; raises GenloomError if they differ by more than TOLERANCE."""
    if ours_LV.shape != reference_LV.shape:
        raise GenloomError("exchange.logits_shape", shape=tuple(ours_LV.shape), expected=tuple(reference_LV.shape))
    if not reference_LV.isfinite().all():
        raise GenloomError("exchange.not_finite")
    top1_agreement = (ours_LV.argmax(-1) == reference_LV.argmax(-1)).float().mean()
    max_abs_error = float((ours_LV - reference_LV).abs().max())
    parity = Parity(
        len(ours_LV), max_abs_error, compute_relative_error(ours_LV, reference_LV), float(top1_agreement), TOLERANCE
    )
    if not parity.relative_error <= TOLERANCE:  # also if it is NaN
        raise GenloomError("exchange.parity_failed", parity=parity)
    return parity


def compute_relative_error(ours_LV: Tensor, reference_LV: Tensor) -> float:
    """Return the root mean square of the difference, divided by that of the reference around its mean."""
    reference_std = (reference_LV - reference_LV.mean(-1, keepdim=True)).square().mean().sqrt()
    return float((ours_LV - reference_LV).square().mean().sqrt() / reference_std.clamp(min=1e-9))


def encode_parity_text(codec: Codec, length: int) -> list[int]:
    """Return the ids of the fixed text, at most `length`."""
    assert isinstance(codec.space, TokenSpace), "a language model has tokens"
    return [codec.space.bos, *codec.encode(PARITY_TEXT).tolist()][: min(PARITY_LENGTH, length)]
