"""Shortcut models: the targets of jumps, the flow they start from, and the possible numbers of steps."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from genloom.networks import dit
from genloom.noise import Noise, build_training_noise
from genloom.objectives.flow import Flow, SamplerInputs
from genloom.objectives.shortcut import JumpInputs, SamplingParams, Shortcut
from genloom.testing import assert_close, draw_inputs, perturb_weights
from genloom.types import Batch, Condition, ConditionSpec, SignalSpace
from tests.errors import raises_code
from tests.toys import build_params

VECTOR, IMAGE = SignalSpace(2), SignalSpace(2, (4, 4))
CONDITION = Condition(vector=torch.eye(3)[torch.arange(8) % 3])
POINTS = torch.tensor([[1.5, -0.5], [0.0, 2.0], [-1.0, -1.0]])


class StraightLines(nn.Module):
    """All lines lead to the point of the condition, or without one to the first point; levels have no effect."""

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Parameter(POINTS)

    def forward(self, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        assert cond.vector is not None
        choice = cond.vector[:, :3]
        choice = torch.where(choice.any(1, keepdim=True), choice, torch.eye(3)[:1])
        return (choice @ self.points.float() - x) / (1 - t)[:, None]


def test_straight_lines_are_their_own_shortcuts():
    """If the velocity is constant along each line, it is that of jumps of any length, and the loss is zero."""
    shortcut = Shortcut(VECTOR, ConditionSpec(vector=3), guidance_scale=1.0)
    loss = shortcut.loss(
        {"model": StraightLines()},
        Batch(POINTS[torch.arange(8) % 3], CONDITION),
        shortcut.phases[0],
        build_training_noise(0, 0, 0, 8),
    )
    assert_close(loss.per_sample.detach(), torch.zeros(8), "a perfect model")


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 2.5])
def test_the_shortest_jumps_follow_the_guided_velocity(guidance_scale):
    """With guidance, a line leads to a point between the two points, again with a constant velocity."""
    shortcut = Shortcut(VECTOR, ConditionSpec(vector=3), guidance_scale=guidance_scale)
    x, t, level = torch.randn(8, 2), torch.full((8,), 0.25), torch.full((8,), 3)
    point = POINTS[0] + guidance_scale * (POINTS[torch.arange(8) % 3] - POINTS[0])
    mean = shortcut.bootstrap_target({"model": StraightLines()}, JumpInputs(x, t, level, CONDITION))
    assert_close(mean, (point - x) / 0.75, "the guided velocity")


class SumNetwork(nn.Module):
    """The sum of x, the time and the level."""

    def forward(self, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        assert cond.vector is not None
        return x + t[:, None] + cond.vector @ torch.arange(4.0)[:, None]


def test_a_longer_jump_is_the_mean_of_two_half_jumps():
    shortcut, jumps = Shortcut(VECTOR), {"model": SumNetwork()}
    x, t, level = torch.randn(3, 2), torch.tensor([0.0, 0.25, 0.5]), torch.tensor([0, 1, 1])
    half = torch.tensor([0.5, 0.25, 0.25])[:, None]
    first = x + t[:, None] + (level[:, None] + 1)
    second = (x + half * first) + (t[:, None] + half) + (level[:, None] + 1)
    assert_close(shortcut.bootstrap_target(jumps, JumpInputs(x, t, level)), (first + second) / 2, "equation 5")


def test_without_a_jump_the_network_is_the_flow():
    """The networks of a flow and of shortcuts differ only by the vector of the jump's level."""
    flow, shortcut = Flow(IMAGE, ConditionSpec(tokens=5)), Shortcut(IMAGE, ConditionSpec(tokens=5))
    config = dit.Config(width=16, depth=2, head_width=8)
    model = perturb_weights(dit.build(flow.network_specs["model"], config)).eval()
    shortcut_network = dit.build(shortcut.network_specs["model"], config).eval()
    missing, unexpected = shortcut_network.load_state_dict(model.state_dict(), strict=False)
    assert (missing, unexpected) == (["mod_embed.vector.weight"], [])
    x, t, cond = draw_inputs(flow.network_specs["model"], num_rows=3)
    assert t is not None
    no_jump, jump = (torch.full((3,), level) for level in (-1, 2))
    assert_close(
        shortcut.jump_velocity({"model": shortcut_network}, JumpInputs(x, t, no_jump, cond)),
        model(x, t, cond=cond),
        "the flow's velocity",
    )
    assert not torch.allclose(
        shortcut.jump_velocity({"model": shortcut_network}, JumpInputs(x, t, jump, cond)), model(x, t, cond=cond)
    )


