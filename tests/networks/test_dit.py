"""The diffusion transformer meets the contracts of a network and its own: patches, shifts, empty prompts."""

from dataclasses import replace
from math import prod

import pytest
import torch

from genloom.networks import dit
from genloom.objectives.flow import Flow
from genloom.testing import assert_close, check_network, draw_inputs, perturb_weights
from genloom.train.loop import TrainConfig, TrainState
from genloom.types import Condition, ConditionSpec, NetworkSpec, SignalSpace, TokenSpace
from tests.errors import raises_code

SMALL = dit.Config(width=16, depth=3, head_width=8)
IMAGE = SignalSpace(2, (4, 6))


@pytest.mark.parametrize(
    "cond", [ConditionSpec(), ConditionSpec(tokens=5), ConditionSpec(vector=3), ConditionSpec(5, 3, 1)], ids=str
)
@pytest.mark.parametrize("has_time", [False, True])
def test_it_meets_the_contracts_of_a_network(cond, has_time):
    spec = NetworkSpec(IMAGE, SignalSpace(3, IMAGE.size), has_time=has_time, condition=cond)
    check_network(dit.build(spec, SMALL), spec)


@pytest.mark.parametrize(("size", "head_width"), [((8,), 12), ((4, 4, 2), 12), ((4, 4, 2), 8)])
def test_it_reads_grids_of_any_number_of_axes(size, head_width):
    spec = NetworkSpec(SignalSpace(2, size), SignalSpace(2, size), has_time=True, condition=ConditionSpec(tokens=4))
    check_network(dit.build(spec, replace(SMALL, width=24, head_width=head_width)), spec)


@pytest.mark.parametrize(
    ("size", "patch_sizes", "grid"), [((4, 6), (), (2, 3)), ((4, 6), (4, 1), (1, 6)), ((3, 4, 8), (1, 2, 4), (3, 2, 2))]
)
def test_unpatchify_inverts_patchify(size, patch_sizes, grid):
    spec = NetworkSpec(SignalSpace(2, size), SignalSpace(2, size))
    network = dit.build(spec, replace(SMALL, width=24, head_width=12, patch_sizes=patch_sizes))
    x, _, _ = draw_inputs(spec, num_rows=3)
    patches = network.patchify(x, None)
    assert patches.shape[1] == prod(grid)
    assert torch.equal(network.unpatchify(patches), x)
    check_network(network, spec)


@pytest.mark.parametrize("positions", ["interpolated", "rotary"])
def test_positions_of_another_grid(positions):
    spec = NetworkSpec(IMAGE, IMAGE, has_time=True, condition=ConditionSpec(tokens=5))
    network = perturb_weights(dit.build(spec, replace(SMALL, positions=positions))).eval()
    check_network(network, spec)
    larger = NetworkSpec(
        replace(IMAGE, size=(8, 6)), replace(IMAGE, size=(8, 6)), has_time=True, condition=spec.condition
    )
    check_network(network.at_size((8, 6)), larger)
    x, t, cond = draw_inputs(spec, 2)
    assert torch.equal(network.at_size((8, 6)).at_size(IMAGE.size)(x, t, cond=cond), network(x, t, cond=cond))
    assert ("pos_embed.weight" in network.state_dict()) == (positions == "interpolated")


def test_interpolated_positions_have_the_weights_of_learned_ones():
    spec = NetworkSpec(IMAGE, IMAGE)
    learned, interpolated = (dit.build(spec, replace(SMALL, positions=p)) for p in ("learned", "interpolated"))
    interpolated.load_state_dict(learned.state_dict())
    x, _, _ = draw_inputs(spec, 2)
    assert torch.equal(interpolated(x), learned(x))
    weight = torch.arange(6.0).view(6, 1)  # two rows of three patches
    doubled = interpolated.at_size((4, 12)).compute_pos_embed(weight).view(2, 6)
    assert_close(doubled[0], torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2]), "linear along the second axis")


