"""Networks at the precision in which they are to compute: whole, halved, or with weights rounded to 8 or 4 bits."""

from typing import cast

import torch
from torch import nn

from genloom.networks.native.build import available
from genloom.networks.native.packing import exact
from genloom.networks.native.quantised import matrices, quantised, supported
from genloom.networks.transformer import Transformer

BITS = {"int8": 8, "int4": 4}
PRECISIONS = ("auto", "float32", "bfloat16", *BITS)
PAYS_FROM = 20_000_000  # parameters; smaller networks are fast as they are
SAMPLED = 16  # one row of so many tells whether a layer lies on a grid: a second less to wait for


def chosen(network: nn.Module, precision: str) -> str:
    """What `auto` stands for: int4 or int8, natively, for a large transformer on a processor that can, else float32.

    int4 where the layers lie on that grid already, as they do in a file of 4 bits, so that nothing is lost.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision
    large = sum(weight.numel() for weight in (*network.parameters(), *network.buffers())) >= PAYS_FROM
    on_processor = all(weight.device.type == "cpu" for weight in network.parameters())
    if not large or not on_processor or supported(network) or available():
        return "float32"
    layers = matrices(cast(Transformer, network))
    return "int4" if all(exact(layer.weight[::SAMPLED], 4) for layer in layers) else "int8"


def for_reading(network: nn.Module) -> str:
    """In which precision a network reads whole texts fastest: the half one for a large one, where it is computed in.

    `auto` is for writing, symbol by symbol, where reading the weights takes longest.
    """
    large = sum(weight.numel() for weight in (*network.parameters(), *network.buffers())) >= PAYS_FROM
    if next(network.parameters()).is_cuda:
        return "bfloat16" if large and torch.cuda.is_bf16_supported() else "float32"
    capable = torch.cpu.get_capabilities()
    return "bfloat16" if large and (capable.get("avx512_bf16") or capable.get("amx_bf16")) else "float32"


def at(network: nn.Module, precision: str) -> nn.Module:
    """The network at one of PRECISIONS other than auto, for reading only; ValueError where it cannot be had."""
    if precision in BITS:
        return quantised(network.cpu(), BITS[precision])
    return network.to(torch.bfloat16 if precision == "bfloat16" else torch.float32)
