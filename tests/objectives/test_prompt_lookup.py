"""Drafted tokens save steps and do not change the output."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplerInputs, SamplingParams
from genloom.objectives.prompt_lookup import MAX_DRAFT_TOKENS, find_draft_tokens
from genloom.types import TokenSpace

SPACE = TokenSpace(vocab_size=12, context_length=80, bos=0, eos=11)


class TokenCache:
    """The tokens that were read, one list per row."""

    def __init__(self, count: int):
        self.rows: list[list[int]] = [[] for _ in range(count)]


class TableNetwork(nn.Module):
    """A network whose logits depend on the last two tokens, by a fixed table; it counts its steps."""

    def __init__(self, sharpness: float):
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(sharpness * torch.randn(12, 12, 12, generator=rng), requires_grad=False)
        self.steps = 0

    def init_cache(self, count: int, length: int) -> TokenCache:
        self.max_length = length
        return TokenCache(count)

    def forward(
        self, x: Tensor, cond: object = None, lengths: object = None, cache: TokenCache | None = None
    ) -> Tensor:
        assert cache is not None
        self.steps += 1
        logits = []
        for row, new_ids in zip(cache.rows, x.tolist(), strict=True):
            prefix = [0, *row]
            row += new_ids
            assert len(row) <= self.max_length
            ids = prefix + new_ids
            logits.append(torch.stack([self.table[ids[i - 1], ids[i]] for i in range(len(prefix), len(ids))]))
        return torch.stack(logits)


class TruncatingTableNetwork(TableNetwork):
    """The same network with a cache that can be truncated."""

    def truncate(self, cache: TokenCache, length: int) -> None:
        cache.rows = [row[:length] for row in cache.rows]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("sharpness", [1.0, 6.0])
def test_the_same_tokens_in_fewer_steps(temperature: float, sharpness: float) -> None:
    steps = []
    for seed in range(4):
        params = SamplingParams(
            max_tokens=70,
            temperature=temperature,
            inputs=SamplerInputs((np.array([0, 3, 5, 1, 3, 5, 1]),), suppressed_tokens=(11,)),
        )
        noise = Noise(2, (seed,))
        fast, slow = TruncatingTableNetwork(sharpness), TableNetwork(sharpness)
        drafts = [list(Autoregressive(SPACE).sample({"model": n}, 1, None, noise, params)) for n in (fast, slow)]
        assert len(drafts[0]) == len(drafts[1]) == 70
        assert all(torch.equal(a, b) for a, b in zip(*drafts, strict=True))
        assert slow.steps == 70
        steps.append(fast.steps)
    assert max(steps) <= 70
    if temperature == 0:
        assert max(steps) < 40, "repeated text is drafted"


@pytest.mark.parametrize(
    ("context", "draft"),
    [
        ([1, 2, 3], []),
        ([1, 2, 3, 4, 5], []),
        ([1, 2, 3, 7, 8, 1, 2, 3], [7, 8, 1, 2, 3]),
        ([1, 2, 3, 7, 1, 2, 3, 9, 1, 2, 3], [9, 1, 2, 3]),
        ([4, 4, 4, 4], [4]),
        ([*range(20), 0, 1, 2], list(range(3, 3 + MAX_DRAFT_TOKENS))),
    ],
)
def test_the_draft_is_what_followed_the_ngram_at_its_previous_occurrence(context: list[int], draft: list[int]) -> None:
    assert find_draft_tokens(np.array(context)) == draft
