"""What is measured of music: faults, harmony, controls and copied notes, in reports and as safeguards of learning."""

import random
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

import genloom as gl
from genloom.evaluate.context import EvaluationOptions
from genloom.evaluate.music import compare_histograms, count_faults, count_followed
from genloom.evaluate.run import evaluate_model
from genloom.learn.comparison import AnswerPairs
from genloom.learn.safeguards.music import measure_safeguards
from genloom.media import music
from genloom.media.music.controls import read_words
from genloom.media.music.score import Key, Note, Part, Score
from genloom.model import Model, load_model
from genloom.types import Item

NAMES = ("pitch classes", "intervals", "durations")


def compose(seed: int, num_parts: int = 1) -> Score:
    """Return eight bars in C major, each part below the one above it."""
    rng = random.Random(seed)
    scale = (0, 2, 4, 5, 7, 9, 11, 12)
    parts = tuple(
        Part(73, tuple(Note(24 * n, 24, 72 - 14 * number + rng.choice(scale)) for n in range(32)))
        for number in range(num_parts)
    )
    return Score(parts, key=Key(0, "major"))


@pytest.fixture(scope="module")
def workspace(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> gl.Workspace:
    folder = tmp_path_factory.mktemp("music")
    (folder / "files").mkdir()
    for seed in range(24):
        (folder / "files" / f"{seed}.txt").write_text("a tune in C major, 4/4, 2 bars for flute")
        music.save(Item(compose(seed)), folder / "files" / f"{seed}.mid")
    workspace = gl.Workspace(folder / "workspace")
    workspace.collect(folder / "files", name="tunes", val=0.25, test=0)
    worlds.create_tunes(workspace.store, 256, workspace.store.get_dataset("tunes"))
    return workspace


@pytest.fixture(scope="module")
def model(workspace: gl.Workspace) -> Model:
    return load_model(workspace.store, "tunes")


def test_a_report_names_what_was_copied_and_which_controls_were_kept(workspace: gl.Workspace, model: Model) -> None:
    report = evaluate_model(workspace.store, model, options=EvaluationOptions(num_samples=3))
    details = report.details
    assert details["followed"]["meter"] == (3, 3)
    assert details["followed"]["bars"] == (3, 3)
    assert len(details["copied"]["runs"]) == len(details["samples"]) == 3
    assert details["copied"]["baseline"]["count"] == 3
    assert set(NAMES) == details["overlaps"].keys()
    assert all(run["source"].endswith(".mid") for run in details["copied"]["runs"] if run["num_notes"])
    assert report.files["samples.png"].startswith(b"\x89PNG")


def test_safeguards_see_copies_and_faults(workspace: gl.Workspace, model: Model) -> None:
    stored = next(iter(workspace.store.get_dataset("tunes").iter_documents("train"))).value
    own = [compose(seed, 2) for seed in range(100, 112)]
    copied = [replace(stored.transpose(n % 5), key=None) for n in range(12)]
    crossed = [replace(score, parts=score.parts[::-1]) for score in own]

    def measure(challenger: list[Score]) -> dict[str, bool]:
        answers = AnswerPairs([], own, challenger)
        measures = measure_safeguards(workspace.store, model, model, [model, model], answers)
        return {each.name: each.has_regressed_significantly for each in measures}

    assert not any(measure(own).values())
    assert measure(copied)["copied notes in a row"]
    assert measure(crossed)["voice leading, faults a bar"]


def test_figures_of_collections() -> None:
    scores = [compose(seed) for seed in range(4)]
    assert compare_histograms(scores, scores) == pytest.approx(dict.fromkeys(NAMES, 1.0))
    assert compare_histograms(scores, [scores[0].transpose(1)])["pitch classes"] < 1
    assert count_faults([compose(1, 2)]).get("crossing", 0) == 0
    assert count_faults([replace(compose(1, 2), parts=compose(1, 2).parts[::-1])])["crossing"] > 1
    asked = [read_words(text) for text in ("in C major, 4/4, 8 bars", "a jig for violin", "sad", "")]
    assert count_followed(scores, asked) == {
        "key": (1, 2),
        "meter": (1, 2),
        "bars": (1, 1),
        "instruments": (0, 1),
    }


def test_files_without_a_key_get_the_one_that_sounds(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    music.save(Item(replace(compose(1).transpose(4), key=None)), tmp_path / "files" / "tune.mid")
    workspace = gl.Workspace(tmp_path / "workspace")
    workspace.collect(tmp_path / "files", name="one")
    (tune,) = workspace.store.get_dataset("one").iter_documents("train")
    assert tune.value.key == Key(4, "major")
