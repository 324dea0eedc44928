"""The blocks of networks: what a sharded network gathers at once, and what is computed again to save memory."""

from collections.abc import Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

LISTS = ("blocks", "down_blocks", "up_blocks")  # the attributes in which networks have their blocks


def list_blocks(part: nn.Module) -> Iterator[nn.Module]:
    """Yield the blocks of a network, in lists of such names; none for other networks."""
    for module in part.modules():
        for name in LISTS:
            blocks = getattr(module, name, None)
            if isinstance(blocks, nn.ModuleList):
                yield from blocks


def checkpoint_blocks(part: nn.Module) -> None:
    """Let each block keep only its input for the backward pass, and compute the rest again (Chen et al. 2016)."""
    for block in list_blocks(part):
        if not isinstance(block.forward, partial):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
