"""The size of samples: padding of signals on the first axis, and samples of another size than the training data.

Shape letters: B batch, C channels, L positions of the first axis.
"""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from genloom.capabilities import ResizableNetwork
from genloom.errors import GenloomError
from genloom.settings import option
from genloom.types import Batch, SignalSpace, TokenSpace

MAX_CELLS = 1 << 24  # of a sample: a number typed wrong must not fill the memory


def size_option() -> Any:
    """Return the option of samplers of signals and of grids of tokens that sets the size of the samples."""
    return option(
        (),
        "Size of the samples in cells of the codec, one number per axis; empty: the size of the training data.",
        is_valid=lambda size: (
            isinstance(size, list | tuple) and all(type(n) is int and n >= 1 for n in size) and prod(size) <= MAX_CELLS
        ),
        requirement=f"a list of whole numbers of at least 1, such as [96, 96], of at most {MAX_CELLS:,} cells",
    )


def build_length_kwargs(lengths_B: Tensor | None) -> dict[str, Tensor]:
    """Return the argument of a network that says how long each row is; none if no row is padded."""
    return {} if lengths_B is None else {"lengths": lengths_B}


def build_valid_mask(x: Tensor, lengths_B: Tensor) -> Tensor:
    """Return which positions of x (B C *size) are not padding, B *size."""
    assert x.ndim > 2, "a vector has no lengths"
    is_valid_BL = torch.arange(x.shape[2], device=x.device) < lengths_B.to(x.device)[:, None]
    return is_valid_BL.view(*is_valid_BL.shape, *[1] * (x.ndim - 3)).expand(-1, -1, *x.shape[3:])


def build_signal_mask(batch: Batch) -> Tensor | None:
    """Return which positions of a signal count in the loss, B *size; None: all."""
    if batch.lengths is None:
        return batch.mask
    valid_mask = build_valid_mask(batch.x, batch.lengths)
    return valid_mask if batch.mask is None else valid_mask & batch.mask


def scale_lengths(lengths_B: Tensor | None, larger: tuple[int, ...], smaller: tuple[int, ...]) -> Tensor | None:
    """Return the lengths on a smaller grid, rounded up; None on a grid of other axes, such as that of a vector."""
    if lengths_B is None or not larger or len(larger) != len(smaller):
        return None
    return -(-lengths_B * smaller[0]).div(larger[0], rounding_mode="floor")


def plan_size(space: SignalSpace, size: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Return the size at which networks compute samples of this size, and the length to which samples are then cut.

    Shorter samples of a space with lengths are padded, as in training.
    """
    size = tuple(size) or space.size
    if len(size) != len(space.size):
        raise GenloomError("objectives.size_axes", size=size, trained=space.size)
    if space.has_lengths and size[0] <= space.size[0] and size[1:] == space.size[1:]:
        return space.size, size[0]
    return size, size[0] if size else 0


def scale_size(size: tuple[int, ...], space: SignalSpace, other: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size on another grid of the same data, which has the size `other` where `space` has its own."""
    if size == space.size:
        return other
    if len(other) != len(size) or any(n * m % s for n, m, s in zip(size, other, space.size, strict=True)):
        raise GenloomError("objectives.size_not_divisible", size=size, trained=space.size, grid=other)
    return tuple(n * m // s for n, m, s in zip(size, other, space.size, strict=True))


def resize_for_tokens(network: nn.Module, space: TokenSpace, size: tuple[int, ...]) -> tuple[nn.Module, int]:
    """Return the network for a grid of tokens of this size, and the number of its tokens; (), 0: as it is."""
    if not size:
        return network, 0
    if len(size) != len(space.grid):
        raise GenloomError("objectives.size_axes", size=size, trained=space.grid)
    return network if size == space.grid else resize_network(network, size), prod(size)


def resize_network(network: nn.Module, size: tuple[int, ...]) -> nn.Module:
    """Return the network for inputs of this size; raise ValueError if it only reads the trained one."""
    if not isinstance(network, ResizableNetwork):
        raise GenloomError("objectives.size_is_fixed", size=size)
    return network.at_size(size)
