"""Evaluate and compare on models of images."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from genloom.cli import run
from genloom.evaluate.by_distribution import load_or_extract_features
from genloom.evaluate.features import efficientnet
from genloom.evaluate.image import prompt_following
from genloom.networks.efficientnet import WEIGHTS_PACKAGE
from genloom.store.workspace import Workspace
from genloom.text_encoders.prompt_weighting import escape_prompt, parse_weighted_prompt
from genloom.types import Item

pytest.importorskip(WEIGHTS_PACKAGE)


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with 180 tiles and two models of them, the second trained longer."""
    workspace = Workspace(tmp_path_factory.mktemp("tiles") / "workspace")
    data = worlds.create_image_dataset(workspace, count=180)
    worlds.finish_run(workspace, worlds.build_image_job(data, 2))
    worlds.finish_run(workspace, worlds.build_image_job(data, 80, batch_size="32"))
    worlds.finish_run(workspace, worlds.build_job(worlds.create_dataset(workspace), 1))
    return workspace.root


@pytest.fixture(autouse=True)
def small_features(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(home))
    monkeypatch.setattr(efficientnet, "INPUT_SIZE", 32)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_evaluate_measures_distances_and_near_copies(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run_json(capsys, "evaluate", "tiles/2", "--samples", "24")
    assert facts["distance"]["count"] == 24
    assert facts["train_distance"]["frechet"] > 0
    assert 0 <= facts["precision_recall"]["coverage"] <= 1
    assert facts["reconstruction"] is None  # pixels lose nothing
    assert facts["loss"] > 0
    assert facts["copied"]["held"] == 24
    assert len(facts["copied"]["nearest"]) == 24
    assert facts["copied"]["nearest"][0][0]["licence"] == "CC0-1.0"
    folder = Path(facts["folder"])
    assert {path.name for path in folder.iterdir()} == {"evaluation.json", "samples.png", "copied.png"}


def test_the_lines_name_the_metrics_and_the_count(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "tiles/2", "--samples", "20"]) == 0
    out, _ = capsys.readouterr()
    for said in ("on 20 held-out samples", "Fréchet distance", "for training data", "coverage", "Vendi",
                 "Near copies of training data, 'tiles':", "of 20 are nearer"):  # fmt: skip
        assert said in out


def test_near_copies_are_searched_in_the_training_data(
    worlds: ModuleType, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = worlds.create_image_dataset(Workspace(home), "others", count=180, colours={"white": (250, 250, 250)})
    facts = run_json(capsys, "evaluate", "tiles/2", "--samples", "24", "--data", "others")
    assert facts["dataset"].startswith(f"others@{other.digest[:12]}")
    assert facts["copied"]["searched"] == [f"tiles@{Workspace(home).get_dataset('tiles').digest[:12]}"]
    assert facts["copied"]["nearest"][0][0]["source"].startswith("tiles/")
    assert facts["copied"]["held"] == 30  # all tiles that are held out
    assert Path(facts["folder"]).name == "tiles-2-on-others"


def test_features_of_held_out_images_are_cached_and_damage_is_repaired(tmp_path: Path) -> None:
    looks = []

    def extract(values: Any) -> np.ndarray:
        looks.append(1)
        return np.stack(list(values)).astype(np.float32)

    items, path = [Item(np.arange(3)), Item(np.arange(3) + 1)], tmp_path / "features" / "some.npy"
    first = load_or_extract_features(path, extract, items)
    assert np.array_equal(load_or_extract_features(path, extract, items), first)
    assert len(looks) == 1
    path.write_bytes(path.read_bytes()[:-4])
    assert np.array_equal(load_or_extract_features(path, extract, items), first)
    assert len(looks) == 2


def test_the_model_trained_longer_is_better(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run_json(capsys, "compare", "tiles/1", "tiles/2", "--samples", "30")
    assert facts["verdict"] == "better"
    assert facts["models"][1]["frechet"] < facts["models"][0]["frechet"]
    assert Path(facts["chart"]).is_file()
    assert run_json(capsys, "compare", "tiles/2", "tiles/2", "--samples", "30")["verdict"] == "no difference shown"


def test_a_detector_scores_prompt_following(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    facts = run_json(capsys, "evaluate", "tiles/2", "--battery", "--limit", "2", "--out", str(tmp_path))
    assert [row["metric"] for row in facts["battery"]] == list(prompt_following.TASKS)
    assert all(row["items"] == 2 and row["bound"] > 0.8 for row in facts["battery"])
    assert all(row["accuracy"] < 0.5 for row in facts["battery"])  # tiles of one colour show nothing
    assert {path.name for path in tmp_path.iterdir()} == {"battery.json", "battery.png", "prompted.png"}
    gaps = run_json(capsys, "compare", "tiles/1", "tiles/2", "--battery", "--limit", "1")
    assert {gap["verdict"] for gap in gaps["battery"]} == {"no difference shown"}


@pytest.mark.parametrize("caption", ["a clock (alarm: red)", "open ( and :1.3)", "back\\slash :)", "a fox"])
def test_captions_are_escaped(caption: str) -> None:
    assert parse_weighted_prompt(escape_prompt(caption)).text == caption


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["evaluate", "tiles", "--samples", "5"], "[evaluate.too_few_samples]"),
        (["evaluate", "tiles", "--samples", "0"], "[cli.invalid_integer]"),
        (["compare", "tiles/1", "tiles/2", "--samples", "0"], "[cli.invalid_integer]"),
        (["evaluate", "tiles", "--data", "tales"], "[evaluate.other_medium]"),
        (["evaluate", "tales", "--data", "tiles"], "[evaluate.other_medium]"),
        (["compare", "tales", "tiles"], "[evaluate.different_media]"),
        (["train", "tiles", "--steps", "2", "--set", "objective.name=masked"], "[codecs.autoencoder_missing]"),
        (["train", "tiles", "--set", "objective.name=masked", "--set", "codec.name=pixels"], "[model.objective_unfit]"),
    ],
)
def test_an_error_has_a_code(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str) -> None:
    assert run(arguments) != 0
    assert code in capsys.readouterr().err
