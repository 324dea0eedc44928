"""A flow that is trained with holes: it is shown what is known, learns what is in the holes, and is shown it again."""

import pytest
import torch
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.objectives.flow import Flow, SamplerInputs, SamplingParams, draw_known
from genloom.types import Batch, SignalSpace
from tests.errors import raises_code

SPACE = SignalSpace(2, (8, 6))


class RecordInput(nn.Module):
    """Return no velocity, and keep the last input."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
        self.x, self.t = x, t
        return self.scale * x[:, : SPACE.channels]


def test_holes_are_boxes_in_the_share_of_rows_that_is_asked_for() -> None:
    known = draw_known(Noise(5, tuple(range(400))), SPACE.size, 0.4)
    has_holes = known.flatten(1).any(1)
    assert float(has_holes.float().mean()) == pytest.approx(0.4, abs=0.08)
    assert not known.flatten(1).all(1).any(), "something is left to generate"
    shares = known[has_holes].float().flatten(1).mean(1)
    assert float(shares.min()) < 0.4 < 0.7 < float(shares.max())
    assert torch.equal(known[:7], draw_known(Noise(5, tuple(range(7))), SPACE.size, 0.4)), "each row has its own draw"


def test_the_network_is_shown_what_is_known_and_learns_the_rest() -> None:
    objective, network = Flow(SPACE, fill_rate=1.0), RecordInput()
    spec = objective.network_specs["model"]
    assert isinstance(spec.input, SignalSpace)
    assert (spec.input.channels, spec.output) == (5, SPACE)
    x, noise = torch.randn(6, 2, 8, 6, generator=torch.manual_seed(0)), Noise(1, tuple(range(6)))
    loss = objective.loss({"model": network}, Batch(x), objective.phases[0], noise)
    is_known = network.x[:, 4:] == 1
    assert torch.equal(network.x[:, 2:4], x * is_known)
    error = (noise.normal(x.shape[1:], 0) - x).square() * ~is_known
    expected = error.flatten(1).sum(1) / (~is_known).expand_as(error).flatten(1).sum(1)
    assert torch.allclose(loss.per_sample, expected, atol=1e-5)


def test_sampling_shows_the_known_values_or_that_there_are_none() -> None:
    objective, network = Flow(SPACE, fill_rate=0.3), RecordInput()
    known, mask = torch.full((2, 8, 6), 3.0), torch.zeros(8, 6, dtype=torch.bool)
    mask[2:5, 1:3] = True
    params = SamplingParams(steps=2, inputs=SamplerInputs(known_values=known, mask=mask))
    *_, made = objective.sample({"model": network}, 2, None, Noise(0, (1, 2)), params)
    assert torch.equal(network.x[:, 4], (~mask).float().expand(2, 8, 6))
    assert (network.x[:, 2:4][..., ~mask] == 3).all()
    assert (network.x[:, 2:4][..., mask] == 0).all()
    assert (made[..., ~mask] == 3).all()
    *_, _ = objective.sample({"model": network}, 2, None, Noise(0, (1, 2)), SamplingParams(steps=2))
    assert (network.x[:, 2:] == 0).all()


def test_uniform_times_reach_both_ends() -> None:
    times = {}
    for name in ("logit-normal", "uniform"):
        network, objective = RecordInput(), Flow(SPACE, times=name)
        objective.loss(
            {"model": network}, Batch(torch.zeros(300, 2, 8, 6)), objective.phases[0], Noise(0, (*range(300),))
        )
        times[name] = network.t
    counts = torch.histc(times["uniform"], 5, 0, 1)
    assert counts.min() > 35
    assert torch.histc(times["logit-normal"], 5, 0, 1)[0] < 30
    with raises_code("objectives.bad_setting", name="times"):
        Flow(SPACE, times="late")
