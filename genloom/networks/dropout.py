"""Dropout with one mask per row of the whole batch: micro-batches, ranks and resumed runs do not change it.

Shape letters: B rows, N numbers of a row.
"""

from math import prod

import torch
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.types import Parts


class Dropout(nn.Module):
    """In training, zeroes each number of x, B ..., with probability p and scales up the rest (Srivastava et al. 2014).

    A mask is a function of the row's key and of the index in the row; several forward passes of a row in one step use
    the same mask. There is no dropout without gradients (targets, references), or while the keys are not set.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.keys_B: Tensor | None = None  # of the rows of the next forward pass, int32

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.p and torch.is_grad_enabled()) or self.keys_B is None:
            return x
        assert len(x) == len(self.keys_B), "x must have a row for each row of the batch"
        return x * build_keep_mask(self.keys_B.to(x.device), x.shape, self.p).to(x.dtype) * (1 / (1 - self.p))


def set_dropout_keys(parts: Parts, noise: Noise | None) -> None:
    """Set the keys of every dropout layer from the noise of the next rows; None turns dropout off."""
    layers = [layer for part in parts.values() for layer in part.modules() if isinstance(layer, Dropout) and layer.p]
    if not layers:
        return
    keys_BK = None if noise is None else noise.layer_seeds(len(layers))
    for k, layer in enumerate(layers):
        layer.keys_B = None if keys_BK is None else keys_BK[:, k]


def build_keep_mask(keys_B: Tensor, shape: torch.Size, p: float) -> Tensor:
    """Return which numbers of a tensor B ... stay: a hash of key and index (MurmurHash3's finalizer, Appleby 2011)."""
    index_N = torch.arange(prod(shape[1:]), dtype=torch.int32, device=keys_B.device)
    h = keys_B[:, None] ^ (index_N * -1640531535)  # 2^32 over the golden ratio separates neighbours
    h = (h ^ ((h >> 16) & 0xFFFF)) * -2048144789
    h = (h ^ ((h >> 13) & 0x7FFFF)) * -1028477387
    h = h ^ ((h >> 16) & 0xFFFF)
    return (h >= int(p * 2**32) - 2**31).view(shape)
