"""Unlearning a document of any medium: the model is trained without it, and a second run proves it."""

from pathlib import Path

import pytest

import genloom as gl
from genloom.learn.unlearn_document import UnlearnDocumentResult, unlearn_document
from genloom.learn.unlearn_ratings import find_weights_digest
from genloom.media import music
from genloom.store.dataset_removal import has_document
from genloom.store.ledger import open_ledger
from genloom.types import Item
from tests import worlds
from tests.evaluate.test_music import compose


def train_on_pictures(ws: gl.Workspace, folder: Path) -> str:
    worlds.finish_run(ws.store, worlds.build_image_job(worlds.create_image_dataset(ws.store, count=18), 2))
    return "tiles"


def train_on_tunes(ws: gl.Workspace, folder: Path) -> str:
    (folder / "files").mkdir()
    for seed in range(8):
        music.save(Item(compose(seed)), folder / "files" / f"{seed}.mid")
    ws.collect(folder / "files", name="melodies", val=0.25, test=0)
    settings = {"medium": "music", "codec__name": "notes", "context_length": "256"}
    worlds.finish_run(ws.store, worlds.build_job(ws.store.get_dataset("melodies"), 2, **settings))
    return "melodies"


@pytest.mark.parametrize("train", [train_on_pictures, train_on_tunes])
def test_a_forgotten_document_is_in_no_weights(tmp_path: Path, train) -> None:
    ws = gl.Workspace(tmp_path / "workspace")
    name = train(ws, tmp_path)
    item = next(iter(ws.store.get_dataset(name).iter_documents("train"))).meta["id"]
    *_, result = unlearn_document(ws.store, open_ledger(ws.folder, ""), name, item)
    assert isinstance(result, UnlearnDocumentResult)
    assert result.tainted_versions == (f"{name}/1",)
    assert not has_document(ws.store.get_dataset(name), item)
    assert ws.model(name).ref == result.new_version
    proof, before = find_weights_digest(ws.store, result.new_version), find_weights_digest(ws.store, f"{name}/1")
    assert result.proof == proof != before
