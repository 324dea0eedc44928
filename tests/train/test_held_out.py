"""What a run is judged by stands for all that is held out, and not for what was collected first."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from genloom.codecs import bytes as plain
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train import documents
from genloom.train.material import Stream
from genloom.types import Codec


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def stream(data: Dataset) -> Stream:
    codec: Codec = plain.Codec.fit([], plain.Config())
    return Stream(codec, np.concatenate([codec.encode(item.value) for item in data.documents("train")]), data)


def hard(texts: Sequence[Any]) -> float:
    """The share of what is hard, of which two thirds of the data set are."""
    text = "".join(texts)
    return sum(letter in "0123456789\n" for letter in text) / len(text)


def test_looks_read_text_of_every_kind(worlds: ModuleType, workspace: Workspace) -> None:
    kinds = worlds.two_kinds(workspace)
    for texts in (stream(kinds).held_out(24_000), documents.held_out(kinds, 24_000)):
        assert 24_000 <= sum(len(str(text).encode()) for text in texts) <= 25_000
        assert 0.4 < hard(texts) < 0.95


def test_the_floor_is_that_of_every_kind(worlds: ModuleType, workspace: Workspace) -> None:
    """Two thirds are digits, of 3.46 bits each; 300 tales of half a bit a byte were collected before them."""
    assert 2 < stream(worlds.two_kinds(workspace, count=900, lines=8)).floor() < 3