def test_a_teacher_gives_the_targets_and_is_not_trained():
    """With a teacher, all samples train jumps; a student that equals the teacher has a loss of zero."""
    shortcut = Shortcut(VECTOR, ConditionSpec(vector=3), guidance_scale=1.0).with_teacher({"model": StraightLines()})
    batch, noise = Batch(POINTS[torch.arange(8) % 3], CONDITION), build_training_noise(0, 0, 0, 8)
    loss = shortcut.loss({"model": StraightLines()}, batch, shortcut.phases[0], noise)
    assert_close(loss.per_sample.detach(), torch.zeros(8), "a perfect model")
    student = StraightLines()
    with torch.no_grad():
        student.points.add_(1)
    level = torch.full((8,), shortcut.num_levels - 1)
    x, t = torch.randn(8, 2), torch.full((8,), 0.25)
    mean = shortcut.bootstrap_target({"model": student}, JumpInputs(x, t, level, CONDITION))
    assert torch.allclose(mean, (batch.x - x) / 0.75, atol=0.05)  # it has 16 bits
    assert not next(shortcut.teacher["model"].parameters()).requires_grad


def sample(**params) -> list[Tensor]:
    noise = Noise(3, tuple(range(8)))
    return list(
        Shortcut(VECTOR, ConditionSpec(vector=3)).sample(
            {"model": StraightLines()}, 8, CONDITION, noise, build_params(SamplingParams, params)
        )
    )


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_any_number_of_jumps_leads_to_the_data(steps):
    drafts = sample(steps=steps)
    assert len(drafts) == steps
    assert_close(drafts[-1], POINTS[torch.arange(8) % 3], "each line leads to its point")


def test_known_values_are_kept_and_variations_start_at_a_step():
    known_values = torch.tensor([7.0, 8.0])
    for draft in sample(known_values=known_values, mask=torch.tensor([False, True]), resample_steps=1):
        assert (draft[:, 0] == 7).all()
    assert SamplingParams(inputs=SamplerInputs(init_values=known_values, strength=0.6)).times == [0.5, 0.75, 1.0]
    assert SamplingParams(inputs=SamplerInputs(init_values=known_values, strength=0.0)).times == [0.75, 1.0]
    assert len(sample(init_values=known_values, strength=0.5)) == 2


@pytest.mark.parametrize(
    ("code", "name", "build"),
    [
        ("steps_not_power_of_two", None, lambda: SamplingParams(steps=3)),
        ("steps_above_trained", None, lambda: sample(steps=16)),
        ("bad_setting", "resample_steps", lambda: SamplingParams(resample_steps=-1)),
        ("bad_setting", "strength", lambda: SamplerInputs(strength=2.0)),
        ("mask_without_known_values", None, lambda: SamplerInputs(mask=torch.ones(2))),
        ("bad_setting", "num_levels", lambda: Shortcut(VECTOR, num_levels=2)),  # its default of four steps needs three
        ("bad_setting", "flow_fraction", lambda: Shortcut(VECTOR, flow_fraction=1.5)),
        ("bad_setting", "guidance_scale", lambda: replace(Shortcut(VECTOR), guidance_scale=-1.0)),
    ],
)
def test_impossible_settings_are_refused(code, name, build):
    with raises_code(f"objectives.{code}", name=name):
        build()
