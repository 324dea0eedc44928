"""Native decoding: the C++ computes what the quantized weights give, for any batch, split and number of threads."""

import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom.errors import format_message
from genloom.networks import transformer, transformer_block
from genloom.networks.native import build
from genloom.networks.native.block_quantization import GROUP_SIZE, dequantize_matrix, quantize_matrix
from genloom.networks.native.quantized_transformer import (
    QuantizedTransformer,
    get_unsupported_reason,
    list_linears,
    quantize_network,
)
from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplerInputs, SamplingParams
from genloom.testing import perturb_weights
from genloom.types import Condition, ConditionSpec, NetworkSpec, TokenSpace
from tests.errors import raises_code

pytestmark = pytest.mark.skipif(bool(build.get_unavailable_reason()), reason=build.get_unavailable_reason())

TOKENS = TokenSpace(vocab_size=101, context_length=64)
CAUSAL_SPEC = NetworkSpec(TOKENS, TOKENS, is_causal=True)
SMALL = transformer.Config(width=64, depth=2, heads=2, mlp_width=96, qk_norm=False)
CONFIGS = {
    "plain": SMALL,
    "shared keys, wide heads, norms": replace(SMALL, heads=6, key_heads=2, head_width=32, qk_norm=True),
    "one key head, untied": replace(SMALL, width=96, heads=3, key_heads=1, head_width=64, tie_embeddings=False),
    "biases, softcap, relu2": replace(SMALL, bias="qkv", softcap=5.0, activation="relu2"),
    "gelu, all biases": replace(SMALL, bias="all", activation="gelu"),
    "swiglu, all biases": replace(SMALL, bias="all"),
    "biases of attention": replace(SMALL, bias="attention"),
    "window, scaled positions": replace(SMALL, window=7, rotary_scale=4.0, rotary_length=16, rotary_base=500.0),
}
PROMPT_SPEC = replace(CAUSAL_SPEC, condition=ConditionSpec(tokens=24))


def round_half(*tensors: Tensor) -> list[Tensor]:
    """Round to half precision, as the native cache stores keys and values."""
    return [tensor.half().float() for tensor in tensors]


def build_network(config: transformer.Config = SMALL, spec: NetworkSpec = CAUSAL_SPEC) -> transformer.Transformer:
    torch.manual_seed(0)
    network = perturb_weights(transformer.build(spec, config), 0.1).eval().requires_grad_(False)
    assert isinstance(network, transformer.Transformer)
    return network


def random_tokens(*shape: int) -> Tensor:
    return torch.randint(TOKENS.vocab_size, shape, generator=torch.Generator().manual_seed(1))


def round_activations(x: Tensor) -> Tensor:
    """Return activations as the C++ rounds them: groups of 32, each with its own scale."""
    groups = x.unflatten(-1, (-1, GROUP_SIZE))
    scale = groups.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 32767
    return ((groups / scale).round() * scale).flatten(-2)


