"""The mark of a workspace in texts and scores: what is found, by which key, and after which changes."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genloom.generate import engine, sampling_params
from genloom.generate.marking import mark_request
from genloom.generate.output_records import store_outputs
from genloom.model import Model, load_model
from genloom.store.keys import MarkingKeys
from genloom.store.workspace import Workspace
from genloom.trust.marks import MAX_P_VALUE, find_mark


@pytest.fixture(scope="module")
def workspace(trained_home: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("marks")
    shutil.copytree(trained_home.root / "models", root / "models")
    return Workspace(root)


@pytest.fixture(scope="module")
def model(workspace: Workspace) -> Model:
    return load_model(workspace, "tales")


@pytest.fixture(scope="module")
def output(workspace: Workspace, model: Model) -> tuple[str, dict[str, Any]]:
    """A marked text of the model and its record."""
    request = engine.build_request(["Zoë"], 1, 5, (), {"max_tokens": 350, "temperature": 1.0})
    request = mark_request(workspace, model, request)
    (id,) = store_outputs(workspace, model, request, engine.run_request(model, request))
    path, record = workspace.get_output(id)
    return path.read_text(), record


def test_a_stored_text_is_found_with_its_key(workspace: Workspace, output: tuple[str, dict[str, Any]]) -> None:
    text, record = output
    report = find_mark(workspace, "text", text)
    assert report.is_found
    assert report.p_value < MAX_P_VALUE
    assert report.key == record["request"]["marking_key"]
    known = find_mark(workspace, "text", text, record)
    assert known.is_found
    assert known.key == report.key
    assert known.model == record["model"]


def test_it_is_found_after_a_rotation_and_not_in_another_workspace(
    workspace: Workspace, output: tuple[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, record = output
    shutil.copytree(workspace.root, tmp_path / "copy")
    copy = Workspace(tmp_path / "copy")
    monkeypatch.setattr("genloom.store.keys.draw_secret", lambda: bytes(32))
    MarkingKeys(copy.root).rotate()
    report = find_mark(copy, "text", text)
    assert report.is_found
    assert report.key == record["request"]["marking_key"]
    shutil.rmtree(copy.root / "keys")
    assert find_mark(copy, "text", text).p_value == 1  # it has no key
    MarkingKeys(copy.root).rotate()
    assert not find_mark(copy, "text", text).is_found


def test_other_texts_have_no_mark(workspace: Workspace, model: Model, output: tuple[str, dict[str, Any]]) -> None:
    unmarked = engine.build_request(["Zoë"], 1, 5, (), {"max_tokens": 200, "temperature": 1.0})
    texts = [engine.run_request(model, unmarked).values[0], "The old king saw the sea. " * 20, "", "é"]
    for text in texts:
        assert not find_mark(workspace, "text", text).is_found


def test_a_medium_without_models_and_values_that_no_codec_reads_have_no_mark(workspace: Workspace) -> None:
    assert find_mark(workspace, "no-such-medium", "text").p_value == 1


def test_a_damaged_model_hides_no_mark_of_another(
    workspace: Workspace, output: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    shutil.copytree(workspace.root, tmp_path / "copy")
    shutil.copytree(tmp_path / "copy" / "models" / "tales" / "1", tmp_path / "copy" / "models" / "tales" / "9")
    for path in (tmp_path / "copy" / "models" / "tales" / "9").rglob("*.toml"):
        path.write_text("= damaged")
    assert (
        find_mark(Workspace(tmp_path / "copy"), "text", output[0], is_fast=True).key
        == output[1]["request"]["marking_key"]
    )


def test_a_score_is_found_after_a_transposition_and_as_a_midi_file(tmp_path: Path) -> None:
    """By the built-in model, as a user who generates with it has it."""
    from genloom.media.music import midi

    workspace = Workspace(tmp_path)
    tunes = load_model(workspace, "tunes")
    params = sampling_params.add_suggested_params(tunes, {"max_tokens": 330, "temperature": 1.0})
    request = mark_request(workspace, tunes, engine.build_request(["32 bars"], 1, 4, (), params))
    score = engine.run_request(tunes, request).values[0]
    moved = midi.read_midi(midi.write_midi(score.transpose(3)))[0]
    assert moved.parts != score.parts
    for changed in (moved, replace(moved, key=None, style="")):
        report = find_mark(workspace, "music", changed)
        assert report.is_found, report
        assert report.key == request.marking_key


def test_a_score_without_its_key_is_read_in_the_key_and_in_its_relative() -> None:
    from genloom.codecs.notes import Codec
    from genloom.media.music.score import Key, correlate_keys
    from tests.evaluate.test_music import compose

    score = replace(compose(0), key=None)
    fits = correlate_keys(score)
    best, second = sorted(fits, key=lambda key: -fits[key])[:2]
    encodings = [tuple(ids) for ids in Codec().list_encodings(score)]
    for key in (None, best, second):
        assert tuple(Codec().encode(replace(score, key=key))) in encodings
    assert isinstance(best, Key)
