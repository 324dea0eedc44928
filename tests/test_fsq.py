"""Finite scalar quantisation: codes and indices convert both ways, zero is a code, gradients pass."""

from math import prod

import pytest
import torch

from genloom.fsq import check_levels, codes_to_indices, indices_to_codes, quantize
from tests.errors import raises_code

LEVELS = [(8, 8, 8), (7, 5, 5), (2, 3, 4)]


@pytest.mark.parametrize("levels", LEVELS, ids=str)
def test_every_index_is_one_code(levels):
    codes = torch.arange(prod(levels))[:, None]
    points = indices_to_codes(codes, levels)
    assert torch.equal(codes_to_indices(points, levels), codes)
    assert points.abs().max() <= 1
    assert len({tuple(p) for p in points.flatten(1).tolist()}) == len(codes)


@pytest.mark.parametrize("levels", LEVELS, ids=str)
def test_any_numbers_become_codes_and_all_levels_are_used(levels):
    x = 4 * torch.randn(2000, len(levels), 2, 3, generator=torch.Generator().manual_seed(0))
    points = quantize(x, levels)
    codes = codes_to_indices(points, levels)
    assert torch.allclose(indices_to_codes(codes, levels), points)
    assert (quantize(torch.zeros(1, len(levels)), levels) == 0).all()
    for channel, level in enumerate(levels):
        assert len(points[:, channel].unique()) == level


def test_the_gradient_is_straight_through():
    x = torch.tensor([[0.3, -0.2]], requires_grad=True)
    quantize(x, (5, 5)).sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, (1 - torch.tanh(x.detach()) ** 2) * 4 * 1.001 / 2 / 2)


@pytest.mark.parametrize("wrong", [(), (1, 4), (256, 256)], ids=str)
def test_invalid_levels_are_refused(wrong):
    with raises_code("core.bad_fsq_levels", levels=list(wrong)):
        check_levels(wrong)
