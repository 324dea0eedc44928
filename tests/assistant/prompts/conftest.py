"""A workspace with a small model that chats and reads a thousand bytes."""

import shutil
from pathlib import Path
from types import ModuleType

import pytest

import genloom as gl
from genloom.store.workspace import Workspace


@pytest.fixture(scope="session")
def talking_home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The trained model `tales`, marked as tuned on conversations; all tests share it and none changes it."""
    workspace = Workspace(tmp_path_factory.mktemp("talking"))
    data = worlds.create_dataset(workspace)
    changes = {"network__width": "32", "network__depth": "1", "batch_size": "4", "context_length": "1024"}
    worlds.finish_run(workspace, worlds.build_job(data, 20, **changes))
    worlds.mark_chat_tuned(workspace, "tales")
    return workspace


@pytest.fixture
def ws(talking_home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gl.Workspace:
    """A workspace of its own with that model, which commands use, too."""
    shutil.copytree(talking_home.root / "models", tmp_path / "workspace/models")
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "workspace"))
    return gl.Workspace(rater="mia")
