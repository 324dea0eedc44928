"""Solving the equation of a flow: orders of the solvers, known_values values, and the start of variations."""

from math import exp, prod

import pytest
import torch
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.noise import Noise
from genloom.objectives.flow import Flow, SamplerInputs, SamplingParams, renoise_samples
from genloom.objectives.solvers import SOLVERS
from genloom.testing import assert_close
from genloom.types import Batch, SignalSpace
from tests.toys import build_params

PICTURE = SignalSpace(2, (3, 4))
SIZE = (2, 3, 4)


class GaussianVelocity(nn.Module):
    """The exact velocity from noise to independent normal data with one mean and deviation."""

    def __init__(self, mean: float, deviation: float):
        super().__init__()
        self.moments = nn.Parameter(torch.tensor([mean, deviation]))
        self.num_calls = 0

    def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
        self.num_calls += 1
        mean, deviation = self.moments
        t = t.view(-1, *[1] * (x.ndim - 1))
        variance = (1 - t) ** 2 + (t * deviation) ** 2
        return mean + (t * deviation**2 - (1 - t)) / variance * (x - t * mean)


def sample(network: nn.Module, nonces: range = range(4), **params) -> list[Tensor]:
    noise = Noise(3, tuple(nonces))
    return list(
        Flow(PICTURE).sample({"model": network}, len(nonces), None, noise, build_params(SamplingParams, params))
    )


def solver_error(solver: str, steps: int) -> float:
    """The error at time 1/2 of x' = x from 1."""
    x, prev_step = torch.ones(1, 1, dtype=torch.float64), None
    for i in range(steps):
        x, _, prev_step = SOLVERS[solver](lambda x, t: x, x, i / steps / 2, (i + 1) / steps / 2, prev_step)
    return abs(float(x) - exp(0.5))


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("multistep", 2)])
def test_the_error_of_half_the_step_shows_the_order(solver, order):
    assert solver_error(solver, 16) / solver_error(solver, 32) == pytest.approx(2**order, rel=0.15)


@pytest.mark.parametrize(("solver", "num_calls"), [("euler", 8), ("heun", 15), ("multistep", 8)])
def test_cost_and_accuracy_of_each_solver(solver, num_calls):
    """For normal data, the exact solution is mean + deviation x noise."""
    network = GaussianVelocity(0.5, 2.0)
    *_, x = sample(network, steps=8, solver=solver)
    assert network.num_calls == num_calls
    expected = 0.5 + 2.0 * Noise(3, tuple(range(4))).normal(SIZE)
    assert (x - expected).abs().mean() < {"euler": 0.4, "heun": 0.05, "multistep": 0.15}[solver]


@pytest.mark.parametrize("resample_steps", [0, 2])
@pytest.mark.parametrize("solver", SOLVERS)
def test_known_values_are_kept_in_every_draft(solver, resample_steps):
    known_values = torch.arange(float(prod(SIZE))).view(SIZE)
    mask = torch.tensor([[1, 0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 0]]).bool()
    drafts = sample(
        GaussianVelocity(0.5, 2.0),
        steps=4,
        solver=solver,
        resample_steps=resample_steps,
        known_values=known_values,
        mask=mask,
    )
    unmasked = sample(GaussianVelocity(0.5, 2.0), steps=4, solver=solver)
    assert len(drafts) == 4
    for draft in drafts:
        assert torch.equal(draft[..., ~mask], known_values[..., ~mask].expand_as(draft[..., ~mask]))
    if not resample_steps:  # positions are independent in this distribution
        assert_close(drafts[-1][..., mask], unmasked[-1][..., mask], "the rest is as without known values")


def test_times_of_training_move_towards_the_noise():
    class RecordTimes(nn.Module):
        def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
            self.times = t
            return x

    network, batch = RecordTimes(), Batch(torch.zeros(64, *SIZE))
    times = {}
    for shift in (1.0, 4.0):
        objective = Flow(PICTURE, time_shift=shift)
        objective.loss({"model": network}, batch, objective.phases[0], Noise(3, tuple(range(64))))
        times[shift] = network.times
    assert_close(times[4.0], times[1.0] / (times[1.0] + 4 * (1 - times[1.0])), "shifted times")
    assert times[4.0].median() < 0.3 < times[1.0].median()
    with pytest.raises(GenloomError):
        Flow(PICTURE, time_shift=0)


def test_renoising_restores_the_distribution_of_its_time():
    """Data at a later time, noised back to t, have the mean and deviation of time t."""
    draw = Noise(0, (0, 1)).normal((20_000,))
    x = 0.75 * torch.full_like(draw[0], 2.0) + 0.25 * draw[0]
    renoised = renoise_samples(x, draw[1], t=0.25, t_next=0.75)
    assert float(renoised.mean()) == pytest.approx(0.25 * 2.0, abs=0.02)
    assert float(renoised.std()) == pytest.approx(0.75, rel=0.02)


def test_variations_start_from_the_initial_values():
    init_values, network = torch.full(SIZE, 4.0), GaussianVelocity(0.0, 1.0)
    distance = {
        s: (sample(network, init_values=init_values, strength=s)[-1] - init_values).abs().mean()
        for s in (0.0, 0.3, 0.6, 1.0)
    }
    assert distance[0.0] == 0
    assert distance[0.3] < distance[0.6] < distance[1.0]
    assert_close(
        sample(network, init_values=init_values, strength=1.0)[-1],
        sample(network)[-1],
        "the initial values are ignored",
    )
    inputs = SamplerInputs(init_values=init_values, strength=0.3)
    assert SamplingParams(steps=10, inputs=inputs).times[0] == pytest.approx(0.7)
    assert len(sample(network, init_values=init_values, strength=0.3, steps=10)) == 3


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "multistep"},
        {"known_values": torch.ones(SIZE), "mask": torch.eye(3, 4).bool(), "resample_steps": 1},
        {"init_values": torch.ones(SIZE), "strength": 0.5},
    ],
    ids=lambda c: "-".join(c),
)
def test_a_row_alone_equals_the_row_in_a_batch(params):
    *_, together = sample(GaussianVelocity(0.5, 2.0), range(4), steps=5, **params)
    for i in range(4):
        *_, alone = sample(GaussianVelocity(0.5, 2.0), range(i, i + 1), steps=5, **params)
        assert_close(alone, together[i : i + 1], "batch 4 = 4 x batch 1")