def test_learned_positions_are_those_of_one_grid():
    network = dit.build(NetworkSpec(IMAGE, IMAGE), replace(SMALL, positions="learned"))
    with raises_code("networks.size_is_fixed", size=(8, 6)):
        network.at_size((8, 6))
    with raises_code("networks.patch_size"):
        network.at_size((5, 6))


def test_an_eighth_of_the_features_comes_from_each_neighbour():
    h = torch.arange(1.0, 13).view(1, 12, 1).expand(1, 12, 16)  # two prompt states, then two rows of five patches
    shifted = dit.shift_patches(h, (2, 5))
    assert torch.equal(shifted[:, :2], h[:, :2])
    patch = shifted[0, 2:].view(2, 5, 16)[1, 3]  # patch 11: its neighbours are 6 above, 10 on the left, 12 on the right
    assert patch.tolist() == [6, 6, 0, 0, 10, 10, 12, 12, *[11] * 8]


def test_an_empty_prompt_equals_no_prompt():
    spec = NetworkSpec(IMAGE, IMAGE, has_time=True, condition=ConditionSpec(tokens=5))
    network, (x, t, _) = perturb_weights(dit.build(spec, SMALL)), draw_inputs(spec, num_rows=3)
    empty = Condition(torch.zeros(3, 0, 5), torch.zeros(3, 0, dtype=torch.bool))
    assert_close(network(x, t, cond=empty), network(x, t), "an empty prompt")


def test_the_order_of_prompt_states_matters():
    spec = NetworkSpec(IMAGE, IMAGE, has_time=True, condition=ConditionSpec(tokens=5))
    network, (x, t, cond) = perturb_weights(dit.build(spec, SMALL)), draw_inputs(spec, num_rows=3)
    assert cond.tokens is not None
    forward, backward = replace(cond, mask=None), Condition(cond.tokens.flip(1))
    assert (network(x, t, cond=forward) - network(x, t, cond=backward)).abs().max() > 1e-3


def test_muon_trains_the_inner_matrices_and_adam_the_rest():
    flow = Flow(IMAGE, ConditionSpec(tokens=5))
    parts = torch.nn.ModuleDict({"model": dit.build(flow.network_specs["model"], SMALL)})
    optimizer = TrainState.from_parts(parts, flow, TrainConfig()).optimizers["model"]
    by_muon = {name.removeprefix("model.") for name in optimizer.momenta}
    assert {
        "modulation.weight",
        "prompt_proj.states_proj.weight",
        "blocks.0.qkv.weight",
        "blocks.2.down.weight",
    } <= by_muon
    assert not {"in_proj.weight", "head.weight", "pos_embed.weight", "blocks.0.scale_shift_table", "skips.0"} & by_muon


@pytest.mark.parametrize(
    ("spec", "config", "code"),
    [
        (NetworkSpec(TokenSpace(4, 4), TokenSpace(4, 4)), SMALL, "dit_spaces"),
        (NetworkSpec(SignalSpace(3), SignalSpace(3)), SMALL, "dit_spaces"),
        (NetworkSpec(IMAGE, SignalSpace(2, (2, 3))), SMALL, "dit_output"),
        (NetworkSpec(IMAGE, IMAGE), replace(SMALL, patch_size=3), "patch_size"),
        (NetworkSpec(IMAGE, IMAGE), replace(SMALL, patch_sizes=(1, 2, 2)), "patch_size"),
        (NetworkSpec(IMAGE, IMAGE), replace(SMALL, positions="absolute"), "dit_positions"),
        (NetworkSpec(IMAGE, IMAGE), replace(SMALL, width=20), "dit_width"),
        (NetworkSpec(IMAGE, IMAGE), replace(SMALL, head_width=2), "dit_width"),
        (NetworkSpec(IMAGE, IMAGE), replace(SMALL, head_width=0), "dit_sizes"),
    ],
)
def test_an_unsupported_spec_or_size_is_an_error(spec, config, code):
    with raises_code(f"networks.{code}"):
        dit.build(spec, config)
