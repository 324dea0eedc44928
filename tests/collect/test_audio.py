"""Collecting sounds: captions of every origin, clips, copies, options, groups in one split, and files that are bad."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import genloom as gl
from genloom.collect.audio import cut_clips
from genloom.media import audio
from genloom.media.audio.sound import Sound, make_sound
from genloom.types import Item
from tests.sounds import make_noise, make_tone, make_tune


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def collect(folder: Path, **options: Any) -> Any:
    workspace = gl.Workspace(folder.parent / "workspace")
    workspace.collect(folder, name="sounds", persons="none", **options)
    return workspace.store.get_dataset("sounds")


def list_items(dataset: Any) -> dict[str, Item]:
    return {item.source: item for split in ("train", "val", "test") for item in dataset.iter_documents(split)}


def save(sound: Sound, path: Path, **tags: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.save(Item(sound, meta={"tags": tags}), path)


def test_captions_come_from_sidecars_tables_tags_and_names(folder: Path) -> None:
    save(make_tune(1), folder / "one.wav")
    (folder / "one.txt").write_text("a sidecar's words")
    save(make_tune(2), folder / "two.mp3", title="the title of a tag")
    save(make_tune(3), folder / "wooden-drum_03.flac")
    save(make_tune(4), folder / "bells" / "REC_0001.ogg")
    save(make_tune(5), folder / "named.opus")
    (folder / "list.csv").write_text("file_name,text\nnamed.opus,a row of a table\n")
    save(make_tune(6), folder / "REC_0002.m4a")
    items = list_items(collect(folder, val=0, test=0))
    captions = {source.rpartition("/")[2]: item.meta["caption"] for source, item in items.items()}
    assert captions == {
        "one.wav": "a sidecar's words",
        "two.mp3": "the title of a tag",
        "wooden-drum_03.flac": "wooden drum",
        "REC_0001.ogg": "bells",
        "named.opus": "a row of a table",
        "REC_0002.m4a": "",
    }


def test_ljspeech_and_common_voice_are_read(folder: Path) -> None:
    save(make_tune(1), folder / "lj" / "wavs" / "LJ001-0001.wav")
    save(make_tune(2), folder / "lj" / "wavs" / "LJ001-0002.wav")
    (folder / "lj" / "metadata.csv").write_text(
        'LJ001-0001|Printed "in" 1440|Printed "in" fourteen forty\nLJ001-0002|Has a, comma|Has a, comma\n'
    )
    for number in (3, 4, 5):
        save(make_tune(number), folder / "cv" / "clips" / f"common_voice_{number}.mp3")
    rows = "".join(f"speaker{number % 2}\tcommon_voice_{number}.mp3\tSentence {number}.\n" for number in (3, 4, 5))
    (folder / "cv" / "validated.tsv").write_text(f"client_id\tpath\tsentence\n{rows}")
    items = list_items(collect(folder, val=0, test=0))
    captions = {source.rpartition("/")[2]: item.meta["caption"] for source, item in items.items()}
    assert captions["LJ001-0001.wav"] == 'Printed "in" fourteen forty'
    assert captions["LJ001-0002.wav"] == "Has a, comma"
    assert captions["common_voice_4.mp3"] == "Sentence 4."


@pytest.mark.parametrize("group", ["speaker", "folder"])
def test_speakers_or_folders_are_in_one_split(folder: Path, group: str) -> None:
    rows = []
    for number in range(24):
        name = f"{number}.wav"
        place = folder / f"s{number % 6}" if group == "folder" else folder
        save(make_tune(number), place / name)
        rows.append(f"{name},tune {number},{number % 6}\n")
    (folder / "list.csv").write_text("file,text,speaker\n" + "".join(rows))
    dataset = collect(folder, val=0.3, test=0, group=group)
    splits: dict[int, set[str]] = {}
    for split in ("train", "val"):
        for item in dataset.iter_documents(split):
            splits.setdefault(int(item.source.rpartition("/")[2][:-4]) % 6, set()).add(split)
    assert len(splits) == 6
    assert all(len(each) == 1 for each in splits.values())
    assert {split for each in splits.values() for split in each} == {"train", "val"}


def test_copies_are_dropped_in_other_formats_rates_and_levels(folder: Path) -> None:
    tune = make_tune(1)
    save(tune, folder / "a.wav")
    save(tune, folder / "b.mp3")
    save(make_sound(0.4 * tune.samples, tune.rate), folder / "c.flac")
    save(make_tune(2), folder / "other.wav")
    for seed in range(3):
        save(make_noise(seed, 1.0), folder / f"noise{seed}.wav")
    assert len(list_items(collect(folder))) == 5
    manifest = collect(folder, near_duplicates=0).manifest
    assert manifest["documents"]["kept"] == 7


def test_long_recordings_are_cut_at_quiet_places(folder: Path) -> None:
    tone, rest = make_tone(300, 0.9), make_sound(np.zeros(1600), 16_000)
    parts = [make_sound(np.concatenate([tone.samples, rest.samples], 1), 16_000)] * 6
    whole = make_sound(np.concatenate([part.samples for part in parts], 1), 16_000)
    clips = list(cut_clips(whole, 2.2))
    assert sum(clip.frames for clip in clips) == whole.frames
    assert all(clip.seconds <= 2.2 and np.abs(clip.samples[:, -200:]).max() < 0.02 for clip in clips)
    assert list(cut_clips(tone, 2.2)) == [tone]
    save(make_noise(1, 25.0), folder / "long.wav")
    items = list_items(collect(folder, clip_seconds=6, near_duplicates=0, val=0, test=0))
    assert len(items) in (5, 6)
    assert all(item.value.seconds <= 6 for item in items.values())


def test_options_change_the_rate_the_channels_the_edges_and_the_loudness(folder: Path) -> None:
    sound = make_tone(400, 1.0, 44_100, channels=2)
    save(make_sound(np.pad(sound.samples, ((0, 0), (20_000, 20_000))), 44_100), folder / "a.wav")
    dataset = collect(folder, rate=16_000, mono=True, trim=50, loudness=-30, val=0, test=0)
    (item,) = list_items(dataset).values()
    assert (item.value.rate, item.value.channels) == (16_000, 1)
    assert item.value.seconds == pytest.approx(1.0, abs=0.1)
    assert dataset.manifest["changed"] == {
        "mixed to mono": 1, "resampled": 1, "trimmed": 1, "set to one loudness": 1,
    }  # fmt: skip


def test_bad_files_are_told_and_cost_nothing_else(folder: Path) -> None:
    save(make_tune(1), folder / "good.wav")
    (folder / "text.wav").write_text("no sound")
    (folder / "half.flac").write_bytes(audio.encode(make_tune(2))[:5000])
    (folder / "empty.mp3").write_bytes(b"")
    save(make_sound(np.zeros(16_000), 16_000), folder / "silent.wav")
    manifest = collect(folder).manifest
    assert manifest["documents"]["kept"] == 1
    assert manifest["documents"]["removed"] == {"silent": 1}
    codes = {note["source"].rpartition("/")[2]: note["code"] for note in manifest["notes"]}
    assert codes["text.wav"] == "audio.not_a_sound"
    assert codes["half.flac"] == "audio.damaged"
    assert "empty.mp3" in codes


def test_tables_of_sounds_are_read_with_their_columns(folder: Path) -> None:
    table = pa.table(
        {
            "audio": [audio.encode(make_tune(seed)) for seed in range(3)],
            "text": ["one", "two", "three"],
            "loud": [1.0, 2.0, 3.0],
            "licence": ["CC0-1.0"] * 3,
        }
    )
    pq.write_table(table, folder / "sounds.parquet")
    items = list_items(collect(folder, keep=["loud"], val=0, test=0))
    assert {item.meta["caption"]: item.meta["loud"] for item in items.values()} == {"one": 1, "two": 2, "three": 3}
    assert {item.licence for item in items.values()} == {"CC0-1.0"}
