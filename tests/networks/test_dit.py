"""The patch transformer keeps the contracts of a network, and its own: patches, places, prompts of no words."""

from dataclasses import replace

import pytest
import torch

from genloom.networks import dit
from genloom.objectives.flow import Flow
from genloom.testing import assert_close, check_network, perturb_weights, random_inputs
from genloom.train.loop import TrainConfig, TrainState
from genloom.types import Condition, ConditionSpec, NetworkSpec, SignalSpace, TokenSpace

SMALL = dit.Config(width=16, depth=3, head_width=8)
PICTURE = SignalSpace(2, (4, 6))


@pytest.mark.parametrize(
    "cond", [ConditionSpec(), ConditionSpec(tokens=5), ConditionSpec(vector=3), ConditionSpec(5, 3, 1)], ids=str
)
@pytest.mark.parametrize("timed", [False, True])
def test_it_keeps_the_contracts_of_a_network(cond, timed):
    role = NetworkSpec(PICTURE, SignalSpace(3, PICTURE.size), has_time=timed, condition=cond)
    check_network(dit.build(role, SMALL), role)


@pytest.mark.parametrize("size", [(8,), (4, 4, 2)])
def test_it_reads_grids_of_any_axes(size):
    role = NetworkSpec(SignalSpace(2, size), SignalSpace(2, size), has_time=True, condition=ConditionSpec(tokens=4))
    check_network(dit.build(role, replace(SMALL, width=24, head_width=12)), role)


def test_patches_are_joined_again():
    role = NetworkSpec(PICTURE, PICTURE)
    network, (x, _, _) = dit.build(role, SMALL), random_inputs(role, num_rows=3)
    assert torch.equal(network.unpatchify(network.patchify(x, None)), x)


def test_an_eighth_of_the_features_comes_from_each_neighbour():
    h = torch.arange(1.0, 13).view(1, 12, 1).expand(1, 12, 16)  # two words, then two rows of five patches
    blend = dit.shift_patches(h, (2, 5))
    assert torch.equal(blend[:, :2], h[:, :2])
    at = blend[0, 2:].view(2, 5, 16)[1, 3]  # the patch 11: above it is 6, left of it 10, right of it 12
    assert at.tolist() == [6, 6, 0, 0, 10, 10, 12, 12, *[11] * 8]


def test_a_prompt_of_no_words_is_no_prompt():
    role = NetworkSpec(PICTURE, PICTURE, has_time=True, condition=ConditionSpec(tokens=5))
    network, (x, t, _) = perturb_weights(dit.build(role, SMALL)), random_inputs(role, num_rows=3)
    silent = Condition(torch.zeros(3, 0, 5), torch.zeros(3, 0, dtype=torch.bool))
    assert_close(network(x, t, cond=silent), network(x, t), "no words")


def test_the_order_of_words_counts():
    role = NetworkSpec(PICTURE, PICTURE, has_time=True, condition=ConditionSpec(tokens=5))
    network, (x, t, cond) = perturb_weights(dit.build(role, SMALL)), random_inputs(role, num_rows=3)
    assert cond.tokens is not None
    told, back = replace(cond, mask=None), Condition(cond.tokens.flip(1))
    assert (network(x, t, cond=told) - network(x, t, cond=back)).abs().max() > 1e-3


def test_muon_has_the_matrices_inside_and_adam_the_rest():
    flow = Flow(PICTURE, ConditionSpec(tokens=5))
    parts = torch.nn.ModuleDict({"model": dit.build(flow.network_specs["model"], SMALL)})
    optimizer = TrainState.from_parts(parts, flow, TrainConfig()).optimizers["model"]
    by_muon = {name.removeprefix("model.") for name in optimizer.momenta}
    assert {"modulate.weight", "states.read.weight", "blocks.0.qkv.weight", "blocks.2.down.weight"} <= by_muon
    assert not {"in_proj.weight", "head.weight", "pos_embed.weight", "blocks.0.changes", "skips.0"} & by_muon


@pytest.mark.parametrize(
    ("role", "config"),
    [
        (NetworkSpec(TokenSpace(4, 4), TokenSpace(4, 4)), SMALL),
        (NetworkSpec(SignalSpace(3), SignalSpace(3)), SMALL),
        (NetworkSpec(PICTURE, SignalSpace(2, (2, 3))), SMALL),
        (NetworkSpec(PICTURE, PICTURE), replace(SMALL, patch=3)),
        (NetworkSpec(PICTURE, PICTURE), replace(SMALL, width=20)),
        (NetworkSpec(PICTURE, PICTURE), replace(SMALL, head_width=2)),
        (NetworkSpec(PICTURE, PICTURE), replace(SMALL, head_width=0)),
    ],
)
def test_what_it_cannot_be_is_refused(role, config):
    with pytest.raises(ValueError, match=r"another network|patch|head_width|on a grid"):
        dit.build(role, config)
