"""Shortcuts: what their jumps are taught, what they keep of a flow they begin with, and the steps they can take."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from genloom.networks import dit
from genloom.noise import Noise, build_training_noise
from genloom.objectives.flow import Flow
from genloom.objectives.shortcut import SamplingParams, Shortcut
from genloom.testing import assert_close, perturb_weights, random_inputs
from genloom.types import Batch, Condition, ConditionSpec, SignalSpace

VECTOR, PICTURE = SignalSpace(2), SignalSpace(2, (4, 4))
TOLD = Condition(vector=torch.eye(3)[torch.arange(8) % 3])
POINTS = torch.tensor([[1.5, -0.5], [0.0, 2.0], [-1.0, -1.0]])


class Towards(nn.Module):
    """All lines lead to the point that the condition names, and without one to the first; levels change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Parameter(POINTS)

    def forward(self, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        assert cond.vector is not None
        named = cond.vector[:, :3]
        named = torch.where(named.any(1, keepdim=True), named, torch.eye(3)[:1])
        return (named @ self.points.float() - x) / (1 - t)[:, None]


def test_straight_lines_are_their_own_shortcuts():
    """Where the velocity never changes along its way, jumps of any length have it, and the loss is zero."""
    shortcut = Shortcut(VECTOR, ConditionSpec(vector=3), guidance_scale=1.0)
    loss = shortcut.loss(
        {"model": Towards()},
        Batch(POINTS[torch.arange(8) % 3], TOLD),
        shortcut.phases[0],
        build_training_noise(0, 0, 0, 8),
    )
    assert_close(loss.per_sample.detach(), torch.zeros(8), "nothing is left to learn")


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_the_shortest_jumps_follow_the_guided_way(guidance):
    """Guided, a line leads to the point between the two points; along it the velocity is constant again."""
    shortcut = Shortcut(VECTOR, ConditionSpec(vector=3), guidance_scale=guidance)
    x, t, level = torch.randn(8, 2), torch.full((8,), 0.25), torch.full((8,), 3)
    point = POINTS[0] + guidance * (POINTS[torch.arange(8) % 3] - POINTS[0])
    mean = shortcut.bootstrap_target({"model": Towards()}, x, t, level, TOLD)
    assert_close(mean, (point - x) / 0.75, "the guided velocity")


class Sum(nn.Module):
    """Of x, the time and the level."""

    def forward(self, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        assert cond.vector is not None
        return x + t[:, None] + cond.vector @ torch.arange(4.0)[:, None]


def test_longer_jumps_are_two_of_half_the_length():
    shortcut, jumps = Shortcut(VECTOR), {"model": Sum()}
    x, t, level = torch.randn(3, 2), torch.tensor([0.0, 0.25, 0.5]), torch.tensor([0, 1, 1])
    half = torch.tensor([0.5, 0.25, 0.25])[:, None]
    first = x + t[:, None] + (level[:, None] + 1)
    second = (x + half * first) + (t[:, None] + half) + (level[:, None] + 1)
    assert_close(shortcut.bootstrap_target(jumps, x, t, level, None), (first + second) / 2, "equation 5")


def test_a_flow_is_kept_where_no_jump_is_asked_for():
    """The networks of a flow and of shortcuts differ by the vector that says how long a jump is."""
    flow, shortcut = Flow(PICTURE, ConditionSpec(tokens=5)), Shortcut(PICTURE, ConditionSpec(tokens=5))
    config = dit.Config(width=16, depth=2, head_width=8)
    model = perturb_weights(dit.build(flow.network_specs["model"], config)).eval()
    around = dit.build(shortcut.network_specs["model"], config).eval()
    missing, unexpected = around.load_state_dict(model.state_dict(), strict=False)
    assert (missing, unexpected) == (["inform.vector.weight"], [])
    x, t, cond = random_inputs(flow.network_specs["model"], num_rows=3)
    assert t is not None
    no_jump, a_jump = (torch.full((3,), level) for level in (-1, 2))
    assert_close(
        shortcut.jump_velocity({"model": around}, x, t, no_jump, cond), model(x, t, cond=cond), "the flow's velocity"
    )
    assert not torch.allclose(shortcut.jump_velocity({"model": around}, x, t, a_jump, cond), model(x, t, cond=cond))


def test_a_teacher_shows_the_way_and_stays_as_it_was():
    """With one, all samples teach jumps: those of a student that knows its teacher's straight lines cost nothing."""
    shortcut = Shortcut(VECTOR, ConditionSpec(vector=3), guidance_scale=1.0).with_teacher({"model": Towards()})
    batch, noise = Batch(POINTS[torch.arange(8) % 3], TOLD), build_training_noise(0, 0, 0, 8)
    loss = shortcut.loss({"model": Towards()}, batch, shortcut.phases[0], noise)
    assert_close(loss.per_sample.detach(), torch.zeros(8), "nothing is left to learn")
    astray = Towards()
    with torch.no_grad():
        astray.points.add_(1)
    level = torch.full((8,), shortcut.num_levels - 1)
    x, t = torch.randn(8, 2), torch.full((8,), 0.25)
    mean = shortcut.bootstrap_target({"model": astray}, x, t, level, TOLD)
    assert torch.allclose(mean, (batch.x - x) / 0.75, atol=0.05)  # it has 16 bits
    assert not next(shortcut.teacher["model"].parameters()).requires_grad


def drawn(**controls) -> list[Tensor]:
    noise = Noise(3, tuple(range(8)))
    return list(
        Shortcut(VECTOR, ConditionSpec(vector=3)).sample(
            {"model": Towards()}, 8, TOLD, noise, SamplingParams(**controls)
        )
    )


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_so_many_jumps_lead_to_the_data(steps):
    drafts = drawn(steps=steps)
    assert len(drafts) == steps
    assert_close(drafts[-1], POINTS[torch.arange(8) % 3], "each line leads to its point")


def test_what_is_known_is_kept_and_variations_begin_at_a_step():
    known = torch.tensor([7.0, 8.0])
    for draft in drawn(known_values=known, mask=torch.tensor([False, True]), resample_steps=1):
        assert (draft[:, 0] == 7).all()
    assert SamplingParams(init_values=known, strength=0.6).times == [0.5, 0.75, 1.0]
    assert SamplingParams(init_values=known, strength=0.0).times == [0.75, 1.0]
    assert len(drawn(init_values=known, strength=0.5)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SamplingParams(steps=3),
        lambda: drawn(steps=16),
        lambda: SamplingParams(resample_steps=-1),
        lambda: SamplingParams(strength=2.0),
        lambda: SamplingParams(mask=torch.ones(2)),
        lambda: Shortcut(VECTOR, num_levels=2),  # four steps, its own default, would be too many
        lambda: Shortcut(VECTOR, flow_fraction=1.5),
        lambda: replace(Shortcut(VECTOR), guidance_scale=-1.0),
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"steps|again|mask|levels"):
        wrong()
