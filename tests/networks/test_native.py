"""Native decoding: what the C++ computes is what the rounded weights say, whatever the batch, pieces and threads."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom.networks import transformer
from genloom.networks.native import build
from genloom.networks.native.block_quantization import GROUP_SIZE, dequantize_matrix, quantize_matrix
from genloom.networks.native.quantized_transformer import (
    QuantizedTransformer,
    get_unsupported_reason,
    list_linears,
    quantize_network,
)
from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplingParams
from genloom.testing import perturb_weights
from genloom.types import ConditionSpec, NetworkSpec, TokenSpace

pytestmark = pytest.mark.skipif(bool(build.get_unavailable_reason()), reason=build.get_unavailable_reason())

SYMBOLS = TokenSpace(vocab_size=101, context_length=64)
READER = NetworkSpec(SYMBOLS, SYMBOLS, is_causal=True)
SMALL = transformer.Config(width=64, depth=2, heads=2, mlp_width=96, qk_norm=False)
SHAPES = {
    "plain": SMALL,
    "shared keys, wide heads, norms": replace(SMALL, heads=6, key_heads=2, head_width=32, qk_norm=True),
    "one key head, untied": replace(SMALL, width=96, heads=3, key_heads=1, head_width=64, tied=False),
    "biases, soft bound, squares": replace(SMALL, bias="qkv", softcap=5.0, activation="relu2"),
    "gelu, all biases": replace(SMALL, bias="all", activation="gelu"),
    "window, scaled positions": replace(SMALL, window=7, rotary_scale=4.0, rotary_length=16, rotary_base=500.0),
}


def network_of(config: transformer.Config = SMALL) -> transformer.Transformer:
    torch.manual_seed(0)
    network = perturb_weights(transformer.build(READER, config), 0.1).eval().requires_grad_(False)
    assert isinstance(network, transformer.Transformer)
    return network


def symbols(*shape: int) -> Tensor:
    return torch.randint(SYMBOLS.vocab_size, shape, generator=torch.Generator().manual_seed(1))


def rounded(x: Tensor) -> Tensor:
    """Activations as the C++ rounds them: groups of 32, each with its own scale."""
    grouped = x.unflatten(-1, (-1, GROUP_SIZE))
    scale = grouped.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 32767
    return ((grouped / scale).round() * scale).flatten(-2)


def emulated(network: transformer.Transformer, bits: int) -> transformer.Transformer:
    """The same network in torch with rounded weights, each of its products taking rounded activations."""
    twin = network_of(network.config)
    head = nn.Linear(network.config.width, SYMBOLS.vocab_size, bias=False)
    head.weight = nn.Parameter(dequantize_matrix(quantize_matrix(network.get_head.weight, 8)))
    twin.get_head = head
    for linear in list_linears(twin):
        linear.weight.data = dequantize_matrix(quantize_matrix(linear.weight, bits))
    for linear in (*list_linears(twin), twin.get_head):
        linear.register_forward_pre_hook(lambda _, given: (rounded(given[0]),))
    return twin.requires_grad_(False)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", SHAPES)
def test_the_network_is_what_its_rounded_weights_say(name: str, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = network_of(SHAPES[name]), symbols(3, 40)
    assert not get_unsupported_reason(network)
    exact, found = network(x), quantize_network(network, bits)(x)
    attend = transformer.attend  # keys and values are kept in half precision
    monkeypatch.setattr(transformer, "attend", lambda q, k, v, *a: attend(q, k.half().float(), v.half().float(), *a))
    wanted = emulated(network, bits)(x)
    off = (found - wanted).norm(dim=-1) / wanted.norm(dim=-1)
    assert off.mean() < 3e-4, "keys and values between two numbers may be rounded up here and down there"
    assert (found - exact).norm() / exact.norm() < (0.03 if bits == 8 else 0.4)


@pytest.fixture(scope="module", params=["avx512", "avx2"])
def path(request: pytest.FixtureRequest) -> str:
    if request.param == "avx512" and build.detect_instruction_set() != "avx512":
        pytest.skip("this processor has no AVX-512 with VNNI")
    return request.param


@pytest.mark.parametrize("bits", [8, 4])
def test_rows_pieces_and_threads_change_no_bit(path: str, bits: int) -> None:
    network = quantize_network(network_of(SHAPES["shared keys, wide heads, norms"]), bits, path)
    x = symbols(11, 50)
    whole = network(x)
    for row in (0, 7):
        assert torch.equal(network(x[row : row + 1])[0], whole[row])
    cache = network.init_cache(11, 50)
    pieces = [network(x[:, a:b], cache_folder=cache) for a, b in ((0, 1), (1, 2), (2, 20), (20, 50))]
    assert torch.equal(torch.cat(pieces, 1), whole)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(network(x), whole)
    finally:
        torch.set_num_threads(threads)


def test_both_instruction_sets_give_the_same_bits() -> None:
    if build.detect_instruction_set() != "avx512":
        pytest.skip("this processor has no AVX-512 with VNNI")
    network, x = network_of(), symbols(3, 30)
    for bits in (8, 4):
        assert torch.equal(quantize_network(network, bits, "avx512")(x), quantize_network(network, bits, "avx2")(x))


def test_rows_of_different_lengths_join_leave_and_fork() -> None:
    network, x = quantize_network(network_of(), 8), symbols(3, 12)
    lengths = torch.tensor([12, 3, 7])
    whole = network(x)
    cache = network.init_cache(3, 30)
    given = network(x, lengths=lengths, cache_folder=cache)
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(given[row, :length], whole[row, :length])
    assert cache.lengths.tolist() == [12, 3, 7]

    forked = cache.select_rows(torch.tensor([2, 2, 1]))
    onward = torch.stack([x[2, 7:10], x[2, 7:10], x[1, 3:6]])
    after = network(onward, cache_folder=forked)
    assert torch.equal(after, torch.stack([whole[2, 7:10], whole[2, 7:10], whole[1, 3:6]]))

    cache.lengths[0] = 0  # another text takes the place of the first; the second row waits
    turns = network(x[[1, 1, 2]], lengths=torch.tensor([5, 0, 0]), cache_folder=cache)
    assert torch.equal(turns[0, :5], whole[1, :5])
    assert cache.lengths.tolist() == [5, 3, 7]
    assert torch.equal(network(x[1, 3:4].expand(3, 1), cache_folder=cache)[1], whole[1, 3:4])


def test_the_last_logits_alone_are_those_of_the_whole() -> None:
    network, x, lengths = quantize_network(network_of(), 4), symbols(3, 300 // 5), torch.tensor([60, 1, 33])
    last = network.last_logits(x, lengths, network.init_cache(3, 60))
    assert torch.equal(last, network(x)[torch.arange(3), lengths - 1])


def test_long_texts_are_read_in_pieces_beyond_the_length_learned() -> None:
    network = quantize_network(network_of(), 8)
    x = symbols(2, 700)
    assert torch.equal(network(x)[:, -1], network.last_logits(x, torch.tensor([700, 700]), network.init_cache(2, 700)))


def test_the_sampler_writes_the_same_alone_and_in_company() -> None:
    parts = {"model": quantize_network(network_of(), 8)}
    prompts = tuple(symbols(n + 1).numpy() for n in (0, 4, 9))
    noise = Noise(1, (5, 6, 7))
    *_, all_rows = Autoregressive(SYMBOLS).sample(parts, 3, None, noise, SamplingParams(prompts, max_tokens=12))
    for i in range(3):
        own = noise.select_rows(slice(i, i + 1))
        *_, alone = Autoregressive(SYMBOLS).sample(
            parts, 1, None, own, SamplingParams(prompts[i : i + 1], max_tokens=12)
        )
        assert alone[0].tolist() == all_rows[i].tolist()[: alone.shape[1]]


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_of_the_grid_are_found_again_exactly(bits: int) -> None:
    chance = np.random.default_rng(0)
    scale = torch.from_numpy(chance.uniform(0.001, 0.1, (40, 3, 1)).astype(np.float16)).float()
    if bits == 8:
        whole = torch.from_numpy(chance.integers(-127, 128, (40, 3, 32))).float()
        whole[:, :, 5] = 127
        weight = whole * scale
    else:
        whole = torch.from_numpy(chance.integers(0, 16, (40, 3, 32))).float()
        whole[:, :, 5], whole[:, :, 9] = 0, 15
        weight = whole * scale + torch.from_numpy(chance.normal(0, 0.3, (40, 3, 1)).astype(np.float16)).float()
    weight = weight.flatten(1)
    assert torch.equal(dequantize_matrix(quantize_matrix(weight, bits)), weight)


@pytest.mark.parametrize("bits", [8, 4])
def test_rounding_is_to_the_nearest_of_the_grid(bits: int) -> None:
    weight = torch.randn(33, 64, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    step = weight.unflatten(1, (-1, 32))
    step = (step.abs().amax(-1) / 127) if bits == 8 else (step.amax(-1) - step.amin(-1)) / 15
    error = (dequantize_matrix(quantize_matrix(weight, bits)) - weight).abs().unflatten(1, (-1, 32)).amax(-1)
    assert bool((error <= 0.51 * step + 1e-3 * step * (127 if bits == 8 else 15)).all())


REFUSED = {
    "layer norm": replace(SMALL, norm="layer"),
    "learned positions": replace(SMALL, positions="learned"),
    "hashed": replace(SMALL, hashed=17),
    "head width 16": replace(SMALL, heads=4),
    "width 48": replace(SMALL, width=48, head_width=32),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_known_is_refused_by_name(reason: str) -> None:
    with pytest.raises(ValueError, match=f"{reason}.*Choose --precision float32"):
        quantize_network(network_of(REFUSED[reason]), 8)


def test_conditions_and_other_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="conditions"):
        quantize_network(transformer.build(replace(READER, condition=ConditionSpec(vector=2)), SMALL), 8)
    with pytest.raises(ValueError, match="only transformers"):
        quantize_network(nn.Linear(2, 2), 8)
    with pytest.raises(ValueError, match="8 or 4"):
        quantize_network(network_of(), 5)


def test_misuse_is_an_error_and_no_access_beyond_the_memory() -> None:
    network: QuantizedTransformer = quantize_network(network_of(), 8)
    with pytest.raises(ValueError, match="room"):
        network(symbols(1, 9), cache_folder=network.init_cache(1, 8))
    with pytest.raises(ValueError, match="cannot read"):
        network(symbols(2, 4), cache_folder=network.init_cache(1, 8))
    with pytest.raises(ValueError, match="cannot read"):
        network(symbols(2, 4), lengths=torch.tensor([1, 5]), cache_folder=network.init_cache(2, 8))
    with pytest.raises(IndexError):
        network(torch.tensor([[SYMBOLS.vocab_size]]))
    with pytest.raises(IndexError):
        network(torch.tensor([[-1]]))
    behind = network.init_cache(1, 8)
    behind.lengths[0] = -3
    with pytest.raises(ValueError, match="room"):
        network(symbols(1, 2), cache_folder=behind)


def test_without_a_compiler_the_reason_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    build.load_library.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CXX", raising=False)
        assert "install g++ or clang++" in build.get_unavailable_reason()
        with pytest.raises(ValueError, match="install g"):
            quantize_network(network_of(), 8)
        monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
        assert "AVX2" in build.get_unavailable_reason()
        monkeypatch.undo()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        broken = tmp_path / "c++"
        broken.write_text("#!/bin/sh\necho 'error: it is broken' >&2\nexit 1\n")
        broken.chmod(0o700)
        monkeypatch.setenv("CXX", str(broken))
        assert "it is broken" in build.get_unavailable_reason()
        assert {p.name for p in (tmp_path / "genloom" / "native").iterdir()} == {"lock"}
    finally:
        build.load_library.cache_clear()


@pytest.mark.slow
def test_of_two_processes_one_compiles_and_both_load(tmp_path: Path) -> None:
    code = "from genloom.networks.native import build; build.library()"
    env = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    both = [subprocess.Popen([sys.executable, "-c", code], env=env) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert len(list((tmp_path / "genloom" / "native").glob("*.so"))) == 1


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_guessed_symbols_change_nothing_that_is_written(temperature: float) -> None:
    network = quantize_network(network_of(), 8)
    controls = SamplingParams((symbols(5).numpy(),), max_tokens=59, temperature=temperature, top_k=3)
    *_, quick = Autoregressive(SYMBOLS).sample({"model": network}, 1, None, Noise(1, (5,)), controls)
    two = replace(
        controls, prompt_ids=(controls.prompt_ids[0], symbols(9).numpy())
    )  # rows in company are not guessed ahead
    *_, slow = Autoregressive(SYMBOLS).sample({"model": network}, 2, None, Noise(1, (5, 6)), two)
    assert quick[0].tolist() == slow[0].tolist()[: quick.shape[1]]


def test_a_text_resumed_gives_the_bits_of_one_read_anew() -> None:
    network, x = quantize_network(network_of(), 8), symbols(60)
    whole = network(x[None])[0]

    def resumed(ids: Tensor, known: int) -> Tensor:
        cache = network.reuse_prefix(ids, 60)
        assert cache.lengths.tolist() == [known]
        return network(ids[None, known:], cache_folder=cache)[0]

    assert torch.equal(resumed(x[:40], 0), whole[:40])
    assert torch.equal(resumed(x[:50], 40), whole[40:50])
    assert torch.equal(resumed(x[:50], 49), whole[49:50]), "the last symbol is read for its logits"
    other = torch.cat([x[:17], x[:20]])
    assert torch.equal(resumed(other, 17), network(other[None])[0, 17:])
    network.truncate(network.resumed, 5)
    assert torch.equal(resumed(x, 5), whole[5:])


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_second_turn_is_written_the_same_with_and_without_the_first(temperature: float) -> None:
    def written(network: QuantizedTransformer, prompt: np.ndarray) -> list[int]:
        controls = SamplingParams((prompt,), max_tokens=20, temperature=temperature)
        *_, last = Autoregressive(SYMBOLS).sample({"model": network}, 1, None, Noise(1, (5,)), controls)
        return last[0].tolist()

    network = quantize_network(network_of(), 8)
    first = symbols(9).numpy()
    second = np.concatenate([first, written(network, first), first[:4]])
    turn = written(network, second)
    assert turn == written(quantize_network(network_of(), 8), second)
    assert turn == written(network, second), "and once more, as when an answer is tried again"
