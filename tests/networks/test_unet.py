"""The U-Net keeps the contracts of a network on grids of one and two axes, and refuses what it cannot be."""

from dataclasses import replace

import pytest
import torch

from genloom.networks import unet
from genloom.testing import agree, check_network, example, stirred
from genloom.types import Cond, Condition, Role, Signal, Tokens

SMALL = unet.Config(width=8, levels=(1, 2), blocks=1, attention=8, head_width=4, groups=4)
PICTURE = Signal(2, (4, 6))


@pytest.mark.parametrize("cond", [Cond(), Cond(tokens=5), Cond(5, 3, 1)], ids=str)
@pytest.mark.parametrize("timed", [False, True])
def test_it_keeps_the_contracts_of_a_network(cond, timed):
    role = Role(PICTURE, Signal(3, PICTURE.size), timed=timed, cond=cond)
    check_network(unet.build(role, SMALL), role)


def test_it_refines_sounds_too():
    role = Role(Signal(1, (16,)), Signal(1, (16,)), timed=True, cond=Cond(tokens=4))
    check_network(unet.build(role, replace(SMALL, levels=(1, 1, 2), blocks=2)), role)


def test_a_prompt_of_no_words_is_no_prompt():
    role = Role(PICTURE, PICTURE, timed=True, cond=Cond(tokens=5))
    network, (x, t, _) = stirred(unet.build(role, SMALL)), example(role, rows=3)
    silent = Condition(torch.zeros(3, 0, 5), torch.zeros(3, 0, dtype=torch.bool))
    agree(network(x, t, cond=silent), network(x, t), "no words")


@pytest.mark.parametrize(
    ("role", "config"),
    [
        (Role(Tokens(4, 4), Tokens(4, 4)), SMALL),
        (Role(Signal(3), Signal(3)), SMALL),
        (Role(Signal(3, (4, 4, 4)), Signal(3, (4, 4, 4))), SMALL),
        (Role(PICTURE, Signal(2, (2, 3))), SMALL),
        (Role(PICTURE, PICTURE), replace(SMALL, levels=(1, 1, 1))),
        (Role(PICTURE, PICTURE), replace(SMALL, width=10)),
    ],
)
def test_what_it_cannot_be_is_refused(role, config):
    with pytest.raises(ValueError, match=r"another network|levels|head_width|axes"):
        unet.build(role, config)
