"""The mark in designs: read on the grid that they were drawn on, under the goals that they hold."""

from pathlib import Path

import numpy as np
import pytest

import genloom as gl
from genloom import noise as noise_module
from genloom.media import design
from genloom.media.design.structure import Structure
from genloom.model import load_model
from genloom.store.workspace import Workspace
from genloom.trust import signal_marks
from genloom.trust.marks import find_mark
from genloom.trust.signal_marks import read_signals
from tests.design.test_generation import SIDE, WORDS, build_design_model

POOL = 1 << 8


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(noise_module, "SIGNAL_POOL_SIZE", POOL)
    monkeypatch.setattr(signal_marks, "SIGNAL_POOL_SIZE", POOL)
    signal_marks.build_pool.cache_clear()
    workspace = Workspace(tmp_path)
    build_design_model(workspace, (SIDE, SIDE))
    return workspace


def test_a_drawn_design_is_found_without_its_metadata(workspace: Workspace) -> None:
    model = gl.Workspace(workspace.root).model("parts")
    (marked,) = model.generate(n=1, goal=WORDS, refine=0, budget=1, seed=1)
    (plain,) = model.generate(n=1, goal=WORDS, refine=0, budget=1, seed=1, is_marked=False)
    values = [design.decode(design.encode(output.value)) for output in (marked, plain)]
    assert values[0].density.shape != (SIDE, SIDE)
    reports = [find_mark(workspace, "design", value, is_fast=True) for value in values]
    assert [report.is_found for report in reports] == [True, False]
    assert reports[0].output == marked.id


def test_a_design_is_read_as_it_was_drawn(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(workspace, "parts")
    (output,) = gl.Workspace(workspace.root).model("parts").generate(n=1, goal=WORDS, refine=0, budget=1, seed=1)
    x, cond = read_signals(model, [output.value], {}, 1)
    assert cond is not None
    assert cond.field is not None
    assert x.shape[2:] == cond.field.shape[2:] != (SIDE, SIDE)
    assert np.isclose(x.mean(), 2 * output.value.density.mean() - 1, atol=0.01)
    monkeypatch.setattr("genloom.conditioners.goals.build_fields", fail)
    for value in (Structure(output.value.levels), output.value):  # without goals, and with goals that nothing fulfils
        x, cond = read_signals(model, [value], {}, 1)
        assert x.shape[2:] == (SIDE, SIDE)
        assert cond is not None
        assert cond.field is not None
        assert not cond.field.any()


def fail(problem: object) -> None:
    raise RuntimeError("the matrix is singular")
