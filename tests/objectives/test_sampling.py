"""How tokens are sampled, and that the cache does not change the output."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.objectives.autoregressive import (
    Autoregressive,
    SamplerInputs,
    SamplingParams,
    mask_outside_top_p,
    process_logits,
)
from genloom.testing import draw_inputs, perturb_weights
from genloom.types import Condition, ConditionSpec, NetworkSpec, TokenSpace
from tests.errors import raises_code
from tests.toys import build_params

SPACE = TokenSpace(vocab_size=6, context_length=12, bos=5, eos=4)
CONDS = [ConditionSpec(), ConditionSpec(vector=3), ConditionSpec(tokens=2)]


def build_network(toys, name: str, cond: ConditionSpec) -> nn.Module:
    objective = Autoregressive(SPACE, cond)
    toy = toys.Toy(objective, name)
    return perturb_weights(toys.build_networks(toy)["model"], 0.3).eval()


def sample_uncached(
    network: nn.Module, cond: Condition | None, noise: Noise, params: SamplingParams, max_tokens: int
) -> list[list[int]]:
    """The simplest sampler: read each row alone and from its beginning for every token."""
    output_rows = []
    for i in range(len(noise)):
        context, row_cond = (
            list(params.inputs.prompt_ids[i]),
            None if cond is None else cond.select_rows(slice(i, i + 1)),
        )
        for _ in range(max_tokens):
            logits = network(torch.tensor([context]), cond=row_cond)[:, -1].float()
            choices = process_logits(logits, [np.array(context)], params)
            token = int(noise.select_rows(slice(i, i + 1)).sample_tokens(choices, [np.array(context)]))
            context.append(token)
            if token == SPACE.eos:
                break
        row = context[len(params.inputs.prompt_ids[i]) :]
        output_rows.append(row + [SPACE.eos] * (max_tokens - len(row)))
    return output_rows


@pytest.mark.parametrize("cond", CONDS, ids=str)
def test_cached_and_uncached_samples_are_equal(toys, causal_network, cond):
    if causal_network == "recurrent" and cond.tokens:
        pytest.skip("a recurrent network does not support token conditions")
    network = build_network(toys, causal_network, cond)
    prompts = tuple(np.array([5, 0, 1, 2, 3][: 1 + i % 5]) for i in range(6))
    params = SamplingParams(
        inputs=SamplerInputs(prompts), max_tokens=9, temperature=0.9, top_p=0.95, repetition_penalty=1.2
    )
    noise = Noise(4, tuple(range(10, 16)))
    _, _, condition = draw_inputs(NetworkSpec(SPACE, SPACE, is_causal=True, condition=cond), 6)
    with torch.no_grad():
        expected_rows = sample_uncached(network, condition, noise, params, 9)
    *_, actual = Autoregressive(SPACE, cond).sample({"model": network}, 6, condition, noise, params)
    assert actual.tolist() == [row[: actual.shape[1]] for row in expected_rows]
    assert len({tuple(row) for row in expected_rows}) > 3, "equal rows would prove little"


class ConstantNetwork(nn.Module):
    """A stand-in network with constant logits; it is its own cache, which is empty."""

    def __init__(self, logits: list[float]):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def init_cache(self, count: int, length: int) -> "ConstantNetwork":
        return self

    def select_rows(self, rows: Tensor) -> "ConstantNetwork":
        return self

    def forward(self, x: Tensor, cond: object = None, lengths: object = None, cache: object = None) -> Tensor:
        return self.logits.expand(*x.shape, -1)


LOGITS = [0.0, 1.0, 0.5, -1.0, -9.0, -9.0]


def sample(count: int, logits: list[float] = LOGITS, **params) -> Tensor:
    *_, last = Autoregressive(SPACE).sample(
        {"model": ConstantNetwork(logits)},
        count,
        None,
        Noise(0, tuple(range(count))),
        build_params(SamplingParams, params),
    )
    return last


def test_samples_follow_the_softmax():
    first = sample(3000, max_tokens=1)[:, 0]
    expected = 3000 * torch.tensor(LOGITS).softmax(0)
    counts = torch.bincount(first, minlength=6)
    assert float(((counts - expected) ** 2 / expected)[:4].sum()) < 16.3  # chi-square, 3 degrees, p = 0.001


@pytest.mark.parametrize("params", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}], ids=str)
def test_greedy_settings_pick_the_most_likely_token(params):
    assert (sample(20, max_tokens=6, **params) == 1).all()


def test_each_eos_token_ends_its_row_and_the_others_continue():
    free_rows, stopped_rows = sample(40, max_tokens=8), sample(40, max_tokens=8, eos_ids=(0, 2))
    for row, free_row in zip(stopped_rows.tolist(), free_rows.tolist(), strict=True):
        end = next((i + 1 for i, token in enumerate(free_row) if token in (0, 2)), len(free_row))
        assert row == (free_row[:end] + [SPACE.eos] * 8)[: stopped_rows.shape[1]]


def test_the_repetition_penalty_exempts_eos_tokens():
    context = [np.array([5, 0, 1, 1])]
    penalized = process_logits(torch.tensor([LOGITS]), context, SamplingParams(repetition_penalty=2.0))
    exempt = process_logits(
        torch.tensor([LOGITS]), context, SamplingParams(repetition_penalty=2.0, inputs=SamplerInputs(eos_ids=(1,)))
    )
    assert (penalized[0, 1], exempt[0, 1]) == (0.5, 1.0)


def test_temperature_sharpens():
    def share(t: float) -> float:
        return (sample(1500, max_tokens=1, temperature=t) == 1).float().mean().item()

    assert share(0.5) == pytest.approx(float((2 * torch.tensor(LOGITS)).softmax(0)[1]), abs=0.04)
    assert share(2.0) == pytest.approx(float((torch.tensor(LOGITS) / 2).softmax(0)[1]), abs=0.04)


PROBS = torch.tensor([[0.4, 0.3, 0.15, 0.1, 0.05]])


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 9}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.5}, {0, 1}),
        ({"top_p": 0.39}, {0}),
        ({"top_p": 0.41}, {0, 1}),
        ({"top_p": 0.86}, {0, 1, 2, 3}),
        ({"min_p": 0.2}, {0, 1, 2, 3}),
        ({"min_p": 0.3}, {0, 1, 2}),
        ({"top_k": 3, "top_p": 0.8}, {0, 1}),  # two of the remaining three have more than 0.8
        ({"suppressed_tokens": (0, 3)}, {1, 2, 4}),
        ({"suppressed_tokens": (0,), "top_k": 1}, {1}),
        ({"temperature": 0.5, "top_p": 0.8}, {0, 1}),  # sharpened first: 0.56, 0.32, …
    ],
    ids=str,
)
def test_exactly_the_right_tokens_are_kept(params, kept):
    logits = PROBS.log()
    out = process_logits(logits, [np.array([0])], build_params(SamplingParams, params))
    assert set(out.isfinite().nonzero()[:, 1].tolist()) == kept
    assert torch.equal(logits, PROBS.log()), "the input logits must not change"
    probs = out.softmax(1)[0, sorted(kept)]
    sharpened = (PROBS ** (1 / params.get("temperature", 1.0)))[0, sorted(kept)]
    assert torch.allclose(probs, sharpened / sharpened.sum(), atol=1e-6)


def test_the_repetition_penalty_divides_positive_and_multiplies_negative_logits():
    out = process_logits(
        torch.tensor([[2.0, -1.0, 3.0, 0.5]]), [np.array([2, 0, 1, 1])], SamplingParams(repetition_penalty=1.5)
    )
    # The first token, 2, is BOS.
    assert torch.allclose(out, torch.tensor([[2.0 / 1.5, -1.5, 3.0, 0.5]]))


def test_suppressed_tokens_are_never_generated():
    assert not (sample(300, max_tokens=8, suppressed_tokens=(1, 2)) == 1).any()
    assert not (sample(300, max_tokens=8, suppressed_tokens=(1, 2)) == 2).any()


def test_a_finished_row_repeats_eos():
    rows = sample(60, [0.0, 0.0, 0.0, 0.0, 0.5, -9.0], max_tokens=10)
    is_eos = rows == SPACE.eos
    after = is_eos.cumsum(1) > 0
    assert torch.equal(after, is_eos)
    assert 0 < is_eos.any(1).float().mean() <= 1
    assert not is_eos.all()


def test_sampling_ends_when_every_row_is_finished():
    drafts = [
        draft.shape[1]
        for draft in Autoregressive(SPACE).sample(
            {"model": ConstantNetwork([-9.0, -9.0, -9.0, -9.0, 9.0, -9.0])},
            3,
            None,
            Noise(0, (0, 1, 2)),
            SamplingParams(max_tokens=8),
        )
    ]
    assert drafts == [1]


def test_the_caller_may_end_a_row():
    is_finished = np.zeros(3, dtype=bool)
    run = Autoregressive(SPACE).sample(
        {"model": ConstantNetwork([9.0, 0.0, 0.0, 0.0, -9.0, -9.0])},
        3,
        None,
        Noise(0, (0, 1, 2)),
        SamplingParams(max_tokens=4, inputs=SamplerInputs(is_finished=is_finished)),
    )
    next(run)
    is_finished[1] = True
    *_, last = run
    assert last.tolist() == [[0, 0, 0, 0], [0, 4, 4, 4], [0, 0, 0, 0]]


def test_drafts_grow_by_a_token_up_to_the_context_length():
    drafts = list(
        Autoregressive(SPACE).sample(
            {"model": ConstantNetwork(LOGITS)},
            2,
            None,
            Noise(0, (0, 1)),
            SamplingParams(inputs=SamplerInputs(suppressed_tokens=(4,))),
        )
    )
    assert [d.shape for d in drafts] == [(2, n) for n in range(1, 13)]
    assert all(torch.equal(a, b[:, :-1]) for a, b in pairwise(drafts))


def test_the_network_is_called_once_per_token(toys):
    network, calls = build_network(toys, "recurrent", ConditionSpec()), []
    network.register_forward_hook(lambda *_: calls.append(1))
    *_, last = Autoregressive(SPACE).sample(
        {"model": network},
        2,
        None,
        Noise(0, (0, 1)),
        SamplingParams(max_tokens=5, inputs=SamplerInputs(suppressed_tokens=(SPACE.eos,))),
    )
    assert last.shape == (2, 5)
    assert len(calls) == 5


def test_a_row_without_a_prompt_starts_with_bos(toys):
    network = build_network(toys, "transformer", ConditionSpec())
    noise = Noise(0, (3, 4))

    def text(prompts: tuple) -> list:
        params = SamplingParams(inputs=SamplerInputs(prompts), max_tokens=6)
        *_, last = Autoregressive(SPACE).sample({"model": network}, 2, None, noise, params)
        return last.tolist()

    start, empty = np.array([SPACE.bos]), np.array([], dtype=np.int64)
    assert text(()) == text((start, start)) == text((empty, empty))
    long = np.array([5, 1, 2])
    assert text((long, empty)) == text((long, start))


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"top_k": -1},
        {"top_p": 1.5},
        {"min_p": -0.1},
        {"repetition_penalty": 0.0},
        {"max_tokens": -1},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong):
    with raises_code("objectives.bad_setting", name=next(iter(wrong))):
        replace(SamplingParams(), **wrong)


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 6.0])
@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.9, 0.9999])
def test_top_p_ranks_as_many_tokens_as_it_needs(sharpness, top_p):
    logits = sharpness * torch.randn(3, 2000, generator=torch.Generator().manual_seed(0))
    ranked, order = logits.softmax(1).sort(1, descending=True)
    outside = ranked.cumsum(1) - ranked >= top_p
    outside[:, 0] = False
    assert torch.equal(mask_outside_top_p(logits, top_p), torch.zeros_like(outside).scatter(1, order, outside))


def test_equal_prompts_are_read_once(toys):
    """A prompt of several outputs is computed once, and each output continues by itself."""
    network, read = build_network(toys, "transformer", ConditionSpec()), []
    network.register_forward_pre_hook(lambda _, condition: read.append(condition[0].shape))
    prompts = tuple(np.array(p) for p in ([5, 0, 1], [5, 2], [5, 0, 1], [5, 0, 1]))
    noise = Noise(4, (1, 2, 3, 4))
    params = SamplingParams(inputs=SamplerInputs(prompts), max_tokens=6)
    *_, together = Autoregressive(SPACE).sample({"model": network}, 4, None, noise, params)
    assert read[0] == (2, 3)
    for i, prompt in enumerate(prompts):
        alone = SamplingParams(inputs=SamplerInputs((prompt,)), max_tokens=6)
        *_, actual = Autoregressive(SPACE).sample(
            {"model": network}, 1, None, noise.select_rows(slice(i, i + 1)), alone
        )
        assert actual[0].tolist() == together[i].tolist()[: actual.shape[1]]
