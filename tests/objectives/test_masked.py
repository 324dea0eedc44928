"""Writing the codes of a grid: the confidence first, few at the start, and all of them in the end."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.objectives.masked import GRID_STEPS, Masked, SamplingParams
from genloom.types import TokenSpace

CODES = TokenSpace(4, 13, bos=3, eos=3, grid=(3, 4))


class Surer(nn.Module):
    """A stand-in network that is the surer of symbol 1 the further on a position lies."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0]))

    def forward(self, x: Tensor, **_: object) -> Tensor:
        return self.logits * torch.arange(1.0, x.shape[1] + 1)[:, None].expand(*x.shape, 1)


def drawn(rows: range = range(4), **controls) -> list[Tensor]:
    noise = Noise(0, tuple(rows))
    return list(
        Masked(CODES).sample({"model": Surer()}, len(rows), None, noise, SamplingParams(max_tokens=12, **controls))
    )


def test_the_surest_are_written_first():
    for draft in drawn(steps=6, temperature=0.0, choice_temperature=0.0):
        for row in draft:
            hidden = (row < 0).nonzero().flatten().tolist()
            assert hidden == list(range(len(hidden)))


@pytest.mark.parametrize(
    "controls", [{}, {"order": "confidence", "steps": 5}, {"order": "random", "steps": 5}], ids=str
)
def test_all_is_written_in_so_many_steps(controls):
    drafts = drawn(**controls)
    assert len(drafts) == controls.get("steps", GRID_STEPS)
    left = [12, *((draft < 0).sum(1).tolist()[0] for draft in drafts)]
    assert left[-1] == 0
    for before, after in pairwise(drafts):  # what is written stays
        assert torch.equal(torch.where(before < 0, before, after), before)


def test_few_are_written_at_first_and_many_at_last():
    left = [int((draft < 0).sum()) for draft in drawn(rows=range(1), steps=4)]
    assert left == [11, 8, 4, 0]  # 12 cos(pi / 8) = 11.1, 12 cos(pi / 4) = 8.5, 12 cos(3 pi / 8) = 4.6


@pytest.mark.parametrize("order", ["confidence", "random"])
def test_a_row_written_alone_is_what_it_is_among_others(order):
    *_, together = drawn(steps=5, order=order, temperature=2.0)
    for i in range(4):
        *_, alone = drawn(range(i, i + 1), steps=5, order=order, temperature=2.0)
        assert torch.equal(alone, together[i : i + 1])


@pytest.mark.parametrize("wrong", [{"order": "best"}, {"choice_temperature": -1.0}])
def test_orders_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match=r"order|choice_temperature"):
        SamplingParams(**wrong)
