"""Convolutions map between grids whose sides have a ratio of 1, 2, 4 … and to and from vectors, on 1 to 3 axes."""

from dataclasses import replace

import pytest
import torch

from genloom.networks.convolution import Config, build, plan_strides, resize_config
from genloom.testing import check_network, draw_inputs, perturb_weights
from genloom.types import ConditionSpec, NetworkSpec, SignalSpace, TokenSpace
from tests.errors import raises_code

IMAGE, GRID, OBLONG = SignalSpace(3, (16, 16)), SignalSpace(4, (4, 4)), SignalSpace(1, (4, 8))
WAVE, CLIP = SignalSpace(2, (32,)), SignalSpace(3, (4, 8, 8))
SMALL = Config(width=4)
VIDEO = replace(SMALL, strides=(1, 2, 2))


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec(IMAGE, GRID, condition=ConditionSpec(vector=2, field=1)),
        NetworkSpec(GRID, IMAGE, condition=ConditionSpec(tokens=3, vector=2)),
        NetworkSpec(IMAGE, SignalSpace(1), condition=ConditionSpec(tokens=2)),
        NetworkSpec(SignalSpace(5), IMAGE, condition=ConditionSpec(vector=2)),
        NetworkSpec(IMAGE, SignalSpace(1, (16, 16))),
        NetworkSpec(SignalSpace(2), OBLONG),
        NetworkSpec(OBLONG, SignalSpace(2)),
        NetworkSpec(OBLONG, SignalSpace(2, (4, 2))),
        NetworkSpec(WAVE, SignalSpace(3, (8,)), condition=ConditionSpec(tokens=3, field=1)),
        NetworkSpec(SignalSpace(3, (8,)), WAVE, condition=ConditionSpec(vector=2)),
        NetworkSpec(WAVE, SignalSpace(1)),
        NetworkSpec(SignalSpace(5), WAVE),
        NetworkSpec(CLIP, SignalSpace(2, (2, 2, 2)), condition=ConditionSpec(vector=2, field=1)),
        NetworkSpec(SignalSpace(2, (4, 4, 2)), CLIP),
        NetworkSpec(SignalSpace(2), CLIP),
        NetworkSpec(CLIP, SignalSpace(2), condition=ConditionSpec(tokens=2)),
    ],
    ids=str,
)
def test_it_meets_the_contracts_of_a_network(spec):
    check_network(build(spec, SMALL), spec)


@pytest.mark.parametrize("spec", [NetworkSpec(CLIP, SignalSpace(1)), NetworkSpec(SignalSpace(2), CLIP)], ids=str)
def test_strides_by_axis_lead_to_a_vector(spec):
    network = build(spec, VIDEO)
    check_network(network, spec)
    assert network.min_size == (4, 4, 4)
    assert build(spec, SMALL).min_size == (4, 8, 8)  # the default halves all axes together


def test_an_axis_with_fewer_halvings_is_halved_next_to_the_smaller_grid():
    assert plan_strides((8, 32, 32), (4, 4, 4), ()) == [(1, 2, 2), (1, 2, 2), (2, 2, 2)]
    assert plan_strides((4, 8), (4, 8), ()) == []
    assert plan_strides((4, 64, 64), (), (1, 2, 2)) == [(1, 2, 2)] * 4
    assert plan_strides((64, 64), (), ()) == [(2, 2)] * 4


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (NetworkSpec(SignalSpace(2), SignalSpace(3)), "convolution_axes"),
        (NetworkSpec(SignalSpace(1, (2, 2, 2, 2)), SignalSpace(1)), "convolution_axes"),
        (NetworkSpec(IMAGE, SignalSpace(3, (4,))), "convolution_ratio"),
        (NetworkSpec(IMAGE, SignalSpace(3, (5, 5))), "convolution_ratio"),
        (NetworkSpec(IMAGE, SignalSpace(3, (4, 6))), "convolution_ratio"),
        (NetworkSpec(IMAGE, IMAGE, has_time=True), "convolution_time"),
        (NetworkSpec(IMAGE, TokenSpace(3, 4)), "convolution_spaces"),
    ],
    ids=str,
)
def test_an_unsupported_spec_is_an_error(spec, code):
    with raises_code(f"networks.{code}"):
        build(spec, Config())


@pytest.mark.parametrize("strides", [(2,), (1, 1), (2, 3)], ids=str)
def test_strides_must_fit_the_axes(strides):
    with raises_code("networks.strides", grid=IMAGE.size):
        build(NetworkSpec(IMAGE, SignalSpace(1)), Config(strides=strides))


def test_the_same_weights_serve_a_larger_image():
    """Between grids nothing depends on the size, so that a decoder also accepts a latent of another size."""
    spec = NetworkSpec(GRID, IMAGE)
    network = build(spec, SMALL)
    assert network(torch.zeros(1, 4, 6, 2)).shape == (1, 3, 24, 8)


def test_forward_features_gives_a_map_of_each_size():
    spec = NetworkSpec(IMAGE, SignalSpace(1))
    network = perturb_weights(build(spec, SMALL)).eval()
    x, _, _ = draw_inputs(spec, 2)
    features = network.forward_features(x)
    assert [tuple(h.shape[2:]) for h in features] == [(8, 8), (4, 4)]
    assert not torch.equal(network.forward_features(x + 1)[-1], features[-1])


def test_widths_grow_with_the_model_size_and_explicit_settings_win():
    small, large = (resize_config({"up_blocks": 5}, width, depth, 2) for width, depth in ((64, 2), (768, 14)))
    assert small["width"] < large["width"]
    assert small["up_blocks"] == large["up_blocks"] == 5
