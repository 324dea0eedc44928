"""The U-Net meets the contracts of a network on grids of one to three axes; other specs are errors."""

from dataclasses import replace

import pytest
import torch

from genloom.networks import unet
from genloom.testing import assert_close, check_network, draw_inputs, perturb_weights
from genloom.types import Condition, ConditionSpec, NetworkSpec, SignalSpace, TokenSpace
from tests.errors import raises_code

SMALL = unet.Config(
    width=8, channel_mult=(1, 2), num_res_blocks=1, attention_max_positions=8, head_width=4, norm_groups=4
)
IMAGE = SignalSpace(2, (4, 6))


@pytest.mark.parametrize("cond", [ConditionSpec(), ConditionSpec(tokens=5), ConditionSpec(5, 3, 1)], ids=str)
@pytest.mark.parametrize("has_time", [False, True])
def test_it_meets_the_contracts_of_a_network(cond, has_time):
    spec = NetworkSpec(IMAGE, SignalSpace(3, IMAGE.size), has_time=has_time, condition=cond)
    check_network(unet.build(spec, SMALL), spec)


@pytest.mark.parametrize("size", [(4, 6), (8,)], ids=str)
def test_a_critic_returns_the_mean_over_the_grid(size):
    spec = NetworkSpec(SignalSpace(2, size), SignalSpace(3), condition=ConditionSpec(field=2))
    check_network(unet.build(spec, SMALL), spec)


def test_it_reads_signals_of_one_axis():
    spec = NetworkSpec(SignalSpace(1, (16,)), SignalSpace(1, (16,)), has_time=True, condition=ConditionSpec(tokens=4))
    check_network(unet.build(spec, replace(SMALL, channel_mult=(1, 1, 2), num_res_blocks=2)), spec)


@pytest.mark.parametrize("strides", [(), (1, 2, 2)], ids=str)
def test_it_reads_signals_of_three_axes(strides):
    space = SignalSpace(2, (2, 4, 4))
    spec = NetworkSpec(space, space, has_time=True, condition=ConditionSpec(4, 2, 1))
    network = unet.build(spec, replace(SMALL, strides=strides))
    check_network(network, spec)
    assert network.downsamplers[0](torch.zeros(1, 8, 2, 4, 4)).shape[2] == (2 if strides else 1)


def test_an_empty_prompt_equals_no_prompt():
    spec = NetworkSpec(IMAGE, IMAGE, has_time=True, condition=ConditionSpec(tokens=5))
    network, (x, t, _) = perturb_weights(unet.build(spec, SMALL)), draw_inputs(spec, num_rows=3)
    empty = Condition(torch.zeros(3, 0, 5), torch.zeros(3, 0, dtype=torch.bool))
    assert_close(network(x, t, cond=empty), network(x, t), "an empty prompt")


@pytest.mark.parametrize(
    ("spec", "config", "code"),
    [
        (NetworkSpec(TokenSpace(4, 4), TokenSpace(4, 4)), SMALL, "unet_spaces"),
        (NetworkSpec(SignalSpace(3), SignalSpace(3)), SMALL, "unet_spaces"),
        (NetworkSpec(SignalSpace(3, (4,) * 4), SignalSpace(3, (4,) * 4)), SMALL, "unet_spaces"),
        (NetworkSpec(IMAGE, IMAGE), replace(SMALL, strides=(1, 2, 2)), "strides"),
        (NetworkSpec(IMAGE, SignalSpace(2, (2, 3))), SMALL, "unet_output"),
        (NetworkSpec(IMAGE, IMAGE), replace(SMALL, channel_mult=(1, 1, 1)), "unet_halvings"),
        (NetworkSpec(IMAGE, IMAGE), replace(SMALL, width=10), "unet_width"),
    ],
)
def test_an_unsupported_spec_or_size_is_an_error(spec, config, code):
    with raises_code(f"networks.{code}"):
        unet.build(spec, config)
