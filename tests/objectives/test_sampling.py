"""How symbols are chosen, and that remembering what was read changes nothing that is written."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplingParams, mask_outside_top_p, process_logits
from genloom.testing import perturb_weights, random_inputs
from genloom.types import Condition, ConditionSpec, NetworkSpec, TokenSpace

SPACE = TokenSpace(vocab_size=6, context_length=12, bos=5, eos=4)
CONDS = [ConditionSpec(), ConditionSpec(vector=3), ConditionSpec(tokens=2)]


def network_of(toys, name: str, cond: ConditionSpec) -> nn.Module:
    objective = Autoregressive(SPACE, cond)
    toy = toys.Toy(objective, name)
    return perturb_weights(toys.build_networks(toy)["model"], 0.3).eval()


def uncached(
    network: nn.Module, cond: Condition | None, noise: Noise, controls: SamplingParams, room: int
) -> list[list[int]]:
    """The plainest sampler: read each row from its beginning for every symbol, alone."""
    written = []
    for i in range(len(noise)):
        context, own = list(controls.prompt_ids[i]), None if cond is None else cond.select_rows(slice(i, i + 1))
        for _ in range(room):
            logits = network(torch.tensor([context]), cond=own)[:, -1].float()
            choices = process_logits(logits, [np.array(context)], controls)
            symbol = int(noise.select_rows(slice(i, i + 1)).sample_tokens(choices, [np.array(context)]))
            context.append(symbol)
            if symbol == SPACE.eos:
                break
        row = context[len(controls.prompt_ids[i]) :]
        written.append(row + [SPACE.eos] * (room - len(row)))
    return written


@pytest.mark.parametrize("cond", CONDS, ids=str)
def test_cached_and_uncached_samples_are_the_same_symbols(toys, causal_network, cond):
    if causal_network == "recurrent" and cond.tokens:
        pytest.skip("a recurrent network reads no prompt states")
    network = network_of(toys, causal_network, cond)
    prompts = tuple(np.array([5, 0, 1, 2, 3][: 1 + i % 5]) for i in range(6))
    controls = SamplingParams(prompts, max_tokens=9, temperature=0.9, top_p=0.95, repetition_penalty=1.2)
    noise = Noise(4, tuple(range(10, 16)))
    _, _, given = random_inputs(NetworkSpec(SPACE, SPACE, is_causal=True, condition=cond), 6)
    with torch.no_grad():
        wanted = uncached(network, given, noise, controls, 9)
    *_, found = Autoregressive(SPACE, cond).sample({"model": network}, 6, given, noise, controls)
    assert found.tolist() == [row[: found.shape[1]] for row in wanted]
    assert len({tuple(row) for row in wanted}) > 3, "rows that are all alike would prove little"


class Says(nn.Module):
    """A stand-in network whose next-symbol logits are always the same; as its own memory it remembers nothing."""

    def __init__(self, logits: list[float]):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def init_cache(self, count: int, length: int) -> "Says":
        return self

    def select_rows(self, rows: Tensor) -> "Says":
        return self

    def forward(self, x: Tensor, cond: object = None, lengths: object = None, cache: object = None) -> Tensor:
        return self.logits.expand(*x.shape, -1)


LOGITS = [0.0, 1.0, 0.5, -1.0, -9.0, -9.0]


def write(count: int, logits: list[float] = LOGITS, **controls) -> Tensor:
    *_, last = Autoregressive(SPACE).sample(
        {"model": Says(logits)}, count, None, Noise(0, tuple(range(count))), SamplingParams(**controls)
    )
    return last


def test_samples_follow_the_softmax():
    first = write(3000, max_tokens=1)[:, 0]
    expected = 3000 * torch.tensor(LOGITS).softmax(0)
    counts = torch.bincount(first, minlength=6)
    assert float(((counts - expected) ** 2 / expected)[:4].sum()) < 16.3  # chi-square, 3 degrees, p = 0.001


@pytest.mark.parametrize("controls", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}], ids=str)
def test_the_likeliest_symbol_alone(controls):
    assert (write(20, max_tokens=6, **controls) == 1).all()


def test_any_of_the_stops_ends_a_row_and_the_others_go_on():
    free, bounded = write(40, max_tokens=8), write(40, max_tokens=8, eos_ids=(0, 2))
    for row, whole in zip(bounded.tolist(), free.tolist(), strict=True):
        end = next((i + 1 for i, symbol in enumerate(whole) if symbol in (0, 2)), len(whole))
        assert row == (whole[:end] + [SPACE.eos] * 8)[: bounded.shape[1]]


def test_a_stop_that_was_read_stays_as_likely_as_it_was():
    context = [np.array([5, 0, 1, 1])]
    free = process_logits(torch.tensor([LOGITS]), context, SamplingParams(repetition_penalty=2.0))
    bound = process_logits(torch.tensor([LOGITS]), context, SamplingParams(repetition_penalty=2.0, eos_ids=(1,)))
    assert (free[0, 1], bound[0, 1]) == (0.5, 1.0)


def test_temperature_sharpens():
    def share(t: float) -> float:
        return (write(1500, max_tokens=1, temperature=t) == 1).float().mean().item()

    assert share(0.5) == pytest.approx(float((2 * torch.tensor(LOGITS)).softmax(0)[1]), abs=0.04)
    assert share(2.0) == pytest.approx(float((torch.tensor(LOGITS) / 2).softmax(0)[1]), abs=0.04)


PROBS = torch.tensor([[0.4, 0.3, 0.15, 0.1, 0.05]])


@pytest.mark.parametrize(
    ("controls", "kept"),
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
        ({"top_k": 3, "top_p": 0.8}, {0, 1}),  # of the three that are left, two hold more than 0.8
        ({"suppressed_tokens": (0, 3)}, {1, 2, 4}),
        ({"suppressed_tokens": (0,), "top_k": 1}, {1}),
        ({"temperature": 0.5, "top_p": 0.8}, {0, 1}),  # sharpened first: 0.56, 0.32, …
    ],
    ids=str,
)
def test_exactly_the_right_symbols_are_kept(controls, kept):
    logits = PROBS.log()
    out = process_logits(logits, [np.array([0])], SamplingParams(**controls))
    assert set(out.isfinite().nonzero()[:, 1].tolist()) == kept
    assert torch.equal(logits, PROBS.log()), "narrowing must not change the logits it is given"
    left = out.softmax(1)[0, sorted(kept)]
    sharp = (PROBS ** (1 / controls.get("temperature", 1.0)))[0, sorted(kept)]
    assert torch.allclose(left, sharp / sharp.pooled_proj(), atol=1e-6)


def test_the_repetition_penalty_divides_what_is_above_zero_and_multiplies_what_is_below():
    out = process_logits(
        torch.tensor([[2.0, -1.0, 3.0, 0.5]]), [np.array([2, 0, 1, 1])], SamplingParams(repetition_penalty=1.5)
    )
    # The symbol at the very beginning, 2, starts the text and was not said.
    assert torch.allclose(out, torch.tensor([[2.0 / 1.5, -1.5, 3.0, 0.5]]))


def test_what_is_banned_is_never_written():
    assert not (write(300, max_tokens=8, suppressed_tokens=(1, 2)) == 1).any()
    assert not (write(300, max_tokens=8, suppressed_tokens=(1, 2)) == 2).any()


def test_a_row_that_has_ended_repeats_stop():
    rows = write(60, [0.0, 0.0, 0.0, 0.0, 0.5, -9.0], max_tokens=10)
    stops = rows == SPACE.eos
    after = stops.cumsum(1) > 0
    assert torch.equal(after, stops)
    assert 0 < stops.any(1).float().mean() <= 1
    assert not stops.all()


def test_sampling_ends_when_every_row_has():
    drafts = [
        draft.shape[1]
        for draft in Autoregressive(SPACE).sample(
            {"model": Says([-9.0, -9.0, -9.0, -9.0, 9.0, -9.0])},
            3,
            None,
            Noise(0, (0, 1, 2)),
            SamplingParams(max_tokens=8),
        )
    ]
    assert drafts == [1]


def test_the_caller_may_end_a_row():
    ended = np.zeros(3, dtype=bool)
    run = Autoregressive(SPACE).sample(
        {"model": Says([9.0, 0.0, 0.0, 0.0, -9.0, -9.0])},
        3,
        None,
        Noise(0, (0, 1, 2)),
        SamplingParams(max_tokens=4, is_finished=ended),
    )
    next(run)
    ended[1] = True
    *_, last = run
    assert last.tolist() == [[0, 0, 0, 0], [0, 4, 4, 4], [0, 0, 0, 0]]


def test_drafts_grow_by_a_symbol_up_to_the_length_of_the_space():
    drafts = list(
        Autoregressive(SPACE).sample(
            {"model": Says(LOGITS)}, 2, None, Noise(0, (0, 1)), SamplingParams(suppressed_tokens=(4,))
        )
    )
    assert [d.shape for d in drafts] == [(2, n) for n in range(1, 13)]
    assert all(torch.equal(a, b[:, :-1]) for a, b in pairwise(drafts))


def test_the_network_is_asked_once_for_each_symbol(toys):
    network, calls = network_of(toys, "recurrent", ConditionSpec()), []
    network.register_forward_hook(lambda *_: calls.append(1))
    *_, last = Autoregressive(SPACE).sample(
        {"model": network}, 2, None, Noise(0, (0, 1)), SamplingParams(max_tokens=5, suppressed_tokens=(SPACE.eos,))
    )
    assert last.shape == (2, 5)
    assert len(calls) == 5


def test_a_row_without_a_prompt_begins_as_a_document_does(toys):
    network = network_of(toys, "transformer", ConditionSpec())
    noise = Noise(0, (3, 4))

    def text(prompts: tuple) -> list:
        controls = SamplingParams(prompts, max_tokens=6)
        *_, last = Autoregressive(SPACE).sample({"model": network}, 2, None, noise, controls)
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
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        replace(SamplingParams(), **wrong)


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 6.0])
@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.9, 0.9999])
def test_top_p_ranks_as_many_as_it_needs(sharpness, top_p):
    logits = sharpness * torch.randn(3, 2000, generator=torch.Generator().manual_seed(0))
    ranked, order = logits.softmax(1).select(1, descending=True)
    outside = ranked.cumsum(1) - ranked >= top_p
    outside[:, 0] = False
    assert torch.equal(mask_outside_top_p(logits, top_p), torch.zeros_like(outside).scatter(1, order, outside))


def test_equal_prompts_are_read_once(toys):
    """What several outputs of one prompt share is computed once, and each goes on by itself."""
    network, read = network_of(toys, "transformer", ConditionSpec()), []
    network.register_forward_pre_hook(lambda _, given: read.append(given[0].shape))
    prompts = tuple(np.array(p) for p in ([5, 0, 1], [5, 2], [5, 0, 1], [5, 0, 1]))
    noise = Noise(4, (1, 2, 3, 4))
    controls = SamplingParams(prompts, max_tokens=6)
    *_, together = Autoregressive(SPACE).sample({"model": network}, 4, None, noise, controls)
    assert read[0] == (2, 3)
    for i, prompt in enumerate(prompts):
        alone = SamplingParams((prompt,), max_tokens=6)
        *_, found = Autoregressive(SPACE).sample({"model": network}, 1, None, noise.select_rows(slice(i, i + 1)), alone)
        assert found[0].tolist() == together[i].tolist()[: found.shape[1]]