def emulate(network: transformer.Transformer, bits: int) -> transformer.Transformer:
    """Return the same network in torch with quantized weights, whose products take rounded activations."""
    twin = build_network(network.config, network.spec)
    head = nn.Linear(network.config.width, TOKENS.vocab_size, bias=False)
    head.weight = nn.Parameter(dequantize_matrix(quantize_matrix(network.head.weight, 8)))
    twin.head = head
    for linear in list_linears(twin):
        linear.weight.data = dequantize_matrix(quantize_matrix(linear.weight, bits))
    for linear in (*list_linears(twin), twin.head):
        linear.register_forward_pre_hook(lambda _, args: (round_activations(args[0]),))
    return twin.requires_grad_(False)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_network_equals_its_quantized_weights(name: str, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = build_network(CONFIGS[name]), random_tokens(3, 40)
    assert not get_unsupported_reason(network)
    exact, output = network(x), quantize_network(network, bits)(x)
    attend = transformer_block.compute_attention  # the native cache has half precision
    monkeypatch.setattr(
        transformer_block, "compute_attention", lambda q, k, v, *a: attend(q, k.half().float(), v.half().float(), *a)
    )
    expected = emulate(network, bits)(x)
    error = (output - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.mean() < 3e-4, "ties of keys and values may round either way"
    assert (output - exact).norm() / exact.norm() < (0.03 if bits == 8 else 0.4)


def draw_prompts(count: int) -> Condition:
    """Return prompts of different lengths, one of them empty."""
    states = torch.randn(count, 20, 24, generator=torch.Generator().manual_seed(2))
    return Condition(states, torch.arange(20) < torch.arange(count)[:, None] * 19 // max(count - 1, 1))


@pytest.mark.parametrize("bits", [8, 4])
def test_prompts_are_read_as_their_states(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, x, cond = build_network(spec=PROMPT_SPEC), random_tokens(3, 40), draw_prompts(3)
    assert not get_unsupported_reason(network)
    exact, native = network(x, cond=cond), quantize_network(network, bits)
    output = native(x, cond=cond)
    attend = transformer_block.compute_attention
    monkeypatch.setattr(
        transformer_block, "compute_attention", lambda q, k, v, *a: attend(q, k.half().float(), v.half().float(), *a)
    )
    expected = emulate(network, bits)(x, cond=cond)
    error = (output - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.mean() < 3e-4
    assert (output - exact).norm() / exact.norm() < (0.03 if bits == 8 else 0.4)
    assert not torch.allclose(native(x), output, rtol=0.01)
    for row in range(3):
        alone = Condition(*(part[row : row + 1] for part in (cond.tokens, cond.mask) if part is not None))
        cache = native.init_cache(1, 40)
        pieces = [native(x[row : row + 1, a:b], cond=alone, cache=cache) for a, b in ((0, 1), (1, 17), (17, 40))]
        assert torch.equal(torch.cat(pieces, 1)[0], output[row])
    cache = native.init_cache(3, 41)
    native(x, cond=cond, cache=cache)
    forked, rows = cache.select_rows(torch.tensor([2, 0])), random_tokens(2, 1)
    one_by_one = [
        native(torch.cat([x[r], rows[n]])[None], cond=draw_prompts(3).select_rows(slice(r, r + 1)))[0, -1]
        for n, r in enumerate((2, 0))
    ]
    assert torch.equal(native(rows, cache=forked)[:, 0], torch.stack(one_by_one))


@pytest.fixture(scope="module", params=["avx512", "avx2"])
def instruction_set(request: pytest.FixtureRequest) -> str:
    if request.param == "avx512" and build.detect_instruction_set() != "avx512":
        pytest.skip("this processor has no AVX-512 with VNNI")
    return request.param


@pytest.mark.parametrize("bits", [8, 4])
def test_rows_splits_and_threads_change_no_bit(instruction_set: str, bits: int) -> None:
    network = quantize_network(build_network(CONFIGS["shared keys, wide heads, norms"]), bits, instruction_set)
    x = random_tokens(11, 50)
    expected = network(x)
    for row in (0, 7):
        assert torch.equal(network(x[row : row + 1])[0], expected[row])
    cache = network.init_cache(11, 50)
    pieces = [network(x[:, a:b], cache=cache) for a, b in ((0, 1), (1, 2), (2, 20), (20, 50))]
    assert torch.equal(torch.cat(pieces, 1), expected)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(network(x), expected)
    finally:
        torch.set_num_threads(threads)


def test_both_instruction_sets_give_the_same_bits() -> None:
    if build.detect_instruction_set() != "avx512":
        pytest.skip("this processor has no AVX-512 with VNNI")
    network, x = build_network(), random_tokens(3, 30)
    for bits in (8, 4):
        assert torch.equal(quantize_network(network, bits, "avx512")(x), quantize_network(network, bits, "avx2")(x))


def test_rows_of_different_lengths_can_fork_and_be_replaced() -> None:
    network, x = quantize_network(build_network(), 8), random_tokens(3, 12)
    lengths = torch.tensor([12, 3, 7])
    expected = network(x)
    cache = network.init_cache(3, 30)
    output = network(x, lengths=lengths, cache=cache)
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(output[row, :length], expected[row, :length])
    assert cache.lengths.tolist() == [12, 3, 7]

    forked = cache.select_rows(torch.tensor([2, 2, 1]))
    next_tokens = torch.stack([x[2, 7:10], x[2, 7:10], x[1, 3:6]])
    continued = network(next_tokens, cache=forked)
    assert torch.equal(continued, torch.stack([expected[2, 7:10], expected[2, 7:10], expected[1, 3:6]]))

    cache.lengths[0] = 0  # another text replaces the first; the second row waits
    replaced = network(x[[1, 1, 2]], lengths=torch.tensor([5, 0, 0]), cache=cache)
    assert torch.equal(replaced[0, :5], expected[1, :5])
    assert cache.lengths.tolist() == [5, 3, 7]
    assert torch.equal(network(x[1, 3:4].expand(3, 1), cache=cache)[1], expected[1, 3:4])


def test_compute_last_logits_equals_the_last_logits_of_one_pass() -> None:
    network, x, lengths = quantize_network(build_network(), 4), random_tokens(3, 300 // 5), torch.tensor([60, 1, 33])
    last = network.compute_last_logits(x, lengths, network.init_cache(3, 60))
    assert torch.equal(last, network(x)[torch.arange(3), lengths - 1])


def test_long_texts_take_several_steps_beyond_the_context_length() -> None:
    network = quantize_network(build_network(), 8)
    x = random_tokens(2, 700)
    assert torch.equal(
        network(x)[:, -1], network.compute_last_logits(x, torch.tensor([700, 700]), network.init_cache(2, 700))
    )


def test_sampling_one_row_equals_sampling_it_in_a_batch() -> None:
    parts = {"model": quantize_network(build_network(), 8)}
    prompts = tuple(random_tokens(n + 1).numpy() for n in (0, 4, 9))
    noise = Noise(1, (5, 6, 7))
    *_, all_rows = Autoregressive(TOKENS).sample(
        parts, 3, None, noise, SamplingParams(inputs=SamplerInputs(prompts), max_tokens=12)
    )
    for i in range(3):
        own = noise.select_rows(slice(i, i + 1))
        *_, alone = Autoregressive(TOKENS).sample(
            parts, 1, None, own, SamplingParams(inputs=SamplerInputs(prompts[i : i + 1]), max_tokens=12)
        )
        assert alone[0].tolist() == all_rows[i].tolist()[: alone.shape[1]]


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_on_the_grid_stay_exact(bits: int) -> None:
    rng = np.random.default_rng(0)
    scale = torch.from_numpy(rng.uniform(0.001, 0.1, (40, 3, 1)).astype(np.float16)).float()
    if bits == 8:
        levels = torch.from_numpy(rng.integers(-127, 128, (40, 3, 32))).float()
        levels[:, :, 5] = 127
        weight = levels * scale
    else:
        levels = torch.from_numpy(rng.integers(0, 16, (40, 3, 32))).float()
        levels[:, :, 5], levels[:, :, 9] = 0, 15
        weight = levels * scale + torch.from_numpy(rng.normal(0, 0.3, (40, 3, 1)).astype(np.float16)).float()
    weight = weight.flatten(1)
    assert torch.equal(dequantize_matrix(quantize_matrix(weight, bits)), weight)


@pytest.mark.parametrize("bits", [8, 4])
def test_quantization_rounds_to_the_nearest_level(bits: int) -> None:
    weight = torch.randn(33, 64, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    step = weight.unflatten(1, (-1, 32))
    step = (step.abs().amax(-1) / 127) if bits == 8 else (step.amax(-1) - step.amin(-1)) / 15
    error = (dequantize_matrix(quantize_matrix(weight, bits)) - weight).abs().unflatten(1, (-1, 32)).amax(-1)
    assert bool((error <= 0.51 * step + 1e-3 * step * (127 if bits == 8 else 15)).all())


UNSUPPORTED = {
    "layer norm": replace(SMALL, norm="layer"),
    "learned positions": replace(SMALL, positions="learned"),
    "a head width of 16": replace(SMALL, heads=4),
    "a width of 48": replace(SMALL, width=48, head_width=32),
}


@pytest.mark.parametrize("reason", UNSUPPORTED)
def test_an_unsupported_setting_is_an_error_with_its_reason(reason: str) -> None:
    with raises_code("networks.not_quantizable", bits=8) as caught:
        quantize_network(build_network(UNSUPPORTED[reason]), 8)
    assert f"does not support {reason}" in caught.value.fields["reason"]


def test_conditions_and_other_networks_are_errors() -> None:
    with raises_code(
        "networks.not_quantizable", reason="native decoding does not support conditions other than prompts"
    ):
        quantize_network(transformer.build(replace(CAUSAL_SPEC, condition=ConditionSpec(vector=2)), SMALL), 8)
    with raises_code("networks.not_quantizable", reason="native decoding supports only transformers"):
        quantize_network(nn.Linear(2, 2), 8)
    with raises_code("networks.quantization_bits", bits=5):
        quantize_network(build_network(), 5)


def test_misuse_is_an_error_without_access_beyond_the_cache() -> None:
    network: QuantizedTransformer = quantize_network(build_network(), 8)
    with raises_code("networks.cache_full", capacity=8):
        network(random_tokens(1, 9), cache=network.init_cache(1, 8))
    with raises_code("networks.cache_mismatch"):
        network(random_tokens(2, 4), cache=network.init_cache(1, 8))
    with raises_code("networks.cache_mismatch"):
        network(random_tokens(2, 4), lengths=torch.tensor([1, 5]), cache=network.init_cache(2, 8))
    with pytest.raises(IndexError):
        network(torch.tensor([[TOKENS.vocab_size]]))
    with pytest.raises(IndexError):
        network(torch.tensor([[-1]]))
    damaged = network.init_cache(1, 8)
    damaged.lengths[0] = -3
    with raises_code("networks.cache_full", capacity=8):
        network(random_tokens(1, 2), cache=damaged)


def test_the_reason_names_a_missing_or_broken_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    build.load_library.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CXX", raising=False)
        assert build.get_unavailable_reason() == format_message("networks.no_compiler")
        with raises_code("networks.not_quantizable", reason=format_message("networks.no_compiler").rstrip(".")):
            quantize_network(build_network(), 8)
        monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
        machine = platform.machine()
        assert build.get_unavailable_reason() == format_message("networks.no_vector_instructions", machine=machine)
        monkeypatch.undo()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        broken = tmp_path / "c++"
        broken.write_text("#!/bin/sh\necho 'error: it is broken' >&2\nexit 1\n")
        broken.chmod(0o700)
        monkeypatch.setenv("CXX", str(broken))
        reason = format_message("networks.compile_failed", compiler=str(broken), reason="error: it is broken")
        assert build.get_unavailable_reason() == reason
        assert {p.name for p in (tmp_path / "genloom" / "native").iterdir()} == {"lock"}
    finally:
        build.load_library.cache_clear()


@pytest.mark.slow
def test_of_two_processes_one_compiles_and_both_load(tmp_path: Path) -> None:
    code = "from genloom.networks.native import build; build.load_library()"
    env = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    both = [subprocess.Popen([sys.executable, "-c", code], env=env) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert len(list((tmp_path / "genloom" / "native").glob("*.so"))) == 1


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_speculative_tokens_do_not_change_the_output(temperature: float) -> None:
    network = quantize_network(build_network(), 8)
    params = SamplingParams(
        inputs=SamplerInputs((random_tokens(5).numpy(),)), max_tokens=59, temperature=temperature, top_k=3
    )
    *_, fast = Autoregressive(TOKENS).sample({"model": network}, 1, None, Noise(1, (5,)), params)
    two = replace(
        params, inputs=SamplerInputs((params.inputs.prompt_ids[0], random_tokens(9).numpy()))
    )  # several rows use no speculation
    *_, slow = Autoregressive(TOKENS).sample({"model": network}, 2, None, Noise(1, (5, 6)), two)
    assert fast[0].tolist() == slow[0].tolist()[: fast.shape[1]]


def test_reusing_a_prefix_gives_the_bits_of_reading_it_again() -> None:
    network, x = quantize_network(build_network(), 8), random_tokens(60)
    expected = network(x[None])[0]

    def read_rest(ids: Tensor, prefix_length: int) -> Tensor:
        cache = network.reuse_prefix(ids, 60)
        assert cache.lengths.tolist() == [prefix_length]
        return network(ids[None, prefix_length:], cache=cache)[0]

    assert torch.equal(read_rest(x[:40], 0), expected[:40])
    assert torch.equal(read_rest(x[:50], 40), expected[40:50])
    assert torch.equal(read_rest(x[:50], 49), expected[49:50]), "the last token remains to read, for its logits"
    other = torch.cat([x[:17], x[:20]])
    assert torch.equal(read_rest(other, 17), network(other[None])[0, 17:])
    network.truncate(network.prefix_cache, 5)
    assert torch.equal(read_rest(x, 5), expected[5:])


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_the_output_is_the_same_with_and_without_a_reused_prefix(temperature: float) -> None:
    def sample(network: QuantizedTransformer, prompt: np.ndarray) -> list[int]:
        params = SamplingParams(inputs=SamplerInputs((prompt,)), max_tokens=20, temperature=temperature)
        *_, last = Autoregressive(TOKENS).sample({"model": network}, 1, None, Noise(1, (5,)), params)
        return last[0].tolist()

    network = quantize_network(build_network(), 8)
    first = random_tokens(9).numpy()
    second = np.concatenate([first, sample(network, first), first[:4]])
    output = sample(network, second)
    assert output == sample(quantize_network(build_network(), 8), second)
    assert output == sample(network, second), "a second attempt gives the same"
