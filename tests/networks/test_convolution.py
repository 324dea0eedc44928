"""Convolutions lead between grids of a ratio of two and to and from vectors, in every role and by the contracts."""

import pytest
import torch

from genloom.networks.convolution import Config, build, sized
from genloom.testing import check_network, example, stirred
from genloom.types import Cond, Role, Signal, Tokens

PICTURE, GRID, OBLONG = Signal(3, (16, 16)), Signal(4, (4, 4)), Signal(1, (4, 8))
SMALL = Config(width=4)


@pytest.mark.parametrize(
    "role",
    [
        Role(PICTURE, GRID, cond=Cond(vector=2, field=1)),
        Role(GRID, PICTURE, cond=Cond(tokens=3, vector=2)),
        Role(PICTURE, Signal(1), cond=Cond(tokens=2)),
        Role(Signal(5), PICTURE, cond=Cond(vector=2)),
        Role(PICTURE, Signal(1, (16, 16))),
        Role(Signal(2), OBLONG),
        Role(OBLONG, Signal(2)),
    ],
    ids=str,
)
def test_contracts(role):
    check_network(build(role, SMALL), role)


@pytest.mark.parametrize(
    "role",
    [
        Role(Signal(2), Signal(3)),
        Role(Signal(1, (4,)), Signal(1, (4,))),
        Role(PICTURE, Signal(3, (5, 5))),
        Role(PICTURE, Signal(3, (4, 8))),
        Role(PICTURE, PICTURE, timed=True),
        Role(PICTURE, Tokens(3, 4)),
    ],
    ids=str,
)
def test_a_role_that_they_cannot_fill_is_refused(role):
    with pytest.raises(ValueError, match=r"choose|asked to map"):
        build(role, Config())


def test_a_larger_picture_goes_through_the_same_weights():
    """Between grids nothing depends on the size, so that a decoder also serves a halved latent."""
    role = Role(GRID, PICTURE)
    network = build(role, SMALL)
    assert network(torch.zeros(1, 4, 6, 2)).shape == (1, 3, 24, 8)


def test_features_are_what_the_output_is_made_of():
    role = Role(PICTURE, Signal(1))
    network = stirred(build(role, SMALL)).eval()
    x, _, _ = example(role, 2)
    found = network.features(x)
    assert [tuple(h.shape[2:]) for h in found] == [(8, 8), (4, 4)]
    assert not torch.equal(network.features(x + 1)[-1], found[-1])


def test_sizes_grow_with_the_ladder_and_what_is_set_stays():
    small, large = (sized({"grow": 5}, width, depth, 2) for width, depth in ((64, 2), (768, 14)))
    assert small["width"] < large["width"]
    assert small["grow"] == large["grow"] == 5
