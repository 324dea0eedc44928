"""A flow model turned into a few-step model: the same networks with another input, and distilled guidance."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from genloom.generate.engine import build_request, run_request
from genloom.model import Model, load_model
from genloom.store.workspace import Workspace
from genloom.train.post_training import replace_objective


@pytest.fixture(scope="module")
def few(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Model:
    workspace = Workspace(tmp_path_factory.mktemp("few"))
    worlds.create_blots(workspace, 16)
    model = load_model(workspace, "blots")
    return replace_objective(
        model, replace(model.design, objective="shortcut", objective_settings={"guidance_scale": 2.0})
    )


def generate_images(model: Model, **params: object) -> np.ndarray:
    return np.stack(run_request(model, build_request(("a fox",), 2, 0, (), params, False)).values)


def test_a_flow_becomes_a_few_step_model(few: Model) -> None:
    assert np.array_equal(generate_images(few), generate_images(few, steps=4))
    assert not np.array_equal(generate_images(few), generate_images(few, steps=1))


@pytest.mark.parametrize(
    "params", [{"guidance_scale": 3.0}, {"negative_prompt": "moon"}, {"steps": 3}, {"steps": 16}], ids=str
)
def test_unsupported_settings_are_refused(few: Model, params: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(params))):
        generate_images(few, **params)
