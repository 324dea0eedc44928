"""Collecting scores: what is read, mended, dropped as a copy in another key, and kept in one split."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import genloom as gl
from genloom.media import music
from genloom.media.music.score import Note, Part, Score
from genloom.types import Item


def compose(seed: int, num_bars: int = 8, shift: int = 0) -> Score:
    rng = random.Random(seed)
    notes = tuple(Note(24 * n, 24, 60 + shift + rng.choice((0, 2, 4, 5, 7, 9, 11, 12))) for n in range(4 * num_bars))
    return Score((Part(73, notes),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def test_a_collection_of_all_formats_survives_its_worst_files(folder: Path) -> None:
    for number, suffix in enumerate((".mid", ".musicxml", ".mxl", ".abc")):
        music.save(Item(compose(number)), folder / f"tune{number}{suffix}")
    (folder / "broken.mid").write_bytes(b"MThd\x00\x00\x00\x06\x00\x01\xff\xff\xff\xff" + bytes(40))
    (folder / "empty.abc").write_text("X:1\nK:C\n")
    (folder / "page.xml").write_text("<html/>")
    workspace = gl.Workspace(folder.parent / "workspace")
    workspace.collect(folder, name="tunes")
    manifest = workspace.store.get_dataset("tunes").manifest
    assert manifest["documents"]["kept"] == 4
    codes = {note["source"]: note["code"] for note in manifest["notes"]}
    assert (codes["files/broken.mid"], codes["files/empty.abc"]) == ("music.damaged_midi", "music.no_notes")
    assert all(item.value.key for item in workspace.store.get_dataset("tunes").iter_documents("train"))


def test_copies_in_other_keys_are_dropped_and_passages_stay_together(folder: Path) -> None:
    music.save(Item(compose(1)), folder / "one.mid")
    music.save(Item(compose(1, shift=5)), folder / "higher.mid")
    for seed in range(2, 8):
        music.save(Item(compose(seed, 40)), folder / f"long{seed}.mid")
    workspace = gl.Workspace(folder.parent / "workspace")
    workspace.collect(folder, name="tunes", passage_bars=16, val=0.4, test=0)
    dataset = workspace.store.get_dataset("tunes")
    splits: dict[str, set[str]] = {}
    sources = []
    for split in ("train", "val"):
        for item in dataset.iter_documents(split):
            sources.append(item.source)
            splits.setdefault(item.source.partition(":")[0], set()).add(split)
            assert len(item.value.bars) <= 16
    assert len(sources) == 1 + 6 * 3
    assert all(len(each) == 1 for each in splits.values())
    assert {split for each in splits.values() for split in each} == {"train", "val"}


def test_a_table_of_midi_is_a_collection_of_tunes(folder: Path) -> None:
    rows = [{"content": music.encode(compose(seed)), "caption": f"tune {seed}"} for seed in range(4)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "tunes.parquet")
    report = gl.Workspace(folder.parent / "workspace").collect(folder / "tunes.parquet", name="tunes")
    assert report.medium == "music"
