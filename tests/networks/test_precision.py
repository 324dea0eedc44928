"""The precision of networks, and the choice of "auto"."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from genloom.networks import precision, transformer
from genloom.networks.native.block_quantization import dequantize_matrix, quantize_matrix
from genloom.networks.native.quantized_transformer import QuantizedTransformer, list_linears
from genloom.testing import perturb_weights
from genloom.types import NetworkSpec, TokenSpace
from tests.errors import raises_code

TOKENS = TokenSpace(vocab_size=50, context_length=16)
SMALL = transformer.Config(width=64, depth=1, heads=2)


def build_network(config: transformer.Config = SMALL) -> nn.Module:
    torch.manual_seed(0)
    return (
        perturb_weights(transformer.build(NetworkSpec(TOKENS, TOKENS, is_causal=True), config))
        .eval()
        .requires_grad_(False)
    )


def test_auto_quantizes_large_transformers_if_the_machine_supports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "get_unavailable_reason", lambda: "")
    assert precision.resolve_precision(build_network(), "auto") == "float32"
    monkeypatch.setattr(precision, "MIN_NATIVE_PARAMS", 1000)
    assert precision.resolve_precision(build_network(), "auto") == "int8"
    assert precision.resolve_precision(build_network(replace(SMALL, norm="layer")), "auto") == "float32"
    assert precision.resolve_precision(build_network(), "bfloat16") == "bfloat16"
    monkeypatch.setattr(precision, "get_unavailable_reason", lambda: "no compiler")
    assert precision.resolve_precision(build_network(), "auto") == "float32"
    with raises_code("networks.unknown_precision", precision="int3"):
        precision.resolve_precision(build_network(), "int3")


def test_auto_chooses_four_bits_if_that_is_lossless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "get_unavailable_reason", lambda: "")
    monkeypatch.setattr(precision, "MIN_NATIVE_PARAMS", 1000)
    network = build_network()
    assert isinstance(network, transformer.Transformer)
    for layer in list_linears(network):
        layer.weight.data = dequantize_matrix(quantize_matrix(layer.weight, 4))
    assert precision.resolve_precision(network, "auto") == "int4"
    tuned = list_linears(network)[-1].weight
    tuned.data += 0.01 * torch.randn(len(tuned), 1) @ torch.randn(1, tuned.shape[1])
    assert precision.resolve_precision(network, "auto") == "int8"


def test_fewer_bits_are_less_exact() -> None:
    x = torch.randint(TOKENS.vocab_size, (2, 16), generator=torch.Generator().manual_seed(0))
    exact, errors = build_network()(x), {}
    for name in ("float32", "bfloat16", "int8", "int4"):
        if name in precision.BITS and precision.get_unavailable_reason():
            pytest.skip(precision.get_unavailable_reason())
        network = precision.to_precision(build_network(), name)
        errors[name] = float((network(x).float() - exact).norm() / exact.norm())
        assert isinstance(network, QuantizedTransformer) == (name in precision.BITS)
    assert errors["float32"] == 0
    assert 0 < errors["bfloat16"] < errors["int4"] < 0.5
    assert 0 < errors["int8"] < 0.1
