"""A flow made a model of few steps: the same networks and a vector more, and guidance that it has learned."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from genloom.generate.engine import build_request, run_request
from genloom.model import Model, load_model
from genloom.noise import NUM_SIGNAL_NONCES
from genloom.store.workspace import Workspace
from genloom.train.finetune import replace_objective


@pytest.fixture(scope="module")
def few(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Model:
    workspace = Workspace(tmp_path_factory.mktemp("few"))
    worlds.blots(workspace, 16)
    model = load_model(workspace, "blots")
    return replace_objective(
        model, replace(model.design, objective="shortcut", objective_settings={"guidance_scale": 2.0})
    )


def pictures(model: Model, **controls: object) -> np.ndarray:
    return np.stack(run_request(model, build_request(("a fox",), 2, 0, (), controls, NUM_SIGNAL_NONCES)).values)


def test_a_flow_becomes_a_model_of_few_steps(few: Model) -> None:
    assert np.array_equal(pictures(few), pictures(few, steps=4))
    assert not np.array_equal(pictures(few), pictures(few, steps=1))


@pytest.mark.parametrize("controls", [{"guidance": 3.0}, {"negative": "moon"}, {"steps": 3}, {"steps": 16}], ids=str)
def test_what_it_has_not_learned_is_refused(few: Model, controls: dict) -> None:
    with pytest.raises(ValueError, match=r"no setting|power of two|has learned up to"):
        pictures(few, **controls)
