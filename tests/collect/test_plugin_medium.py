"""A medium of another package is collected by five functions; all else has defaults, and options of its own work."""

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.cli.options.collecting import build_collect_flags
from genloom.collect import Report, captions, collect, media_tables
from genloom.collect.audio.options import Config as AudioConfig
from genloom.collect.image.options import Config as ImageConfig
from genloom.collect.molecule import Config as MoleculeConfig
from genloom.collect.music import Config as MusicConfig
from genloom.collect.options import Options
from genloom.collect.preparation import REQUIRED_NAMES, build_options, get_preparation
from genloom.collect.text.options import Config as TextConfig
from genloom.settings import option
from genloom.store.dataset import SPLITS
from genloom.store.workspace import Workspace
from genloom.types import Item
from tests.errors import raises_code

SHARED = {f.name for f in fields(Options)}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@dataclass(frozen=True)
class MelodyConfig(Options):
    """Options that a medium adds, and a default that it changes."""

    near_duplicates: float = option(0.0, "Melodies are not compared.", maximum=0)
    transpose: int = option(0, "Pitches by which every melody is moved up.", minimum=0, maximum=3)


@pytest.fixture
def melodies(beeps: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    module = importlib.import_module("genloom_beeps.preparation")
    build_document = module.build_document

    def transpose(raw: Any, options: MelodyConfig, counters: Any) -> Any:
        content = json.loads(raw.data)
        notes = [(note + options.transpose) % beeps.NUM_PITCHES for note in content["notes"]]
        raw = replace(raw, data=json.dumps({**content, "notes": notes}).encode())
        return build_document(raw, options, counters)

    monkeypatch.setattr(module, "Config", MelodyConfig, raising=False)
    monkeypatch.setattr(module, "build_document", transpose)
    folder = tmp_path / "melodies"
    folder.mkdir()
    for n in range(6):
        content = {"notes": [n % 4, 1, 2, n // 4], "tempo": n / 2, "chords": [[[n, 1.0]], [[2.0, 3.0]]]}
        (folder / f"{n}.beep").write_text(json.dumps(content))
    get_preparation.cache_clear()
    yield folder
    get_preparation.cache_clear()


def run(folder: Path, workspace: Workspace, **options: Any) -> tuple[Report, list[Item]]:
    *_, last = collect([folder], workspace, "mine", options)
    assert last.report is not None
    dataset = workspace.get_dataset("mine")
    items = [item for split in SPLITS for item in dataset.iter_documents(split)]
    return last.report, sorted(items, key=lambda item: item.source)


def test_five_functions_and_defaults_collect_a_medium(melodies: Path, workspace: Workspace) -> None:
    module_names = set(vars(importlib.import_module("genloom_beeps.preparation")))
    assert set(REQUIRED_NAMES) <= module_names
    assert not module_names & {"select", "resolve", "build_columns", "render_sections", "describe_splits", "summary"}
    (melodies / "readme.md").write_text("about them")
    report, items = run(melodies, workspace)
    assert (report.medium, report.documents_kept) == ("beeps", 6)
    assert [item.value for item in items] == [(n % 4, 1, 2, n // 4) for n in range(6)]
    assert [item.meta["tempo"] for item in items] == [n / 2 for n in range(6)]
    assert np.array_equal(items[4].meta["chords"], np.array([[[4, 1]], [[2, 3]]], np.float32))
    assert [note.is_skipped for note in report.notes] == [False], "the other file is noted"
    card = (report.folder / "CARD.md").read_text()
    assert "A hash of its content and the seed decides whether a melody of the collection" in card


def test_a_medium_has_its_own_options_and_defaults(melodies: Path, workspace: Workspace) -> None:
    _, items = run(melodies, workspace, transpose=1)
    assert items[0].value == (1, 2, 3, 1)
    options = workspace.get_dataset("mine").manifest["options"]
    assert (options["transpose"], options["near_duplicates"]) == (1, 0.0)
    assert "size" not in options
    with raises_code("collect.bad_option", option="--transpose", value=9):
        run(melodies, workspace, transpose=9)
    with raises_code("collect.unsupported_option", option="--size", medium="beeps"):
        run(melodies, workspace, size=64)
    with raises_code("collect.unknown_option", option="--tempo", medium="beeps"):
        run(melodies, workspace, tempo=64)


def test_the_command_line_has_the_options_of_every_medium(melodies: Path) -> None:
    names = {f.name for f in fields(build_collect_flags())}
    own_names = {
        f.name for config in (AudioConfig, TextConfig, ImageConfig, MoleculeConfig, MusicConfig) for f in fields(config)
    } - SHARED
    assert names == {*own_names, "transpose"}
    assert not names & SHARED


def test_options_are_of_their_types() -> None:
    options = build_options("text", {"scrub": "email", "languages": ["en", "de"]})
    assert (vars(options)["scrub"], vars(options)["languages"]) == (("email",), ("en", "de"))


def test_without_files_of_any_medium_the_one_that_accepts_any_file_is_chosen(
    tmp_path: Path, workspace: Workspace
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "notes.odd").write_text("A text under a name that no medium knows.")
    report, _ = run(folder, workspace)
    assert report.medium == "text"


def test_built_in_sources_are_those_of_the_media(workspace: Workspace) -> None:
    sources = get_preparation("text").builtin_sources
    assert sources["shakespeare"].is_file()
    assert not get_preparation("image").builtin_sources
    known = ", ".join(sorted({*sources, *get_preparation("design").builtin_sources}))
    with raises_code("collect.no_such_builtin", source="builtin:shakespear", known=known):
        list(collect(["builtin:shakespear"], workspace, "mine"))


@pytest.mark.parametrize("is_struct", [False, True])
def test_a_table_with_the_bytes_of_any_medium_is_read(tmp_path: Path, is_struct: bool) -> None:
    """Hugging Face writes sounds like images: a struct of bytes and path."""
    data = [b"RIFF-1", b"RIFF-2"]
    sounds = [{"bytes": d, "path": f"{n}.wav"} for n, d in enumerate(data)] if is_struct else data
    table = pa.table({"audio": sounds, "text": ["one", "two"], "rate": [8000, 16000]})
    path = tmp_path / "sounds.parquet"
    pq.write_table(table, path)
    assert media_tables.has_media(path, ("audio",))
    assert not media_tables.has_media(tmp_path / "nothing.parquet", ("audio",))
    rows = list(media_tables.read_media_rows(path, "", ("audio",), ["rate"]))
    assert [row.data for row in rows] == data
    assert [row.caption_entry for row in rows] == [
        captions.CaptionEntry("one", kept_values={"rate": 8000}),
        captions.CaptionEntry("two", kept_values={"rate": 16000}),
    ]
    assert [row.name for row in rows] == (["0.wav", "1.wav"] if is_struct else ["", ""])
