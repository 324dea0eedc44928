"""Continuous batching: sequences that join and leave a batch are what they would be alone."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from genloom.generate.continuous_batching import ContinuousBatch
from genloom.networks import transformer
from genloom.networks.native import build as native
from genloom.networks.native.quantized_transformer import quantize_network
from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplerInputs, SamplingParams
from genloom.testing import perturb_weights
from genloom.types import NetworkSpec, TokenSpace
from tests.errors import raises_code

SPACE = TokenSpace(vocab_size=40, context_length=64, bos=0, eos=39)
KEY = 5


def build_network() -> nn.Module:
    torch.manual_seed(0)
    config = transformer.Config(width=64, depth=2, heads=2, mlp_width=96)
    network = transformer.build(NetworkSpec(SPACE, SPACE, is_causal=True), config)
    return perturb_weights(network, 0.2).eval().requires_grad_(False)


def build_quantized() -> nn.Module:
    if reason := native.get_unavailable_reason():
        pytest.skip(reason)
    return quantize_network(build_network(), 8)


def generate_alone(network: nn.Module, prompt: np.ndarray, nonce: int, params: SamplingParams) -> list[int]:
    params = replace(params, inputs=replace(params.inputs, prompt_ids=(prompt,)))
    *_, last = Autoregressive(SPACE).sample({"model": network}, 1, None, Noise(KEY, (nonce,)), params)
    return last[0].tolist()


@pytest.mark.parametrize("build", [build_network, build_quantized], ids=["float32", "int8"])
def test_every_sequence_is_what_it_would_be_alone(build: Callable[[], nn.Module]) -> None:
    network, rng = build(), np.random.default_rng(0)
    sequences = [
        (
            rng.integers(0, 39, n),
            nonce,
            SamplingParams(max_tokens=length, temperature=t, top_k=k, inputs=SamplerInputs(eos_ids=(7,))),
        )
        for nonce, (n, length, t, k) in enumerate(
            [(3, 20, 0.8, 0), (1, 5, 0.0, 0), (17, 9, 1.2, 5), (2, 30, 1.0, 0), (9, 1, 0.7, 3), (5, 12, 0.9, 0)]
        )
    ]
    batch = ContinuousBatch(network, SPACE, KEY, num_slots=3, max_length=40)
    queue, nonces, generated = list(sequences), {}, {}
    while queue or nonces:
        while queue and batch.num_free:
            sequence = queue.pop(0)
            nonces[batch.add_sequence(*sequence)] = sequence[1]
        for row, token in batch.step().items():
            generated.setdefault(nonces[row], []).append(token)
        nonces = {row: nonce for row, nonce in nonces.items() if batch.sequences[row] is not None}
    assert generated == {nonce: generate_alone(network, prompt, nonce, params) for prompt, nonce, params in sequences}
    assert len({len(tokens) for tokens in generated.values()}) > 2


def test_a_removed_sequence_frees_its_slot_and_does_not_disturb_others() -> None:
    network = build_quantized()
    params = SamplingParams(max_tokens=9, inputs=SamplerInputs(suppressed_tokens=(SPACE.eos,)))
    batch = ContinuousBatch(network, SPACE, KEY, num_slots=2, max_length=20)
    kept_row, removed_row = (
        batch.add_sequence(np.array([1, 2]), 1, params),
        batch.add_sequence(np.array([3]), 2, params),
    )
    with raises_code("generate.no_free_slot", num_slots=2):
        batch.add_sequence(np.array([1]), 3, params)
    tokens = [batch.step()[kept_row] for _ in range(3)]
    batch.remove_sequence(removed_row)
    assert batch.num_free == 1
    tokens += [batch.step()[kept_row] for _ in range(2)]
    assert tokens == generate_alone(network, np.array([1, 2]), 1, params)[:5]


def test_a_sequence_that_does_not_fit_is_refused() -> None:
    batch = ContinuousBatch(build_network(), SPACE, KEY, num_slots=1, max_length=10)
    for prompt in (np.zeros(0, int), np.ones(8, int)):
        with raises_code("generate.sequence_too_long", prompt_tokens=len(prompt), max_tokens=3, max_length=10):
            batch.add_sequence(prompt, 1, SamplingParams(max_tokens=3))
    assert batch.step() == {}
