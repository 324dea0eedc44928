"""The precision of a network: float32, bfloat16, or weights quantized to 8 or 4 bits."""

from typing import cast

import torch
from torch import nn

from genloom.errors import GenloomError
from genloom.networks.native.block_quantization import is_lossless
from genloom.networks.native.build import get_unavailable_reason
from genloom.networks.native.quantized_transformer import get_unsupported_reason, list_linears, quantize_network
from genloom.networks.transformer import Transformer

BITS = {"int8": 8, "int4": 4}
PRECISIONS = ("auto", "float32", "bfloat16", *BITS)
LARGE_NETWORK_PARAMS = 20_000_000  # smaller networks read whole texts fast enough in float32
MIN_NATIVE_PARAMS = 1_000_000  # native decoding is several times faster from this size on
SAMPLE_STRIDE = 16  # checking one row in 16 for lossless rounding saves a second


def resolve_precision(network: nn.Module, precision: str) -> str:
    """Return the precision that "auto" means here; any other precision returns unchanged.

    "auto" is int4 or int8 for a transformer from a million weights on, on a CPU that supports native decoding, else
    float32. It is int4 if that rounding is lossless, as it is for weights from a file with 4 bits.
    """
    if precision not in PRECISIONS:
        raise GenloomError("networks.unknown_precision", precision=precision, known=", ".join(PRECISIONS))
    if precision != "auto":
        return precision
    is_tiny = sum(weight.numel() for weight in (*network.parameters(), *network.buffers())) < MIN_NATIVE_PARAMS
    is_on_cpu = all(weight.device.type == "cpu" for weight in network.parameters())
    if is_tiny or not is_on_cpu or get_unsupported_reason(network) or get_unavailable_reason():
        return "float32"
    layers = list_linears(cast(Transformer, network))
    return "int4" if all(is_lossless(layer.weight[::SAMPLE_STRIDE], 4) for layer in layers) else "int8"


def choose_prefill_precision(network: nn.Module) -> str:
    """Return the precision in which a network reads whole texts fastest: bfloat16 for large ones on capable hardware.

    "auto" is for decoding token by token instead, where reading the weights takes longest.
    """
    is_large = sum(weight.numel() for weight in (*network.parameters(), *network.buffers())) >= LARGE_NETWORK_PARAMS
    if next(network.parameters()).is_cuda:
        return "bfloat16" if is_large and torch.cuda.is_bf16_supported() else "float32"
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if is_large and (capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")) else "float32"


def to_precision(network: nn.Module, precision: str) -> nn.Module:
    """Return the network in one of PRECISIONS except "auto", for inference; GenloomError if it does not support it."""
    if precision in BITS:
        return quantize_network(network.cpu(), BITS[precision])
    return network.to(torch.bfloat16 if precision == "bfloat16" else torch.float32)
