"""Guessed symbols make fewer steps and change nothing that is written."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplingParams
from genloom.objectives.prompt_lookup import MAX_DRAFT_TOKENS, find_draft_tokens
from genloom.types import TokenSpace

SPACE = TokenSpace(vocab_size=12, context_length=80, bos=0, eos=11)


class Memory:
    """The symbols that were read, a list a row."""

    def __init__(self, count: int):
        self.read: list[list[int]] = [[] for _ in range(count)]


class Recites(nn.Module):
    """Its logits depend on the last two symbols, by a fixed table; it counts its steps."""

    def __init__(self, sharpness: float):
        super().__init__()
        chance = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(sharpness * torch.randn(12, 12, 12, generator=chance), requires_grad=False)
        self.steps = 0

    def init_cache(self, count: int, length: int) -> Memory:
        self.room = length
        return Memory(count)

    def forward(self, x: Tensor, cond: object = None, lengths: object = None, cache: Memory | None = None) -> Tensor:
        assert cache is not None
        self.steps += 1
        rows = []
        for row, news in zip(cache.read, x.tolist(), strict=True):
            known = [0, *row]
            row += news
            assert len(row) <= self.room
            long = known + news
            rows.append(torch.stack([self.table[long[i - 1], long[i]] for i in range(len(known), len(long))]))
        return torch.stack(rows)


class Guessing(Recites):
    """The same, and it can be told to forget."""

    def rewind(self, cache: Memory, length: int) -> None:
        cache.read = [row[:length] for row in cache.read]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("sharpness", [1.0, 6.0])
def test_the_same_symbols_in_fewer_steps(temperature: float, sharpness: float) -> None:
    steps = []
    for seed in range(4):
        controls = SamplingParams(
            (np.array([0, 3, 5, 1, 3, 5, 1]),), max_tokens=70, temperature=temperature, suppressed_tokens=(11,)
        )
        noise = Noise(2, (seed,))
        quick, slow = Guessing(sharpness), Recites(sharpness)
        written = [list(Autoregressive(SPACE).sample({"model": n}, 1, None, noise, controls)) for n in (quick, slow)]
        assert len(written[0]) == len(written[1]) == 70
        assert all(torch.equal(a, b) for a, b in zip(*written, strict=True))
        assert slow.steps == 70
        steps.append(quick.steps)
    assert max(steps) <= 70
    if temperature == 0:
        assert max(steps) < 40, "what repeats itself is guessed"


@pytest.mark.parametrize(
    ("context", "guess"),
    [
        ([1, 2, 3], []),
        ([1, 2, 3, 4, 5], []),
        ([1, 2, 3, 7, 8, 1, 2, 3], [7, 8, 1, 2, 3]),
        ([1, 2, 3, 7, 1, 2, 3, 9, 1, 2, 3], [9, 1, 2, 3]),
        ([4, 4, 4, 4], [4]),
        ([*range(20), 0, 1, 2], list(range(3, 3 + MAX_DRAFT_TOKENS))),
    ],
)
def test_what_followed_the_phrase_the_time_before_is_guessed(context: list[int], guess: list[int]) -> None:
    assert find_draft_tokens(np.array(context)) == guess
