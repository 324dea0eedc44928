"""Generating the codes of a grid: the most confident first, few at the start, and all in the end."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genloom.networks import transformer
from genloom.noise import Noise
from genloom.objectives import autoregressive, masked
from genloom.objectives.masked import GRID_STEPS, Masked, SamplingParams
from genloom.testing import perturb_weights
from genloom.types import TokenSpace
from tests.errors import raises_code

CODES = TokenSpace(4, 13, bos=3, eos=3, grid=(3, 4))


class ConfidenceByPosition(nn.Module):
    """A stand-in network whose confidence in token 1 increases with the position."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0]))

    def forward(self, x: Tensor, **_: object) -> Tensor:
        return self.logits * torch.arange(1.0, x.shape[1] + 1)[:, None].expand(*x.shape, 1)


def sample(rows: range = range(4), **params) -> list[Tensor]:
    noise = Noise(0, tuple(rows))
    return list(
        Masked(CODES).sample(
            {"model": ConfidenceByPosition()}, len(rows), None, noise, SamplingParams(max_tokens=12, **params)
        )
    )


def test_the_most_confident_are_generated_first():
    for draft in sample(steps=6, temperature=0.0, choice_temperature=0.0):
        for row in draft:
            masked_positions = (row < 0).nonzero().flatten().tolist()
            assert masked_positions == list(range(len(masked_positions)))


@pytest.mark.parametrize("params", [{}, {"order": "confidence", "steps": 5}, {"order": "random", "steps": 5}], ids=str)
def test_all_tokens_are_generated_in_the_given_steps(params):
    drafts = sample(**params)
    assert len(drafts) == params.get("steps", GRID_STEPS)
    num_masked = [12, *((draft < 0).sum(1).tolist()[0] for draft in drafts)]
    assert num_masked[-1] == 0
    for before, after in pairwise(drafts):  # generated tokens stay
        assert torch.equal(torch.where(before < 0, before, after), before)


def test_few_tokens_are_generated_at_first_and_many_at_last():
    num_masked = [int((draft < 0).sum()) for draft in sample(rows=range(1), steps=4)]
    assert num_masked == [11, 8, 4, 0]  # 12 cos(pi / 8) = 11.1, 12 cos(pi / 4) = 8.5, 12 cos(3 pi / 8) = 4.6


@pytest.mark.parametrize("order", ["confidence", "random"])
def test_a_row_alone_equals_the_row_in_a_batch(order):
    *_, together = sample(steps=5, order=order, temperature=2.0)
    for i in range(4):
        *_, alone = sample(range(i, i + 1), steps=5, order=order, temperature=2.0)
        assert torch.equal(alone, together[i : i + 1])


def test_an_unknown_order_is_refused():
    with raises_code("objectives.unknown_order", order="best"):
        SamplingParams(order="best")


def test_a_negative_choice_temperature_is_refused():
    with raises_code("objectives.bad_setting", name="choice_temperature", value=-1.0):
        SamplingParams(choice_temperature=-1.0)


@pytest.mark.parametrize("module", [masked.Masked, autoregressive.Autoregressive], ids=lambda cls: cls.__name__)
def test_a_grid_of_another_size_is_that_of_a_model_built_for_it(module):
    """The weights know no grid, so that a model of codes of small images makes large ones."""
    config = transformer.Config(width=16, depth=1, heads=2)

    def sample_grid(space: TokenSpace, network: nn.Module, **params) -> Tensor:
        kind: Any = masked if module is Masked else autoregressive
        inputs = kind.SamplerInputs(suppressed_tokens=(CODES.bos,))
        sampling = kind.SamplingParams(inputs=inputs, **params)
        *_, last = module(space).sample({"model": network}, 2, None, Noise(0, (1, 2)), sampling)
        return last

    larger = replace(CODES, context_length=31, grid=(5, 6))
    network, large_network = (
        perturb_weights(transformer.build(module(space).network_specs["model"], config)).eval()
        for space in (CODES, larger)
    )
    large_network.load_state_dict(network.state_dict())
    expected = sample_grid(larger, large_network, max_tokens=30)
    assert torch.equal(sample_grid(CODES, network, size=(5, 6)), expected)
    assert expected.shape == (2, 30)
    with raises_code("objectives.size_axes", size=(5,)):
        sample_grid(CODES, network, size=(5,))
    with raises_code("objectives.size_axes"):
        sample_grid(replace(CODES, grid=()), network, size=(5,))
