"""The U-Net keeps the contracts of a network on grids of one and two axes, and refuses what it cannot be."""

from dataclasses import replace

import pytest
import torch

from genloom.networks import unet
from genloom.testing import assert_close, check_network, perturb_weights, random_inputs
from genloom.types import Condition, ConditionSpec, NetworkSpec, SignalSpace, TokenSpace

SMALL = unet.Config(
    width=8, channel_mult=(1, 2), num_res_blocks=1, attention_max_positions=8, head_width=4, norm_groups=4
)
PICTURE = SignalSpace(2, (4, 6))


@pytest.mark.parametrize("cond", [ConditionSpec(), ConditionSpec(tokens=5), ConditionSpec(5, 3, 1)], ids=str)
@pytest.mark.parametrize("timed", [False, True])
def test_it_keeps_the_contracts_of_a_network(cond, timed):
    role = NetworkSpec(PICTURE, SignalSpace(3, PICTURE.size), has_time=timed, condition=cond)
    check_network(unet.build(role, SMALL), role)


def test_it_refines_sounds_too():
    role = NetworkSpec(SignalSpace(1, (16,)), SignalSpace(1, (16,)), has_time=True, condition=ConditionSpec(tokens=4))
    check_network(unet.build(role, replace(SMALL, levels=(1, 1, 2), blocks=2)), role)


def test_a_prompt_of_no_words_is_no_prompt():
    role = NetworkSpec(PICTURE, PICTURE, has_time=True, condition=ConditionSpec(tokens=5))
    network, (x, t, _) = perturb_weights(unet.build(role, SMALL)), random_inputs(role, num_rows=3)
    silent = Condition(torch.zeros(3, 0, 5), torch.zeros(3, 0, dtype=torch.bool))
    assert_close(network(x, t, cond=silent), network(x, t), "no words")


@pytest.mark.parametrize(
    ("role", "config"),
    [
        (NetworkSpec(TokenSpace(4, 4), TokenSpace(4, 4)), SMALL),
        (NetworkSpec(SignalSpace(3), SignalSpace(3)), SMALL),
        (NetworkSpec(SignalSpace(3, (4, 4, 4)), SignalSpace(3, (4, 4, 4))), SMALL),
        (NetworkSpec(PICTURE, SignalSpace(2, (2, 3))), SMALL),
        (NetworkSpec(PICTURE, PICTURE), replace(SMALL, levels=(1, 1, 1))),
        (NetworkSpec(PICTURE, PICTURE), replace(SMALL, width=10)),
    ],
)
def test_what_it_cannot_be_is_refused(role, config):
    with pytest.raises(ValueError, match=r"another network|levels|head_width|axes"):
        unet.build(role, config)
