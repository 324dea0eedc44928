"""Networks at the precision in which they are to compute: whole, halved, or with weights rounded to 8 or 4 bits."""

from typing import cast

import torch
from torch import nn

from genloom.networks.native.block_quantization import is_lossless
from genloom.networks.native.build import get_unavailable_reason
from genloom.networks.native.quantized_transformer import get_unsupported_reason, list_linears, quantize_network
from genloom.networks.transformer import Transformer

BITS = {"int8": 8, "int4": 4}
PRECISIONS = ("auto", "float32", "bfloat16", *BITS)
LARGE_NETWORK_PARAMS = 20_000_000  # parameters; smaller networks are fast as they are
SAMPLE_STRIDE = 16  # one row of so many tells whether a layer lies on a grid: a second less to wait for


def resolve_precision(network: nn.Module, precision: str) -> str:
    """What `auto` stands for: int4 or int8, natively, for a large transformer on a processor that can, else float32.

    int4 where the layers lie on that grid already, as they do in a file of 4 bits, so that nothing is lost.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision
    is_large = sum(weight.numel() for weight in (*network.parameters(), *network.buffers())) >= LARGE_NETWORK_PARAMS
    is_on_cpu = all(weight.device.type == "cpu" for weight in network.parameters())
    if not is_large or not is_on_cpu or get_unsupported_reason(network) or get_unavailable_reason():
        return "float32"
    layers = list_linears(cast(Transformer, network))
    return "int4" if all(is_lossless(layer.weight[::SAMPLE_STRIDE], 4) for layer in layers) else "int8"


def choose_prefill_precision(network: nn.Module) -> str:
    """In which precision a network reads whole texts fastest: the half one for a large one, where it is computed in.

    `auto` is for writing, symbol by symbol, where reading the weights takes longest.
    """
    is_large = sum(weight.numel() for weight in (*network.parameters(), *network.buffers())) >= LARGE_NETWORK_PARAMS
    if next(network.parameters()).is_cuda:
        return "bfloat16" if is_large and torch.cuda.is_bf16_supported() else "float32"
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if is_large and (capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")) else "float32"


def to_precision(network: nn.Module, precision: str) -> nn.Module:
    """The network at one of PRECISIONS other than auto, for reading only; ValueError where it cannot be had."""
    if precision in BITS:
        return quantize_network(network.cpu(), BITS[precision])
    return network.to(torch.bfloat16 if precision == "bfloat16" else torch.float32)
