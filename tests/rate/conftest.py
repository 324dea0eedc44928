"""A workspace with outputs to rate, without a model."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace

SaveOutput = Callable[..., str]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def ledger(workspace: Workspace) -> Ledger:
    return open_ledger(workspace.root)


@pytest.fixture
def save_output(workspace: Workspace) -> SaveOutput:
    """A function that stores an output and returns its id: save_output("prompt", "text", model="notes/1")."""

    numbers = count()

    def store(prompt: str, text: str | None = None, model: str = "notes/1", **metadata: object) -> str:
        text = f"text {next(numbers)}" if text is None else text
        record = {"model": model, "prompt": prompt, "written": text, **metadata}
        return workspace.save_output(prompt + text, ".txt", record)

    return store
