"""A plug-in's objective that is derived from Autoregressive is treated as one: prompts in the studio, and export."""

from dataclasses import replace
from pathlib import Path

import pytest

from genloom import plugins
from genloom.exchange.exporter import to_exportable
from genloom.model import load_model
from genloom.model.design import get_objective_class
from genloom.objectives.autoregressive import Autoregressive
from genloom.plugins import find_part, list_part_names
from genloom.server.studio.models import is_autoregressive
from genloom.store.workspace import Workspace
from tests.errors import raises_code
from tests.exchange.small_models import create_own

DERIVED = """
from dataclasses import dataclass
from genloom.objectives.autoregressive import Autoregressive, SamplingParams

@dataclass(frozen=True)
class Derived(Autoregressive):
    label_smoothing: float = 0.0
"""


@pytest.fixture
def derived_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an objective that an installed package adds."""
    monkeypatch.setattr(plugins, "_remembered_entry_points", None)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "derived_loss.py").write_text(DERIVED)
    info = tmp_path / "derived_loss-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: derived_loss\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[genloom.objectives]\nderived = derived_loss\n")
    is_autoregressive.cache_clear()
    return "derived"


def test_the_studio_knows_objectives_by_their_class(derived_name: str) -> None:
    assert is_autoregressive(derived_name)
    for name in list_part_names("objective"):
        assert is_autoregressive(name) is issubclass(get_objective_class(name), Autoregressive), name
    assert not is_autoregressive("unknown")


def test_a_model_with_a_derived_objective_is_exported(derived_name: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    create_own(workspace)
    model = load_model(workspace, "own/1")
    space = model.codec.space
    objective = find_part("objective", derived_name).Derived(space)
    changed = replace(model, objective=objective, design=replace(model.design, objective=derived_name))
    assert to_exportable(workspace, changed).model is changed
    masked = find_part("objective", "masked").Masked(space)
    with raises_code("exchange.not_a_transformer", objective="masked"):
        to_exportable(workspace, replace(model, objective=masked, design=replace(model.design, objective="masked")))
