"""A workspace with a small chat model and an untrained image model, shared by the tests of the engine."""

from pathlib import Path
from types import ModuleType

import pytest

from genloom.api.workspace import Workspace


@pytest.fixture(scope="session")
def engine_workspace(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Models: `tales`, which was tuned on conversations, as its card says, `masks`, and `blots` of images."""
    store = worlds.serving_workspace(tmp_path_factory.mktemp("serving"))
    return Workspace(store.root)


@pytest.fixture
def folder(engine_workspace: Workspace) -> Path:
    return engine_workspace.folder
