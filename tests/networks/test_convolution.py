"""Convolutions lead between grids of a ratio of two and to and from vectors, in every role and by the contracts."""

import pytest
import torch

from genloom.networks.convolution import Config, build, resize_config
from genloom.testing import check_network, perturb_weights, random_inputs
from genloom.types import ConditionSpec, NetworkSpec, SignalSpace, TokenSpace

PICTURE, GRID, OBLONG = SignalSpace(3, (16, 16)), SignalSpace(4, (4, 4)), SignalSpace(1, (4, 8))
SMALL = Config(width=4)


@pytest.mark.parametrize(
    "role",
    [
        NetworkSpec(PICTURE, GRID, condition=ConditionSpec(vector=2, field=1)),
        NetworkSpec(GRID, PICTURE, condition=ConditionSpec(tokens=3, vector=2)),
        NetworkSpec(PICTURE, SignalSpace(1), condition=ConditionSpec(tokens=2)),
        NetworkSpec(SignalSpace(5), PICTURE, condition=ConditionSpec(vector=2)),
        NetworkSpec(PICTURE, SignalSpace(1, (16, 16))),
        NetworkSpec(SignalSpace(2), OBLONG),
        NetworkSpec(OBLONG, SignalSpace(2)),
    ],
    ids=str,
)
def test_contracts(role):
    check_network(build(role, SMALL), role)


@pytest.mark.parametrize(
    "role",
    [
        NetworkSpec(SignalSpace(2), SignalSpace(3)),
        NetworkSpec(SignalSpace(1, (4,)), SignalSpace(1, (4,))),
        NetworkSpec(PICTURE, SignalSpace(3, (5, 5))),
        NetworkSpec(PICTURE, SignalSpace(3, (4, 8))),
        NetworkSpec(PICTURE, PICTURE, has_time=True),
        NetworkSpec(PICTURE, TokenSpace(3, 4)),
    ],
    ids=str,
)
def test_a_role_that_they_cannot_fill_is_refused(role):
    with pytest.raises(ValueError, match=r"choose|asked to map"):
        build(role, Config())


def test_a_larger_picture_goes_through_the_same_weights():
    """Between grids nothing depends on the size, so that a decoder also serves a halved latent."""
    role = NetworkSpec(GRID, PICTURE)
    network = build(role, SMALL)
    assert network(torch.zeros(1, 4, 6, 2)).shape == (1, 3, 24, 8)


def test_features_are_what_the_output_is_made_of():
    role = NetworkSpec(PICTURE, SignalSpace(1))
    network = perturb_weights(build(role, SMALL)).eval()
    x, _, _ = random_inputs(role, 2)
    found = network.forward_features(x)
    assert [tuple(h.shape[2:]) for h in found] == [(8, 8), (4, 4)]
    assert not torch.equal(network.forward_features(x + 1)[-1], found[-1])


def test_sizes_grow_with_the_ladder_and_what_is_set_stays():
    small, large = (resize_config({"up_blocks": 5}, width, depth, 2) for width, depth in ((64, 2), (768, 14)))
    assert small["width"] < large["width"]
    assert small["up_blocks"] == large["up_blocks"] == 5
