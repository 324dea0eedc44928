"""A workspace with a small chat model and an untrained image model, shared by the tests of the engine."""

import shutil
from pathlib import Path

import pytest

from genloom.api.workspace import Workspace


@pytest.fixture(scope="session")
def engine_workspace(serving_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Models: `tales`, which was tuned on conversations, as its card says, `masks`, and `blots` of images."""
    return Workspace(shutil.copytree(serving_home, tmp_path_factory.mktemp("engine") / "home"))


@pytest.fixture
def folder(engine_workspace: Workspace) -> Path:
    return engine_workspace.folder
