"""Solving a flow's equation: orders of the solvers, what is known stays, variations begin where they are told."""

from math import exp, prod

import pytest
import torch
from torch import Tensor, nn

from genloom.noise import Noise
from genloom.objectives.flow import Flow, SamplingParams, renoise
from genloom.objectives.solvers import SOLVERS
from genloom.testing import assert_close
from genloom.types import SignalSpace

PICTURE = SignalSpace(2, (3, 4))
SIZE = (2, 3, 4)


class Spread(nn.Module):
    """The velocity that carries noise to independent normal data of one mean and deviation, which is known exactly."""

    def __init__(self, mean: float, deviation: float):
        super().__init__()
        self.law = nn.Parameter(torch.tensor([mean, deviation]))
        self.asked = 0

    def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
        self.asked += 1
        mean, deviation = self.law
        t = t.view(-1, *[1] * (x.ndim - 1))
        variance = (1 - t) ** 2 + (t * deviation) ** 2
        return mean + (t * deviation**2 - (1 - t)) / variance * (x - t * mean)


def drawn(network: nn.Module, nonces: range = range(4), **controls) -> list[Tensor]:
    noise = Noise(3, tuple(nonces))
    return list(Flow(PICTURE).sample({"model": network}, len(nonces), None, noise, SamplingParams(**controls)))


def solved(solver: str, steps: int) -> float:
    """The error at time 1/2 of x' = x from 1."""
    x, last = torch.ones(1, 1, dtype=torch.float64), None
    for i in range(steps):
        x, _, last = SOLVERS[solver](lambda x, t: x, x, i / steps / 2, (i + 1) / steps / 2, last)
    return abs(float(x) - exp(0.5))


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("multistep", 2)])
def test_halving_the_steps_shows_the_order(solver, order):
    assert solved(solver, 16) / solved(solver, 32) == pytest.approx(2**order, rel=0.15)


@pytest.mark.parametrize(("solver", "asked"), [("euler", 8), ("heun", 15), ("multistep", 8)])
def test_what_a_step_costs_and_where_it_leads(solver, asked):
    """Normal data: the exact solution is mean + deviation x noise."""
    network = Spread(0.5, 2.0)
    *_, x = drawn(network, steps=8, solver=solver)
    assert network.asked == asked
    wanted = 0.5 + 2.0 * Noise(3, tuple(range(4))).normal(SIZE)
    assert (x - wanted).abs().mean() < {"euler": 0.4, "heun": 0.05, "multistep": 0.15}[solver]


@pytest.mark.parametrize("resample_steps", [0, 2])
@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_known_is_kept_in_every_draft(solver, again):
    known = torch.arange(float(prod(SIZE))).view(SIZE)
    mask = torch.tensor([[1, 0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 0]]).bool()
    drafts = drawn(Spread(0.5, 2.0), steps=4, solver=solver, resample_steps=again, known_values=known, mask=mask)
    plain = drawn(Spread(0.5, 2.0), steps=4, solver=solver)
    assert len(drafts) == 4
    for draft in drafts:
        assert torch.equal(draft[..., ~mask], known[..., ~mask].expand_as(draft[..., ~mask]))
    if not again:  # places are independent in this world
        assert_close(drafts[-1][..., mask], plain[-1][..., mask], "the rest is what it would be by itself")


def test_a_step_taken_back_has_the_spread_of_its_time():
    """Noised data at t, seen at a later time and taken back to t: the same mean and deviation."""
    draw = Noise(0, (0, 1)).normal((20_000,))
    x = 0.75 * torch.full_like(draw[0], 2.0) + 0.25 * draw[0]
    back = renoise(x, draw[1], t=0.25, t_next=0.75)
    assert float(back.mean()) == pytest.approx(0.25 * 2.0, abs=0.02)
    assert float(back.std()) == pytest.approx(0.75, rel=0.02)


def test_variations_begin_where_they_are_told():
    start, network = torch.full(SIZE, 4.0), Spread(0.0, 1.0)
    moved = {s: (drawn(network, init_values=start, strength=s)[-1] - start).abs().mean() for s in (0.0, 0.3, 0.6, 1.0)}
    assert moved[0.0] == 0
    assert moved[0.3] < moved[0.6] < moved[1.0]
    assert_close(drawn(network, init_values=start, strength=1.0)[-1], drawn(network)[-1], "all of it is forgotten")
    assert SamplingParams(init_values=start, strength=0.3, steps=10).times[0] == pytest.approx(0.7)
    assert len(drawn(network, init_values=start, strength=0.3, steps=10)) == 3


@pytest.mark.parametrize(
    "controls",
    [
        {"solver": "multistep"},
        {"known_values": torch.ones(SIZE), "mask": torch.eye(3, 4).bool(), "resample_steps": 1},
        {"init_values": torch.ones(SIZE), "strength": 0.5},
    ],
    ids=lambda c: "-".join(c),
)
def test_a_row_drawn_alone_is_what_it_is_among_others(controls):
    *_, together = drawn(Spread(0.5, 2.0), range(4), steps=5, **controls)
    for i in range(4):
        *_, alone = drawn(Spread(0.5, 2.0), range(i, i + 1), steps=5, **controls)
        assert_close(alone, together[i : i + 1], "batch 4 = 4 x batch 1")
