"""Networks at the precision in which they are to compute: whole, halved, or with weights rounded to 8 or 4 bits."""

import torch
from torch import nn

from genloom.networks.native.build import available
from genloom.networks.native.quantised import quantised, supported

BITS = {"int8": 8, "int4": 4}
PRECISIONS = ("auto", "float32", "bfloat16", *BITS)
PAYS_FROM = 20_000_000  # parameters; smaller networks are fast as they are


def chosen(network: nn.Module, precision: str) -> str:
    """What `auto` stands for: int8, natively, for a large transformer on a processor that can, else float32."""
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision
    large = sum(weight.numel() for weight in (*network.parameters(), *network.buffers())) >= PAYS_FROM
    on_processor = all(weight.device.type == "cpu" for weight in network.parameters())
    return "int8" if large and on_processor and not supported(network) and not available() else "float32"


def at(network: nn.Module, precision: str) -> nn.Module:
    """The network at one of PRECISIONS other than auto, for reading only; ValueError where it cannot be had."""
    if precision in BITS:
        return quantised(network.cpu(), BITS[precision])
    return network.to(torch.bfloat16 if precision == "bfloat16" else torch.float32)
