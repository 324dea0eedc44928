"""Texts that join and leave a batch as they come are what they would be alone."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from genloom.generate.continuous_batching import ContinuousBatch
from genloom.networks import transformer
from genloom.networks.native import build
from genloom.networks.native.quantized_transformer import quantize_network
from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplingParams
from genloom.testing import perturb_weights
from genloom.types import NetworkSpec, TokenSpace

SPACE = TokenSpace(vocab_size=40, context_length=64, bos=0, eos=39)
KEY = 5


def plain(hashed: int = 0) -> nn.Module:
    torch.manual_seed(0)
    config = transformer.Config(width=64, depth=2, heads=2, mlp_width=96, hash_buckets=hashed)
    return (
        perturb_weights(transformer.build(NetworkSpec(SPACE, SPACE, is_causal=True), config), 0.2)
        .eval()
        .requires_grad_(False)
    )


def rounded() -> nn.Module:
    if reason := build.get_unavailable_reason():
        pytest.skip(reason)
    return quantize_network(plain(), 8)


def alone(network: nn.Module, prompt: np.ndarray, nonce: int, controls: SamplingParams) -> list[int]:
    one = replace(controls, prompt_ids=(prompt,))
    *_, last = Autoregressive(SPACE).sample({"model": network}, 1, None, Noise(KEY, (nonce,)), one)
    return last[0].tolist()


@pytest.mark.parametrize("made", [plain, lambda: plain(17), rounded], ids=["float32", "hashed", "int8"])
def test_every_text_is_what_it_would_be_alone(made: Callable[[], nn.Module]) -> None:
    network, chance = made(), np.random.default_rng(0)
    waiting = [
        (chance.integers(0, 39, n), nonce, SamplingParams(max_tokens=length, temperature=t, top_k=k, eos_ids=(7,)))
        for nonce, (n, length, t, k) in enumerate(
            [(3, 20, 0.8, 0), (1, 5, 0.0, 0), (17, 9, 1.2, 5), (2, 30, 1.0, 0), (9, 1, 0.7, 3), (5, 12, 0.9, 0)]
        )
    ]
    batch, seated, found = ContinuousBatch(network, SPACE, KEY, num_slots=3, max_length=40), {}, {}
    left = list(waiting)
    while left or seated:
        while left and batch.num_free:
            text = left.pop(0)
            seated[batch.add_sequence(*text)] = text[1]
        for row, symbol in batch.step().items():
            found.setdefault(seated[row], []).append(symbol)
        seated = {row: nonce for row, nonce in seated.items() if batch.sequences[row] is not None}
    assert found == {nonce: alone(network, prompt, nonce, controls) for prompt, nonce, controls in waiting}
    assert len({len(row) for row in found.values()}) > 2


def test_a_text_that_leaves_makes_room_and_disturbs_nobody() -> None:
    network = rounded()
    controls = SamplingParams(max_tokens=9, suppressed_tokens=(SPACE.eos,))
    batch = ContinuousBatch(network, SPACE, KEY, num_slots=2, max_length=20)
    stays, goes = batch.add_sequence(np.array([1, 2]), 1, controls), batch.add_sequence(np.array([3]), 2, controls)
    with pytest.raises(ValueError, match="All 2 places are taken"):
        batch.add_sequence(np.array([1]), 3, controls)
    written = [batch.step()[stays] for _ in range(3)]
    batch.remove_sequence(goes)
    assert batch.num_free == 1
    written += [batch.step()[stays] for _ in range(2)]
    assert written == alone(network, np.array([1, 2]), 1, controls)[:5]


def test_what_does_not_fit_is_refused() -> None:
    batch = ContinuousBatch(plain(), SPACE, KEY, num_slots=1, max_length=10)
    for prompt, length in ((np.zeros(0, int), 3), (np.ones(8, int), 3)):
        with pytest.raises(ValueError, match="do not fit in 10"):
            batch.add_sequence(prompt, 1, SamplingParams(max_tokens=length))
    assert batch.step() == {}
