"""Evaluation and comparison as functions: text, images, and a medium without an evaluation of its own."""

import hashlib
import importlib.util
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom import plugins
from genloom.evaluate import default, image, text
from genloom.evaluate.context import EvaluationContext, EvaluationOptions
from genloom.evaluate.image.battery import find_missing_nouns
from genloom.evaluate.near_copies import load_features
from genloom.evaluate.progress import SilentProgress
from genloom.evaluate.run import (
    compare_batteries,
    compare_models,
    evaluate_battery,
    evaluate_model,
    find_evaluation,
    get_report_folder,
    leave_out_seen,
)
from genloom.model import Model, load_model
from genloom.model.likelihood import compute_nll, to_bits_per_unit
from genloom.networks.efficientnet import WEIGHTS_PACKAGE
from genloom.store import manifest
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from tests.errors import raises_code

FEW = EvaluationOptions(num_samples=3, max_tokens=20)
needs_weights = pytest.mark.skipif(
    not importlib.util.find_spec(WEIGHTS_PACKAGE), reason=f"{WEIGHTS_PACKAGE} is not installed"
)


class Notes(SilentProgress):
    """Progress that remembers its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done: list[float] = []

    def print_note(self, line: str) -> None:
        self.notes.append(line)

    @contextmanager
    def show_progress(self, title: str, total: float) -> Generator["Notes"]:
        self.notes.append(title)
        yield self
        assert self.done[-1] == total

    def update(self, done: float, note: str = "") -> None:
        self.done.append(done)


@pytest.fixture(scope="module")
def tales(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return worlds.trained_workspace(tmp_path_factory.mktemp("evaluated") / "workspace")


@pytest.fixture(scope="module")
def tiles(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("evaluated") / "workspace")
    worlds.finish_run(workspace, worlds.build_image_job(worlds.create_image_dataset(workspace, count=180), 4))
    return workspace


def test_media_have_evaluations_and_others_the_default() -> None:
    assert {"text", "image"} <= set(plugins.list_part_names("evaluation"))
    assert find_evaluation("text") is text
    assert find_evaluation("image") is image
    assert find_evaluation("another") is default


def test_a_text_model_is_evaluated(tales: Workspace, tmp_path: Path) -> None:
    model, progress = load_model(tales, "tales"), Notes()
    report = evaluate_model(tales, model, options=FEW, progress=progress)
    texts = [item.value for item in tales.get_dataset("tales").iter_documents("val")]
    assert report.measures["bits per byte"].mean == pytest.approx(to_bits_per_unit(compute_nll(model, texts)), rel=1e-4)
    assert report.details["diversity"]["count"] == 3
    assert report.details["copied"]["searched"]
    assert set(report.files) == {"likelihood.png", "training.png"}
    assert "Looking for copies" in progress.notes
    report.save(tmp_path)
    assert manifest.read_record(tmp_path / "evaluation.json") == json.loads(json.dumps(report.to_json()))
    assert report.to_json()["split"] == "val"
    assert get_report_folder(tales, model, report.dataset) == tales.root / "reports" / "tales-1"


def test_two_text_models_are_compared(tales: Workspace) -> None:
    masked, model = (load_model(tales, name) for name in ("masks", "tales"))
    report = compare_models(tales, masked, model, options=replace(FEW, prompt="Zoë"))
    assert (report.verdict, report.measure) == ("better", "bits per byte")
    assert report.chart.startswith(b"\x89PNG")
    assert [sample.text.startswith("Zoë") for sample in report.samples] == [True, True]
    assert compare_models(tales, model, model, options=FEW).verdict == "no difference shown"


def test_a_battery_is_run_and_compared(tales: Workspace, tmp_path: Path) -> None:
    model = load_model(tales, "tales")
    report = evaluate_battery(tales, model, ["cloze"], 4)
    assert {score.task for score in report.scores} == {"cloze"}
    report.save(tmp_path)
    stored = json.loads((tmp_path / "battery.json").read_text())
    assert stored["battery"][0]["items"] == 4
    assert stored["fits"] == report.details["fits"]
    gaps = compare_batteries(tales, model, model, ["arithmetic"], 4).gaps
    assert {gap.verdict for gap in gaps} == {"no difference shown"}
    with raises_code("evaluate.unknown_task", unknown="'chess'"):
        evaluate_battery(tales, model, ["chess"])
    with raises_code("evaluate.not_left_to_right", model="masks/1"):
        evaluate_battery(tales, load_model(tales, "masks"), ["cloze"])


def test_a_battery_names_the_models_that_it_fits() -> None:
    for evaluation in (text, image):
        assert evaluation.BATTERY is not None
        assert evaluation.BATTERY.fits
    assert find_missing_nouns({"fox", "red car", "key"}, ["A Fox and a dog", "two red cars"]) == {"key"}


def test_a_built_in_model_is_measured_on_other_data_or_by_its_battery(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for name, alternative in (("icons", ", or use battery=True"), ("tunes", "")):
        with raises_code("evaluate.no_dataset", alternative=alternative):
            evaluate_model(workspace, load_model(workspace, name), options=FEW)


def test_models_of_one_medium_are_compared_on_data_of_it(
    worlds: ModuleType, tales: Workspace, tiles: Workspace
) -> None:
    text_model, image_model = load_model(tales, "tales"), load_model(tiles, "tiles")
    with raises_code("evaluate.different_media", first="tales/1", second="tiles/1"):
        compare_models(tales, text_model, image_model)
    with raises_code("evaluate.other_medium", model="tales/1", data="tiles", data_medium="image"):
        evaluate_model(tales, text_model, tiles.get_dataset("tiles"))


def test_the_default_measures_any_token_model(tales: Workspace) -> None:
    model = load_model(tales, "tales")
    report = default.evaluate(EvaluationContext(tales, model, tales.get_dataset("tales"), options=FEW))
    texts = [item.value for item in tales.get_dataset("tales").iter_documents("val")]
    assert report.details["bits_per_byte"]["mean"] == pytest.approx(
        to_bits_per_unit(compute_nll(model, texts)), rel=1e-5
    )
    assert report.details["bits_per_byte"]["count"] == len(texts)
    assert len(report.details["problems"]) == len(report.details["samples"]) == 3
    assert "copied" not in report.details


@needs_weights
def test_the_default_measures_samples_of_one_size_and_their_near_copies(tiles: Workspace) -> None:
    model, dataset = load_model(tiles, "tiles"), tiles.get_dataset("tiles")
    context = EvaluationContext(tiles, model, dataset, options=EvaluationOptions(num_samples=4))
    report = default.evaluate(context)
    assert report.details["held_out_loss"]["count"] == 30  # every sample that is held out
    assert report.details["problems"] == [
        ["it is tiny: 8 × 8 pixels", *problems[1:]] for problems in report.details["problems"]
    ]
    assert len(report.details["copied"]["nearest"]) == 4
    assert set(report.files) == {"held_out_loss.png", "samples.png"}
    comparison = default.compare(context, replace(context))
    assert (comparison.verdict, comparison.measure) == ("no difference shown", "held-out loss of flow over pixels")


@needs_weights
def test_image_models_are_compared_by_distribution(tiles: Workspace) -> None:
    model, options = load_model(tiles, "tiles"), EvaluationOptions(num_samples=20)
    report = evaluate_model(tiles, model, options=options)
    assert set(report.files) == {"samples.png", "copied.png"}
    assert report.measures["held-out loss"].mean == report.details["loss"]
    comparison = compare_models(tiles, model, model, options=options)
    assert (comparison.verdict, comparison.measure) == ("no difference shown", "kernel distance")


def create_melodies(beeps: ModuleType, worlds: ModuleType, workspace: Workspace, count: int = 48) -> Any:
    """Create a data set of scales, upwards if fast, of 3 to 8 notes."""
    melodies = [tuple((n // 2 + (step if n % 2 else -step)) % 4 for step in range(3 + n % 6)) for n in range(count)]
    content = [beeps.encode(melody) + b" " * n for n, melody in enumerate(melodies)]  # ids must differ
    columns = {
        "id": [hashlib.sha256(data).hexdigest() for data in content],
        "text": [""] * count,
        "source": [f"melodies/{n}.beep" for n in range(count)],
        "licence": ["CC0-1.0"] * count,
        "split": [{0: "val", 1: "test"}.get(n // 2 % 6, "train") for n in range(count)],
        "bytes": [len(data) for data in content],
        "content": content,
        "tempo": [2.0 if n % 2 else 0.5 for n in range(count)],
    }
    staged = workspace.create_dataset("melodies")
    with staged as folder:
        pq.write_table(pa.table(columns), folder / "part-00000.parquet")
        (folder / "manifest.json").write_text(json.dumps({"medium": "beeps", "licences": {"CC0-1.0": count}}))
    return staged.result


def train_melodies(worlds: ModuleType, workspace: Workspace, steps: int, **changes: str) -> Model:
    dataset = workspace.get_dataset("melodies")
    parts = {"medium": "beeps", "codec__name": "beeps", "batch_size": "12", "context_length": "18"}
    worlds.finish_run(workspace, worlds.build_job(dataset, steps, **parts, **changes))
    return load_model(workspace, "melodies")


def test_a_plugin_medium_has_bits_per_unit_of_its_own(beeps: ModuleType, worlds: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    create_melodies(beeps, worlds, workspace)
    plain = train_melodies(worlds, workspace, 30)
    tempo = {"name": "columns", "column": "tempo", "mean": "[1.25]", "std": "[0.75]"}
    informed = train_melodies(worlds, workspace, 30, **{f"conditions__tempo__{key}": tempo[key] for key in tempo})
    report = evaluate_model(workspace, informed, options=EvaluationOptions(num_samples=5))
    held_out = [item.value for item in workspace.get_dataset("melodies").iter_documents("val")]
    given = [{"tempo": item.meta["tempo"]} for item in workspace.get_dataset("melodies").iter_documents("val")]
    nats_and_notes = list(compute_nll(informed, held_out, given=given))
    assert [notes for _, notes in nats_and_notes] == list(map(len, held_out))
    assert report.details["bits_per_note"]["mean"] == pytest.approx(to_bits_per_unit(nats_and_notes), rel=1e-5)
    assert informed.folder is not None
    assert informed.folder.card["fact"]["bits_per_note"] == pytest.approx(report.details["bits_per_note"]["mean"])
    assert len(report.details["samples"]) == 5
    assert set(report.files) == {"held_out_loss.png", "samples.txt"}
    assert report.lines[0].endswith("notes of held-out melodies (val):")
    comparison = compare_models(workspace, plain, informed)
    assert (comparison.measure, comparison.verdict) == ("bits per note", "better")
    uninformed = to_bits_per_unit(compute_nll(informed, held_out))
    assert uninformed > to_bits_per_unit(nats_and_notes)
    assert load_features(beeps) is None
    with raises_code("evaluate.no_battery", medium="beeps"):
        evaluate_battery(workspace, plain)


def test_documents_that_share_text_with_training_data_are_left_out(tales: Workspace, worlds: ModuleType) -> None:
    model = load_model(tales, "tales")
    own = pq.read_table(next(tales.get_dataset("tales").folder.glob("*.parquet"))).to_pydict()
    excerpt = next(text for text, split in zip(own["text"], own["split"], strict=True) if split == "train")[50:]
    fresh = " ".join(f"{number} other words" for number in range(99))

    def store(name: str, texts: list[str]) -> Dataset:
        columns = {key: values[: len(texts)] for key, values in own.items()}
        ids = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        new = {"id": ids, "text": texts, "split": ["val"] * len(texts)}
        return worlds.store_columns(tales, name, {**columns, **new})

    dataset, lines = leave_out_seen(tales, [model], store("excerpt", [excerpt, fresh]), "val")
    assert [item.value for item in dataset.iter_documents("val")] == [fresh]
    assert "1 of the 2" in lines[0]
    dataset, lines = leave_out_seen(tales, [model], store("excerpts", [excerpt]), "val")
    assert (len(list(dataset.iter_documents("val"))), len(lines)) == (1, 1)  # there is nothing else to measure on


def test_what_a_model_has_learned_from_does_not_measure_it(tales: Workspace, worlds: ModuleType) -> None:
    model = load_model(tales, "tales")
    # The same tales, of which other ones are held out; all of its validation split; and other tales.
    own = pq.read_table(next(tales.get_dataset("tales").folder.glob("*.parquet"))).to_pydict()
    splits = own["split"]
    seen = [number for number, split in enumerate(splits) if split == "train"]
    mixed = ["val" if split == "val" or number in seen[:6] else "train" for number, split in enumerate(splits)]
    worlds.store_columns(tales, "mixed", {**own, "split": mixed})
    worlds.store_columns(tales, "seen", {**own, "split": ["val" if split == "train" else "train" for split in splits]})
    alone, partly = (evaluate_model(tales, model, data, options=FEW) for data in (tales.get_dataset("tales"), "mixed"))
    assert partly.details["left_out"] == 6
    assert partly.measures["bits per byte"].mean == pytest.approx(alone.measures["bits per byte"].mean, rel=1e-6)
    assert "40%" in partly.lines[0] or "38%" in partly.lines[0], partly.lines[0]
    assert partly.dataset.endswith(":val without 6")
    assert partly.to_json()["split"] == "val"
    comparison = compare_models(tales, model, model, "mixed", options=FEW)
    assert comparison.details["left_out"] == 6
    for measure in (lambda: evaluate_model(tales, model, "seen"), lambda: compare_models(tales, model, model, "seen")):
        with raises_code("evaluate.all_seen", data="seen", models=model.ref):
            measure()
    assert alone.details["left_out"] == 0


def test_a_split_without_documents_is_told_from_one_that_was_learned(tales: Workspace, worlds: ModuleType) -> None:
    own = pq.read_table(next(tales.get_dataset("tales").folder.glob("*.parquet"))).to_pydict()
    worlds.store_columns(tales, "unheld", {**own, "split": ["train"] * len(own["split"])})
    model = load_model(tales, "tales")
    for measure in (
        lambda: evaluate_model(tales, model, "unheld"),
        lambda: compare_models(tales, model, model, "unheld"),
    ):
        with raises_code("evaluate.no_held_out", data="unheld", split="val"):
            measure()
