from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom.codecs.density import Codec, Config
from genloom.generate import engine
from genloom.generate.design.solver_guidance import SolverGuidance
from genloom.generate.editing import SamplerStart
from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.problem import Problem, build_empty_problem
from genloom.model import Design, Model
from genloom.noise import Noise
from genloom.objectives.flow import Flow, SamplingParams
from genloom.types import Condition, SignalSpace


def build_cantilever() -> Problem:
    problem = build_empty_problem((8, 12), 0.5)
    problem.fixed[:, 0] = True
    problem.forces[0, 4, 12] = (0, -1)
    return problem


class TowardsGrey(nn.Module):
    """A flow whose data are one design, grey throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor, cond: Condition | None = None, lengths: Tensor | None = None) -> Tensor:
        return (0 - x) / (1 - t.view(-1, 1, 1, 1)).clamp(min=1e-3)


def sample(network: nn.Module, steps: int = 8) -> np.ndarray:
    objective = Flow(SignalSpace(1, (8, 12)))
    *_, x = objective.sample({"model": network}, 2, None, Noise(0, (1, 2)), SamplingParams(steps=steps))
    return (x[0, 0].double().numpy() + 1).clip(0, 2) / 2


def test_guided_designs_are_stiffer() -> None:
    problem = build_cantilever()
    plain, guided = sample(TowardsGrey()), sample(SolverGuidance(TowardsGrey(), problem, 1.0))
    np.testing.assert_allclose(plain, 0.5, atol=1e-3)
    assert guided.mean() == pytest.approx(0.5, abs=0.02), "the volume stays"
    assert analyze(problem, guided).compliance < 0.9 * analyze(problem, plain).compliance


def test_before_its_start_and_without_weight_nothing_changes() -> None:
    problem = build_cantilever()
    plain = sample(TowardsGrey())
    for guided in (SolverGuidance(TowardsGrey(), problem, 0.0), SolverGuidance(TowardsGrey(), problem, 1.0, start=1.0)):
        np.testing.assert_array_equal(sample(guided), plain)


def test_rows_do_not_depend_on_each_other() -> None:
    guided = SolverGuidance(TowardsGrey(), build_cantilever(), 0.5)
    x = torch.randn(3, 1, 8, 12, generator=torch.Generator().manual_seed(0))
    together = guided(x, torch.full((3,), 0.75))
    alone = guided(x[1:2], torch.full((1,), 0.75))
    torch.testing.assert_close(together[1:2], alone)


@dataclass(frozen=True)
class GuidingEdit:
    """An edit that starts from noise and puts the solver around the network."""

    weight: float
    needs_start = False

    def prepare(self, model: Model, request: engine.Request) -> SamplerStart:
        return SamplerStart({}, wrap_network=lambda network: SolverGuidance(network, build_cantilever(), self.weight))

    def pack(self, medium: Any, save_blob: Any) -> dict[str, Any]:
        return {}


def test_an_edit_guides_the_request_by_the_solver() -> None:
    objective = Flow(SignalSpace(1, (8, 12)))
    design = Design("density", "flow", "unet", medium="design")
    model = Model("toy", Codec(Config((8, 12))), objective, nn.ModuleDict({"model": TowardsGrey()}), design)
    plain = engine.build_request([""], 1, 0, (), {"steps": 8}, False)
    compliances = [
        analyze(build_cantilever(), engine.run_request(model, request).values[0].density).compliance
        for request in (plain, replace(plain, edit=GuidingEdit(0.0)), replace(plain, edit=GuidingEdit(1.0)))
    ]
    assert compliances[0] == compliances[1]
    assert compliances[2] < 0.9 * compliances[0]
