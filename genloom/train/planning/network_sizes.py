"""The sizes of a network that memory, compute and communication follow from, and networks of a given size."""

from dataclasses import dataclass
from math import log, prod
from typing import Any

from torch import nn

from genloom import plugins
from genloom.errors import GenloomError
from genloom.model import Design, build_meta_networks, build_objective
from genloom.settings import parse_settings
from genloom.train.optimizers import OptimizerConfig, classify_parameters
from genloom.train.parallel.blocks import list_blocks
from genloom.types import SignalSpace, Space, TokenSpace

PLANNED_VOCAB_SIZE = 32_768  # of a plan that names parameters only: the largest that the codec chooses by itself
PLANNED_CONTEXT_LENGTH = 2048
_SMALL, _LARGE = 124e6, 7e9  # parameters of GPT-2 and Llama, whose width is 64 and 128 times the depth
_HEAD_WIDTH = 128


@dataclass(frozen=True)
class NetworkSizes:
    """Parameters of the networks of a design, and what a position costs in them."""

    parameters: int
    muon_parameters: int  # the matrices that Muon updates
    largest_stack: int  # parameters of the matrices of one shape, which Muon updates together
    largest_matrix: int
    block_parameters: int  # of the largest of the repeated blocks
    root_parameters: int  # outside the blocks: embeddings, the last norm, the head
    lookup_parameters: int  # of embeddings, which are looked up and not multiplied with
    blocks: int
    width: int  # numbers per position between blocks; 0: not known
    context_length: int  # 0: samples of one size
    vocab_size: int  # of the output; 0: no tokens
    has_softcap: bool  # a bound of the logits, which takes two more buffers
    kept_values: int  # numbers per position that a backward pass needs, with fused kernels
    kept_scores: int  # and those that it needs besides, without
    attention_flops: int  # multiplications and additions of attention per position, forward and backward
    cache_values: int  # keys and values per position of a text that is generated; 0: not known

    @property
    def flops_per_position(self) -> int:
        """Operations of a training step per position, forward and backward (PaLM, Chowdhery et al. 2022)."""
        return 6 * (self.parameters - self.lookup_parameters) + self.attention_flops


def measure_sizes(design: Design, space: Space, optimizer: OptimizerConfig) -> NetworkSizes:
    """Return the sizes of a design's networks, which are built without memory for their weights."""
    networks = build_meta_networks(design, build_objective(design, space))
    named, kind_by_name = dict(networks.named_parameters()), classify_parameters(networks)
    muon = [p for n, p in named.items() if kind_by_name[n] == "matrix" and optimizer.family == "muon"]
    stacks: dict[tuple[int, ...], int] = {}
    for p in muon:
        stacks[tuple(p.shape)] = stacks.get(tuple(p.shape), 0) + p.numel()
    blocks = list(list_blocks(networks))
    block_sizes = [sum(p.numel() for p in block.parameters()) for block in blocks]
    total = sum(p.numel() for p in named.values())
    heads = {id(m.weight) for m in networks.modules() if isinstance(m, nn.Linear)}
    lookups = {id(m.weight): m.weight.numel() for m in networks.modules() if isinstance(m, nn.Embedding)}
    module = plugins.find_part("network", design.network)
    config: Any = parse_settings(module.Config, design.network_settings, "network")
    config = getattr(config, "base", config)  # of a network around another
    length = design.context_length
    count = plugins.get_hook("network", design.network, "activations_per_token")
    full_config = parse_settings(module.Config, design.network_settings, "network")
    kept_values = count(full_config, 0) if count else 0
    attention_width = getattr(config, "heads", 0) * getattr(config, "K", 0)
    key_heads = getattr(config, "key_heads", 0) or getattr(config, "heads", 0)
    return NetworkSizes(
        parameters=total,
        muon_parameters=sum(p.numel() for p in muon),
        largest_stack=max(stacks.values(), default=0),
        largest_matrix=max((p.numel() for p in muon), default=0),
        block_parameters=max(block_sizes, default=0),
        root_parameters=total - sum(block_sizes),
        lookup_parameters=sum(size for key, size in lookups.items() if key not in heads),
        blocks=len(blocks),
        width=getattr(config, "width", 0),
        context_length=length,
        vocab_size=space.vocab_size if isinstance(space, TokenSpace) else 0,
        has_softcap=bool(getattr(config, "softcap", 0)),
        kept_values=kept_values,
        kept_scores=count(full_config, length) - kept_values if count else 0,
        attention_flops=12 * len(blocks) * attention_width * length,
        cache_values=2 * len(blocks) * key_heads * getattr(config, "K", 0),
    )


def design_network(
    parameters: int, context_length: int = PLANNED_CONTEXT_LENGTH, vocab_size: int = PLANNED_VOCAB_SIZE
) -> Design:
    """Return a transformer over byte pairs with about this many parameters.

    Its width grows from 64 to 128 times its depth, as from GPT-2 to Llama.
    """
    share = min(max(log(parameters / _SMALL) / log(_LARGE / _SMALL), 0.0), 1.0)
    target_aspect = 64 * 2**share
    best, best_cost = (_HEAD_WIDTH, 1), float("inf")
    for width in range(_HEAD_WIDTH, 32_768 + 1, _HEAD_WIDTH):
        block = 4 * width**2 + 3 * width * (-(-(8 * width // 3) // 32) * 32)
        depth = max(round((parameters - 2 * vocab_size * width) / block), 1)
        total = 2 * vocab_size * width + depth * block
        cost = 10 * abs(log(total / parameters)) + abs(log(width / depth / target_aspect))
        if cost < best_cost and depth <= 1024:
            best, best_cost = (width, depth), cost
    width, depth = best
    default_config = plugins.get_hook("network", "transformer", "default_config")
    settings = default_config(0) if default_config else {}
    settings |= {"width": width, "depth": depth, "heads": width // _HEAD_WIDTH}
    return Design(
        "bpe",
        "autoregressive",
        "transformer",
        context_length,
        codec_settings={"vocab_size": vocab_size},
        network_settings=settings,
    )


def find_space(design: Design) -> Space:
    """Return the space of a design whose codec has not been fitted; GenloomError for one that only data determine."""
    module = plugins.find_part("codec", design.codec)
    config = parse_settings(module.Config, design.codec_settings, "codec")
    if vocab_size := getattr(config, "vocab_size", 0):
        return TokenSpace(vocab_size, design.context_length)
    try:
        space = module.Codec.fit([], config).space
    except (GenloomError, ValueError, ArithmeticError, LookupError, StopIteration):
        raise GenloomError("train.plan_codec", codec=design.codec) from None
    if isinstance(space, TokenSpace) and not space.grid:
        return TokenSpace(space.vocab_size, design.context_length)
    return space


def count_positions(space: Space) -> int:
    """Return the positions of a sample of one size; 0 for sequences."""
    if isinstance(space, SignalSpace):
        return prod(space.size)
    return prod(space.grid) + 1 if space.grid else 0
