"""The patch transformer keeps the contracts of a network, and its own: patches, places, prompts of no words."""

from dataclasses import replace

import pytest
import torch

from genloom.networks import dit
from genloom.objectives.flow import Flow
from genloom.testing import agree, check_network, example, stirred
from genloom.train.loop import Plan, State
from genloom.types import Cond, Condition, Role, Signal, Tokens

SMALL = dit.Config(width=16, depth=3, head_width=8)
PICTURE = Signal(2, (4, 6))


@pytest.mark.parametrize("cond", [Cond(), Cond(tokens=5), Cond(vector=3), Cond(5, 3, 1)], ids=str)
@pytest.mark.parametrize("timed", [False, True])
def test_it_keeps_the_contracts_of_a_network(cond, timed):
    role = Role(PICTURE, Signal(3, PICTURE.size), timed=timed, cond=cond)
    check_network(dit.build(role, SMALL), role)


@pytest.mark.parametrize("size", [(8,), (4, 4, 2)])
def test_it_reads_grids_of_any_axes(size):
    role = Role(Signal(2, size), Signal(2, size), timed=True, cond=Cond(tokens=4))
    check_network(dit.build(role, replace(SMALL, width=24, head_width=12)), role)


def test_patches_are_joined_again():
    role = Role(PICTURE, PICTURE)
    network, (x, _, _) = dit.build(role, SMALL), example(role, rows=3)
    assert torch.equal(network.joined(network.cut(x, None)), x)


def test_an_eighth_of_the_features_comes_from_each_neighbour():
    h = torch.arange(1.0, 13).view(1, 12, 1).expand(1, 12, 16)  # two words, then two rows of five patches
    blend = dit.blended(h, (2, 5))
    assert torch.equal(blend[:, :2], h[:, :2])
    at = blend[0, 2:].view(2, 5, 16)[1, 3]  # the patch 11: above it is 6, left of it 10, right of it 12
    assert at.tolist() == [6, 6, 0, 0, 10, 10, 12, 12, *[11] * 8]


def test_a_prompt_of_no_words_is_no_prompt():
    role = Role(PICTURE, PICTURE, timed=True, cond=Cond(tokens=5))
    network, (x, t, _) = stirred(dit.build(role, SMALL)), example(role, rows=3)
    silent = Condition(torch.zeros(3, 0, 5), torch.zeros(3, 0, dtype=torch.bool))
    agree(network(x, t, cond=silent), network(x, t), "no words")


def test_the_order_of_words_counts():
    role = Role(PICTURE, PICTURE, timed=True, cond=Cond(tokens=5))
    network, (x, t, cond) = stirred(dit.build(role, SMALL)), example(role, rows=3)
    assert cond.tokens is not None
    told, back = replace(cond, mask=None), Condition(cond.tokens.flip(1))
    assert (network(x, t, cond=told) - network(x, t, cond=back)).abs().max() > 1e-3


def test_muon_has_the_matrices_inside_and_adam_the_rest():
    flow = Flow(PICTURE, Cond(tokens=5))
    parts = torch.nn.ModuleDict({"model": dit.build(flow.roles["model"], SMALL)})
    optimizer = State.fresh(parts, flow, Plan()).optimizers["model"]
    by_muon = {name.removeprefix("model.") for name in optimizer.momenta}
    assert {"modulate.weight", "states.read.weight", "blocks.0.qkv.weight", "blocks.2.down.weight"} <= by_muon
    assert not {"enter.weight", "head.weight", "places.weight", "blocks.0.changes", "skips.0"} & by_muon


@pytest.mark.parametrize(
    ("role", "config"),
    [
        (Role(Tokens(4, 4), Tokens(4, 4)), SMALL),
        (Role(Signal(3), Signal(3)), SMALL),
        (Role(PICTURE, Signal(2, (2, 3))), SMALL),
        (Role(PICTURE, PICTURE), replace(SMALL, patch=3)),
        (Role(PICTURE, PICTURE), replace(SMALL, width=20)),
        (Role(PICTURE, PICTURE), replace(SMALL, head_width=2)),
        (Role(PICTURE, PICTURE), replace(SMALL, head_width=0)),
    ],
)
def test_what_it_cannot_be_is_refused(role, config):
    with pytest.raises(ValueError, match=r"another network|patch|head_width|on a grid"):
        dit.build(role, config)
