"""Scores in files: each format comes back, and broken or hostile files give one sentence."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genloom.errors import GenloomError
from genloom.media import music
from genloom.media.music import midi
from genloom.media.music.controls import (
    Controls,
    list_unread_words,
    pack_controls,
    read_key,
    read_words,
    unpack_controls,
)
from genloom.media.music.excerpts import draw_excerpt, iter_closes
from genloom.media.music.score import Key, Meter, Note, Part, Score, Tempo, find_key, split_voices
from genloom.media.music.theory import find_faults
from genloom.types import Item

SCALE = tuple(Note(24 * i, 24, 60 + step) for i, step in enumerate((0, 2, 4, 5, 7, 9, 11, 12)))
SCORE = Score(
    (Part(40, SCALE, "Violin"), Part(42, (Note(0, 96, 48), Note(96, 96, 43)), "Cello")),
    (Meter(0, 2, 4),),
    (Tempo(0, 96.0),),
    Key(0, "major"),
)


def list_notes(score: Score) -> list[tuple[Note, ...]]:
    return [part.notes for part in score.parts]


@pytest.mark.parametrize("suffix", [".mid", ".musicxml", ".mxl"])
def test_a_file_holds_the_same_notes(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"tune{suffix}"
    music.save(Item(SCORE), path)
    score = music.open(path).value
    assert list_notes(score) == list_notes(SCORE)
    assert (score.meters, score.key) == (SCORE.meters, SCORE.key)
    assert round(score.tempos[0].bpm) == 96


def test_abc_and_kern_are_read(tmp_path: Path) -> None:
    (tmp_path / "tune.abc").write_text("X:1\nT:Steps\nM:2/4\nL:1/4\nK:C\nCD|EF|GA|Bc|\n")
    item = music.open(tmp_path / "tune.abc")
    assert list_notes(item.value) == [SCALE]
    assert (item.value.meters, item.meta["title"]) == ((Meter(0, 2, 4),), "Steps")
    (tmp_path / "tune.krn").write_text("**kern\n*M2/4\n=1\n4c\n4d\n=2\n4e\n4f\n=3\n4g\n4a\n=4\n4b\n4cc\n==\n*-\n")
    assert list_notes(music.open(tmp_path / "tune.krn").value) == [SCALE]


def test_excerpts_are_phrases_that_end_on_the_tonic() -> None:
    def write_phrase(bar: int, last: int) -> list[Note]:
        """Return two bars that begin with an eighth of rest and end on a long note."""
        begin, durations = 96 * bar + 12, (24, 24, 24, 12, 84)
        onsets = np.cumsum((begin, *durations[:-1])).tolist()
        return list(map(Note, onsets, durations, (67, 65, 64, 62, last)))

    notes = [note for bar in range(0, 16, 2) for note in write_phrase(bar, 60 if bar % 4 else 62)]
    score = Score((Part(73, tuple(notes)),), key=Key(0, "major"))
    ends = {end for end, _ in iter_closes(score)}
    assert ends == {96 * bar + 84 for bar in (3, 7, 11, 15)}
    rng = np.random.default_rng(0)
    excerpts = [draw_excerpt(score, rng) for _ in range(40)]
    lengths = {len(excerpt.bars) for excerpt in excerpts if excerpt is not None}
    assert lengths == {4, 8, 12}
    for excerpt in excerpts:
        assert excerpt is not None
        assert (excerpt.begins, excerpt.ends) == (True, True)
        assert excerpt.parts[0].notes[0].onset == 12
        assert excerpt.parts[0].notes[-1].pitch == 60


@pytest.mark.parametrize("change", ["[M:3/4]", "\nM:3/4\n"])
def test_the_meter_of_an_abc_tune_can_change(change: str, tmp_path: Path) -> None:
    (tmp_path / "tune.abc").write_text(f"X:1\nM:2/4\nL:1/4\nK:D\nC|DE|FG|{change}ABc|d3|[M:2/4]dC|\n")
    score = music.open(tmp_path / "tune.abc").value
    assert score.meters == (Meter(0, 2, 4), Meter(144, 3, 4), Meter(288, 2, 4))
    assert [note.onset for note in score.parts[0].notes] == [24, 48, 72, 96, 120, 144, 168, 192, 216, 288, 312]
    assert [note.pitch for note in score.parts[0].notes][-2:] == [74, 61]  # the key holds on


@pytest.mark.parametrize(
    ("bars", "onsets"),
    [
        ("CD|E|FG|Bc|", [0, 1, 2, 4, 5, 6, 7]),
        ("CD|E:||:F|GA|", [0, 1, 2, 3, 4, 5]),
        ("C|DE|F|GA|B|", [1, 2, 3, 4, 6, 7, 8]),
    ],
)
def test_a_short_bar_does_not_shift_the_bars_after_it(bars: str, onsets: list[int], tmp_path: Path) -> None:
    (tmp_path / "tune.abc").write_text(f"X:1\nM:2/4\nL:1/4\nK:C\n{bars}\n")
    score = music.open(tmp_path / "tune.abc").value
    assert [note.onset / 24 for note in score.parts[0].notes] == onsets
    assert score.meters == (Meter(0, 2, 4),)


def test_a_broken_tune_costs_only_itself(tmp_path: Path) -> None:
    tunes = [
        "X:1\nM:2/4\nL:1/4\nK:C\nCD|EF|GA|Bc|\n",
        "X:2\nM:9/0\nK:C\nCDE|\n",
        "X:3\nM:2/4\nL:1/4\nK:C\nCD|EF|GA|Bc|\n",
    ]
    problems: list[str] = []
    pieces = music.read("\n".join(tunes).encode(), ".abc", problems)
    assert [list_notes(score) for score, _ in pieces] == [[SCALE], [SCALE]]
    assert len(problems) == 1
    assert problems[0].startswith("tune 2 of 3: ")
    with pytest.raises(ValueError, match="damaged"):
        music.read(tunes[1].encode(), ".abc")


def test_midi_in_a_riff_file_is_read() -> None:
    data = music.render(SCORE, ".mid")
    riff = b"RIFF" + (len(data) + 12).to_bytes(4, "little") + b"RMIDdata" + len(data).to_bytes(4, "little") + data
    assert list_notes(music.decode(riff)) == list_notes(SCORE)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_sound_has_its_length_and_loudness(suffix: str) -> None:
    import pyloudnorm
    import soundfile

    audio, rate = soundfile.read(io.BytesIO(music.render(SCORE, suffix)), dtype="float64")
    assert abs(len(audio) / rate - (music.measure_seconds(SCORE) + 1.5)) < 0.1
    assert abs(pyloudnorm.Meter(rate).integrated_loudness(audio) + 16) < 1
    assert np.abs(audio).max() < 1


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (b"", ".mid"),
        (b"MThd" + bytes(20), ".mid"),
        (b"RIFF....", ".midi"),
        (b"<score-partwise><part>", ".musicxml"),
        (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "cc">]><score-partwise>&b;</score-partwise>', ".xml"),
        (b"PK\x03\x04broken", ".mxl"),
        (b"X:1\nK:C\n", ".abc"),
        (b"!! nothing", ".krn"),
        (b"<html></html>", ".html"),
    ],
)
def test_broken_files_give_one_sentence(data: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(data)
    with pytest.raises(GenloomError) as error:
        music.open(path)
    assert error.value.code == "media.unreadable"
    assert len(str(error.value)) < 400


def test_a_bomb_in_an_archive_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.mxl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("score.xml", bytes(64 << 20))
    with pytest.raises(GenloomError):
        music.open(path)


def test_absurd_midi_is_repaired_or_refused() -> None:
    long = Score((Part(0, (Note(0, 24, 60), Note(24, 24, 62), Note(midi.MAX_TICKS, 24, 64))),))
    score, repairs = midi.read_midi(midi.write_midi(long))
    assert (score.num_notes, repairs.dropped) == (2, 1)
    many = Score(tuple(Part(n, (Note(0, 24, 60),)) for n in range(100)))
    assert len(midi.read_midi(midi.write_midi(many))[0].parts) == midi.MAX_PARTS


def test_words_name_controls() -> None:
    controls = read_words("a slow waltz in D minor for string quartet")
    assert (controls.key, controls.meter, controls.programs) == (Key(2, "minor"), (3, 4), (40, 40, 41, 42))
    assert read_words("a sad jig").mode == "minor"
    assert read_words("16 bars for flute and two violins") == Controls(programs=(73, 40, 40), bars=16)
    assert read_key("F# dorian") == Key(6, "dorian")
    assert read_key("H minor") == Key(11, "minor"), "as in German"
    assert read_key("I major") is None
    assert unpack_controls(pack_controls(controls)) == controls


def test_voices_and_keys_are_found() -> None:
    chords = tuple(Note(24 * i, 24, pitch) for i in range(4) for pitch in (48 + i, 60 - i))
    assert [len(line) for line in split_voices(chords)] == [4, 4]
    assert find_key(SCORE) == Key(0, "major")
    assert find_key(SCORE.transpose(3)) == Key(3, "major")


def test_faults_are_found() -> None:
    upper, lower = (Note(0, 24, 67), Note(24, 24, 69)), (Note(0, 24, 60), Note(24, 24, 62))
    score = Score((Part(73, upper), Part(73, lower)))
    assert [fault.rule for fault in find_faults(score)] == ["parallel fifths"]
    crossing = Score((Part(73, (Note(0, 24, 60),)), Part(73, (Note(0, 24, 67),))))
    assert [fault.rule for fault in find_faults(crossing)] == ["crossing"]
    assert find_faults(SCORE) == []


def test_style_is_the_same_in_another_key_and_tells_major_from_minor() -> None:
    style = music.extract_style_features(SCORE)
    moved = music.extract_style_features(SCORE.transpose(2))
    assert np.abs(np.delete(style - moved, 4)).max() < 1e-9
    minor = replace(
        SCORE, parts=(Part(40, tuple(n._replace(pitch=n.pitch - (n.pitch % 12 in (4, 9, 11))) for n in SCALE)),)
    )
    assert style[0] > 0 > music.extract_style_features(minor)[0]
    assert style[6] > 0.5
    assert not music.extract_style_features(Score(())).any()


def test_passages_and_cuts_keep_bars() -> None:
    assert [len(passage.bars) for passage in music.split(SCORE, 2)] == [2, 2]
    assert music.cut(SCORE, 5).num_notes <= 5
    assert SCORE.cut(1, 2).bars == ((0, Meter(0, 2, 4)),)


@pytest.mark.parametrize(
    ("prompt", "unread"),
    [
        ("", []),
        ("a waltz in H minor for kazoo", ["kazoo"]),
        ("a slow waltz in D minor for string quartet", []),
        ("Bb major 6/8 120 bpm, 8 bars", []),
        ("a happy tune about the sea with two violins, about the sea", ["about", "sea"]),
    ],
)
def test_words_of_a_prompt_without_a_meaning_are_listed(prompt: str, unread: list[str]) -> None:
    assert list_unread_words(prompt) == unread
