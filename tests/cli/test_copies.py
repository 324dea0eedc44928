"""`genloom copies`: what a person learns of what outputs and files took from the training data."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom as gl
from genloom.api.copies import find_training_data
from genloom.cli import run
from genloom.media import music, text
from genloom.media.image import encode
from genloom.media.music.score import Score
from genloom.store.dataset_removal import remove_documents
from genloom.trust.copies import CopyReport, Match, TrainingData, measure_copies
from genloom.types import Item
from tests import worlds
from tests.errors import raises_code
from tests.evaluate.test_music import compose

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tales(tmp_path_factory: pytest.TempPathFactory) -> gl.Workspace:
    ws = gl.Workspace(tmp_path_factory.mktemp("tales"))
    data = worlds.create_dataset(ws.store, documents=60)
    job = worlds.build_job(data)
    card = {"data": {"name": data.name, "digest": data.digest}}
    with ws.store.create_model("tales") as folder:  # no weights: a search for copies does not load the model
        job.save(folder / "job.toml")
        (folder / "weights.safetensors").write_bytes(b"")
        (folder / "card.json").write_text(json.dumps(card))
    return ws


def store_text(ws: gl.Workspace, text: str) -> gl.Output:
    return ws.output(
        ws.store.save_output(text.encode(), ".txt", {"model": "tales/1", "medium": "text", "written": text})
    )


def get_training_text(ws: gl.Workspace, number: int = 3) -> Item:
    return list(ws.store.get_dataset("tales").iter_documents("train"))[number]


def test_a_copied_passage_is_found_with_its_document(tales: gl.Workspace) -> None:
    item = get_training_text(tales)
    passage = item.value[60:260]
    report = store_text(tales, f"My own words. {passage} And more.").copies()
    assert report.is_beyond_chance
    nearest = report.matches[0]
    assert (nearest.source, nearest.licence, nearest.id) == (item.source, "CC0-1.0", item.meta["id"])
    assert nearest.length is not None
    assert nearest.length >= len(passage)
    assert passage[:50] in nearest.excerpt
    assert report.chance is not None
    assert report.chance.limit < nearest.length
    assert [match.length for match in report.matches] == sorted((m.length for m in report.matches), reverse=True)  # ty: ignore
    assert len({match.id for match in report.matches}) == len(report.matches) > 1


def test_words_of_ones_own_share_no_more_than_chance(tales: gl.Workspace) -> None:
    report = store_text(tales, "Quartz jugs vex my lynx; 1234567890 boxing wizards do it.").copies()
    assert not report.is_beyond_chance
    assert report.matches[0].length is not None
    assert report.matches[0].length < 12
    assert not store_text(tales, "").copies().matches


def test_the_command_tells_scripts_and_people(
    tales: gl.Workspace, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tales.folder))
    item = get_training_text(tales)
    copied, own = tmp_path / "copied.txt", tmp_path / "own.txt"
    copied.write_text(item.value)
    own.write_text("Quartz jugs vex my lynx.")
    capsys.readouterr()
    assert run(["copies", str(copied), str(own), "--model", "tales", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    first, second = result["copies"]
    assert (first["beyond_chance"], second["beyond_chance"], result["beyond_chance"]) == (True, False, 1)
    assert first["matches"][0]["is_identical"]
    assert first["matches"][0]["source"] == item.source
    assert run(["copies", str(own), "--data", "tales"]) == 0
    assert "by chance: " in capsys.readouterr().out
    assert run(["copies", store_text(tales, item.value).id]) == 1
    assert f"{item.source} (CC0-1.0)" in capsys.readouterr().out
    assert run(["copies"]) == 2
    assert run(["copies", str(own)]) == 2
    assert "[api.copies_of_what]" in capsys.readouterr().err
    assert run(["copies", "no-such-output"]) == 2


def test_an_index_is_built_once(tales: gl.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    output = store_text(tales, get_training_text(tales).value[:80])
    first = output.copies()
    monkeypatch.setattr("genloom.trust.span_index.build_span_index", lambda *arguments: pytest.fail("built again"))
    assert output.copies() == first


def test_the_index_of_data_that_are_gone_is_removed(tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path)
    data = worlds.create_dataset(ws.store, documents=18)
    (tmp_path / "own.txt").write_text("The old king saw the sea.")
    ws.copies(tmp_path / "own.txt", data="tales")
    (old,) = (ws.folder / "cache" / "copies").iterdir()
    remove_documents(ws.store, data, [next(iter(data.iter_documents("train"))).meta["id"]])
    ws.copies(tmp_path / "own.txt", data="tales")
    assert old.is_dir()
    ws.remove("data", "tales")
    worlds.create_dataset(ws.store, "others", documents=24)
    ws.copies(tmp_path / "own.txt", data="others")
    (new,) = (ws.folder / "cache" / "copies").iterdir()
    assert new != old


def test_a_model_without_its_data_says_so(tmp_path: Path) -> None:
    ws = gl.Workspace(tmp_path)
    worlds.create_blots(ws.store)
    pixels = np.zeros((16, 16, 3), np.uint8)
    output = ws.output(ws.store.save_output(encode(pixels), ".png", {"model": "blots/1", "medium": "image"}))
    report = output.copies()
    assert not report.matches
    assert not report.is_beyond_chance
    assert "blots/1" in report.missing[0]


def test_data_of_another_medium_are_refused(tales: gl.Workspace) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    output = tales.output(tales.store.save_output(encode(pixels), ".png", {"model": "tales/1", "medium": "image"}))
    with raises_code("api.copies_other_medium", medium="image", data_medium="text"):
        output.copies()


def test_a_tune_is_recognised_in_another_key(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for seed in range(24):
        music.save(Item(compose(seed)), tmp_path / "files" / f"{seed}.mid")
    ws = gl.Workspace(tmp_path / "workspace")
    ws.collect(tmp_path / "files", name="tunes", val=0.25, test=0)
    item = next(iter(ws.store.get_dataset("tunes").iter_documents("train")))

    def search(score: Score) -> CopyReport:
        path = tmp_path / "tune.mid"
        music.save(Item(score), path)
        return ws.copies(path, data="tunes")

    copied = search(replace(item.value.transpose(3), key=None))
    assert copied.is_beyond_chance
    assert copied.unit == "note"
    assert copied.matches[0].source == item.source
    assert "bars 1 to" in copied.matches[0].place
    assert not search(compose(1000)).is_beyond_chance


class TestPictures:
    """By features that need no weights: means of colours."""

    @pytest.fixture
    def ws(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gl.Workspace:
        from genloom.evaluate.features import efficientnet

        def build_extractor() -> Any:
            return lambda pictures: np.stack(
                [efficientnet.compute_coarse_embedding(each) - 0.5 for each in pictures]
            )  # an unrelated picture is at a right angle

        monkeypatch.setattr(efficientnet, "build_extractor", build_extractor)
        ws = gl.Workspace(tmp_path / "workspace")
        rng = np.random.default_rng(0)
        (tmp_path / "files").mkdir()
        from PIL import Image

        for n in range(40):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "files" / f"{n}.png")
        ws.collect(tmp_path / "files", name="noise", val=0.25, test=0, licence="CC-BY-4.0")
        return ws

    def test_a_copy_is_found_by_features_and_pixels(self, ws: gl.Workspace, tmp_path: Path) -> None:
        item = list(ws.store.get_dataset("noise").iter_documents("train"))[7]
        changed = np.clip(item.value.astype(int) + 3, 0, 255).astype(np.uint8)
        fresh = np.random.default_rng(99).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        reports = {}
        for name, pixels in (("same", item.value), ("changed", changed), ("fresh", fresh)):
            (tmp_path / f"{name}.png").write_bytes(encode(pixels))
            reports[name] = ws.copies(tmp_path / f"{name}.png", data="noise")
        assert [reports[name].is_beyond_chance for name in ("same", "changed")] == [True, True]
        for name in ("same", "changed"):
            nearest = reports[name].matches[0]
            assert (nearest.source, nearest.licence, nearest.is_identical) == (item.source, "CC-BY-4.0", name == "same")
        assert reports["same"].matches[0].pixel_difference == 0
        assert 0 < reports["changed"].matches[0].pixel_difference < 0.02  # ty: ignore
        assert reports["fresh"].matches[0].pixel_difference > 0.2  # ty: ignore
        assert reports["fresh"].chance == reports["same"].chance

    def test_the_index_agrees_with_a_search_of_all(self, ws: gl.Workspace) -> None:
        from genloom.evaluate.features import efficientnet
        from genloom.trust.near_copies import find_nearest_items

        values = [item.value for item in ws.store.get_dataset("noise").iter_documents("val")]
        data = find_training_data(ws, "", "noise")

        found = [report.matches[0].id for report in measure_copies(values, data)]
        coarse, extract = efficientnet.compute_coarse_embedding, efficientnet.build_extractor()
        nearest = find_nearest_items(values, data.iter_documents(), coarse, extract)
        assert found == [matches[0].item.meta["id"] for matches in nearest]


def test_an_equal_item_counts_without_held_out_values() -> None:
    match = Match("a.txt", "CC0-1.0", is_identical=True)
    assert CopyReport((match,), None).is_beyond_chance
    assert not CopyReport((replace(match, is_identical=False),), None).is_beyond_chance


def test_data_that_could_not_be_searched_are_not_a_clean_result(tmp_path: Path) -> None:
    (report,) = measure_copies(["a tale"], TrainingData(text, (), tmp_path, ("tales/1 was not trained here",)))
    assert not report.is_searched
    assert not report.is_beyond_chance
    assert not report.to_json()["searched"]
    assert not any("found" in line for line in report.lines)


def test_a_file_that_its_bytes_or_signature_name_needs_no_model(
    tales: gl.Workspace, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tales.folder))
    item = get_training_text(tales)
    output = store_text(tales, item.value)
    saved = output.save(tmp_path / "saved.txt")
    manifest = saved.with_name("saved.txt.c2pa")
    assert run(["copies", str(saved)]) == 1  # its bytes are those of the output
    saved.write_text(f"{item.value} ")
    assert manifest.is_file()
    assert run(["copies", str(saved)]) == 2  # changed since it was signed
    assert "[api.copies_of_what]" in capsys.readouterr().err
    picture = tmp_path / "converted.md"
    picture.write_bytes(output.path.read_bytes() + b"\n")
    assert run(["copies", str(picture)]) == 2
