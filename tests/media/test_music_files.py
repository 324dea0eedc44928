"""Files of music as the world has them: performances, odd meters, huge and hostile files are mended or refused."""

import io
import random
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import symusic
from PIL import Image

from genloom.codecs.notes import Codec
from genloom.media import music
from genloom.media.music import midi
from genloom.media.music.notation import unpack_mxl
from genloom.media.music.roll import MAX_WIDTH
from genloom.media.music.score import DRUMS, Key, Meter, Note, Part, Score, Tempo, count_sharps, spell_pitch
from tests.errors import raises_code, raises_reason


def write_raw_midi(notes: list[tuple[int, int, int]], ticks: int = 480, is_drum: bool = False, **events: Any) -> bytes:
    """Return a MIDI file of notes (time, duration, pitch) with lists of other events by the name of their field."""
    file: Any = symusic.Score(ticks)
    track: Any = symusic.Track("", 0, is_drum)
    for time_, duration, pitch in notes:
        track.notes.append(symusic.Note(time_, duration, pitch, 80))
    for event in events.pop("controls", ()):
        track.controls.append(event)
    file.tracks.append(track)
    for name, values in events.items():
        for event in values:
            getattr(file, name).append(event)
    return bytes(file.dumps_midi())


def list_notes(score: Score) -> list[tuple[int, int, int]]:
    return sorted(note[:3] for part in score.parts for note in part.notes)


def test_a_performance_comes_on_the_grid_and_the_report_counts_what_moved() -> None:
    played = [(0, 470, 60), (487, 466, 62), (953, 480, 64), (1440, 480, 65)]
    pedals = [symusic.ControlChange(480 * n, 64, 127 * (n % 2 == 0)) for n in range(4)]
    score, repairs = midi.read_midi(write_raw_midi(played, controls=pedals))
    assert list_notes(score) == [(0, 24, 60), (24, 24, 62), (48, 24, 64), (72, 24, 65)]
    assert (repairs.moved, repairs.pedals) == (3, 2)
    assert str(repairs) == "3 notes moved to the grid of 24 a quarter, 2 pedals left out"
    assert len(score.parts) == 1
    assert str(midi.read_midi(midi.write_midi(score))[1]) == ""


def test_drums_and_tempo_maps_are_kept() -> None:
    tempos = [symusic.Tempo(480 * n, qpm=60 + n % 7) for n in range(3000)]
    score, _ = midi.read_midi(
        write_raw_midi([(480 * n, 240, 36 + n % 3) for n in range(3000)], is_drum=True, tempos=tempos)
    )
    assert [part.program for part in score.parts] == [DRUMS]
    assert len(score.tempos) == 3000
    begun = time.process_time()
    assert music.measure_seconds(score) == pytest.approx(
        sum(60 / (60 + n % 7) for n in range(3000)) - 60 / 63 / 2, rel=1e-3
    )
    assert time.process_time() - begun < 0.5
    codec = Codec()
    decoded = codec.decode(codec.encode(score.cut(0, 8)))
    assert [part.program for part in decoded.parts] == [DRUMS]
    assert len(decoded.tempos) > 1


@pytest.mark.parametrize(
    ("meters", "expected", "num_changed"),
    [
        ([(0, 3, 4)], (3, 4), 0),
        ([(0, 12, 4)], (6, 4), 1),  # twelve quarters: two bars of six
        ([(0, 17, 16)], (4, 4), 1),  # not on the codec's list
        ([(0, 0, 4)], (4, 4), 1),
        ([(0, 255, 4)], (4, 4), 1),
        ([], (4, 4), 0),
    ],
)
def test_wrong_meters_are_mended(
    meters: list[tuple[int, int, int]], expected: tuple[int, int], num_changed: int
) -> None:
    events = [symusic.TimeSignature(*meter) for meter in meters]
    score, repairs = midi.read_midi(write_raw_midi([(480 * n, 480, 60) for n in range(24)], time_signatures=events))
    assert (score.meters[0][1:], repairs.meters) == (expected, num_changed)
    codec = Codec()
    assert list_notes(codec.decode(codec.encode(score))) == list_notes(score)


def test_a_meter_begins_at_a_bar_line() -> None:
    events = [symusic.TimeSignature(0, 4, 4), symusic.TimeSignature(1000, 3, 4)]
    score, repairs = midi.read_midi(write_raw_midi([(0, 480, 60), (9600, 480, 62)], time_signatures=events))
    assert score.meters == (Meter(0, 4, 4), Meter(96, 3, 4))
    assert repairs.meters == 1


def test_huge_files_are_cut_at_the_limits_in_little_time() -> None:
    begun = time.process_time()
    ten_hours = [(480 * 2 * n, 480, 60 + n % 12) for n in range(36_000)]  # a note a second
    score, repairs = midi.read_midi(write_raw_midi(ten_hours))
    assert score.end <= midi.MAX_TICKS
    assert repairs.dropped == 36_000 - score.num_notes > 0
    file: Any = symusic.Score(24)
    for _ in range(1000):
        track: Any = symusic.Track("", 0, False)
        track.notes.append(symusic.Note(0, 24, 60, 80))
        file.tracks.append(track)
    many, repairs = midi.read_midi(bytes(file.dumps_midi()))
    assert (len(many.parts), repairs.dropped) == (midi.MAX_PARTS, 1000 - midi.MAX_PARTS)
    with raises_code("music.too_many_notes", count=midi.MAX_NOTES + 1):
        midi.read_midi(write_raw_midi([(n, 1, 60) for n in range(midi.MAX_NOTES + 1)], 24))
    assert time.process_time() - begun < 10


def test_a_sound_that_would_last_hours_is_refused() -> None:
    score = Score((Part(0, (Note(0, 24, 60), Note(midi.MAX_TICKS - 24, 24, 60))),))
    with raises_code("music.sound_too_long"):
        music.render(score, ".wav")


XML = """<?xml version="1.0"?>{doctype}
<score-partwise version="3.1"><part-list><score-part id="P1"><part-name>Flute</part-name></score-part></part-list>
<part id="P1"><measure number="1"><attributes><divisions>1</divisions><key><fifths>0</fifths></key>
<time><beats>4</beats><beat-type>4</beat-type></time></attributes>
{notes}</measure></part></score-partwise>"""
NOTE = "<note><pitch><step>C</step><octave>4</octave></pitch><duration>1</duration><type>quarter</type></note>"


def test_musicxml_is_read_and_its_traps_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tune.xml"
    path.write_text(XML.format(doctype="", notes=NOTE * 4))
    assert list_notes(music.open(path).value) == [(24 * n, 24, 60) for n in range(4)]
    bomb = '<!DOCTYPE score-partwise [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    for encoding in ("utf-8", "utf-16"):
        path.write_bytes(XML.format(doctype=bomb, notes=NOTE + "&b;").encode(encoding))
        with raises_reason("media.unreadable", "music.xml_entities"):
            music.open(path)
    for text in (
        "<html><body>no score</body></html>",
        "<svg xmlns='http://www.w3.org/2000/svg'/>",
        "plain words",
        "{}",
    ):
        path.write_text(text)
        with raises_code("media.unreadable"):
            music.open(path)
    path.write_text(XML.format(doctype="", notes=""))
    with raises_reason("media.unreadable", "music.no_notes"):
        music.open(path)


def test_archives_without_a_score_or_damaged_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tune.mxl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cover.png", b"")
    with raises_reason("media.unreadable", "music.no_score_in_archive"):
        music.open(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("score.xml", random.Random(0).randbytes(2000))
    data = bytearray(path.read_bytes())
    data[200:1200] = bytes(1000)
    path.write_bytes(bytes(data))
    with raises_reason("media.unreadable", "music.damaged_notation"):
        music.open(path)


def test_abc_with_repeats_and_several_tunes_is_read() -> None:
    tune = "X:{}\nT:{}\nM:2/4\nL:1/4\nK:G\n|:GA|Bc:|\n"
    pieces = music.read((tune.format(1, "One") + "\n" + tune.format(2, "Two")).encode(), ".abc")
    assert [score.title for score, _ in pieces] == ["One", "Two"]
    assert list_notes(pieces[0][0])[:4] == [(0, 24, 67), (24, 24, 69), (48, 24, 71), (72, 24, 72)]


def test_marks_that_are_not_understood_are_counted(capfd: pytest.CaptureFixture[str]) -> None:
    ((score, repairs),) = music.read(b"X:1\nM:2/4\nL:1/4\nK:C\nCD|E^|\n", ".abc")
    assert (score.num_notes > 0, repairs.unread, str(repairs)) == (True, 1, "1 mark not understood")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("seed", range(3))
def test_abc_holds_the_same_notes(seed: int) -> None:
    rng, parts = random.Random(seed), []
    for program in (40, 0):
        notes, tick = [], 0
        while tick < 6 * 72:
            duration = rng.choice((6, 8, 12, 24, 36, 80))
            notes += [Note(tick, duration, pitch) for pitch in rng.sample(range(40, 80), rng.choice((1, 1, 2)))]
            tick += duration + rng.choice((0, 0, 12))
        parts.append(Part(program, tuple(sorted(notes)), 'A "name"\n'))
    key = Key(rng.randrange(12), rng.choice(("major", "minor", "dorian", "mixolydian")))
    score = Score(tuple(parts), (Meter(0, 3, 4),), (Tempo(0, 90.0), Tempo(144, 60.0)), key, title="Two\nlines")
    data = music.render(score, ".abc")
    ((read, _),) = music.read(data, ".abc")
    assert list_notes(read) == list_notes(score)
    assert (read.meters, read.title) == (score.meters, "Two lines")


def test_abc_is_as_musicians_write_it() -> None:
    tune = Score(
        (Part(73, (Note(0, 24, 73), Note(24, 48, 74), Note(72, 60, 58))),), (Meter(0, 4, 4),), key=Key(2, "minor")
    )
    text = music.render(tune, ".abc").decode()
    assert "K:Dm" in text
    assert text.splitlines()[-1] == "^c2 d4 B,2- | B,3 z5 |]"


def test_pitches_are_spelled_in_their_key() -> None:
    for tonic, leading_note in ((2, "C#"), (7, "F#"), (0, "B"), (5, "E")):
        letter, alter, _ = spell_pitch(72 + tonic - 1, count_sharps(Key(tonic, "minor")))
        assert letter + "#" * alter == leading_note
    assert spell_pitch(60, 7)[:2] == ("B", 1)  # B# in C sharp major
    assert spell_pitch(60, 7)[2] == 3


@pytest.mark.parametrize("suffix", [".krn", ".gif", ".pdf", ""])
def test_what_is_not_written_is_refused(suffix: str) -> None:
    with raises_code("music.bad_save_suffix"):
        music.render(Score((Part(0, (Note(0, 24, 60),)),)), suffix)


@pytest.mark.parametrize("num_bars", [1, 16, 100, 4000])
def test_rolls_are_no_wider_than_a_page(num_bars: int) -> None:
    parts = tuple(Part(40 + n, tuple(Note(96 * bar, 100, 60 + n) for bar in range(num_bars))) for n in range(3))
    image = Image.open(io.BytesIO(music.render(Score(parts), ".png")))
    assert image.width <= MAX_WIDTH + 1
    assert image.height < 6000
    if num_bars == 16:
        assert image.height > 2 * Image.open(io.BytesIO(music.render(Score(parts).cut(0, 2), ".png"))).height * 0.8


def test_captions_of_a_sheet_are_wrapped() -> None:
    score = Score((Part(40, (Note(0, 96, 60),)),))
    short, long = (Image.open(io.BytesIO(music.sheet([score], ["a waltz " * count]).data)).size for count in (1, 20))
    assert short[0] == long[0]
    assert long[1] > short[1]


def test_engraving_needs_verovio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "verovio", None)
    with raises_code("music.no_verovio"):
        music.render(Score((Part(40, (Note(0, 96, 60),)),)), ".svg")


@pytest.mark.parametrize("suffix", [".musicxml", ".mxl"])
def test_written_scores_have_rests_and_a_clef_for_low_parts(suffix: str, tmp_path: Path) -> None:
    score = Score((Part(40, (Note(48, 24, 72), Note(120, 24, 74))), Part(42, (Note(0, 192, 40),))))
    data = music.render(score, suffix)
    xml = data.decode() if suffix == ".musicxml" else unpack_mxl(data).decode()
    assert xml.count("<rest") == 4
    assert xml.count("<sign>F</sign>") == 1
    assert "natural" not in xml
    (tmp_path / f"tune{suffix}").write_bytes(data)
    back = music.open(tmp_path / f"tune{suffix}").value
    assert [part.notes for part in back.parts] == [part.notes for part in score.parts]


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "symusic", None)
    with raises_code("music.library_missing", library="symusic"):
        midi.read_midi(b"MThd")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".mid", ".abc"])
def test_a_recording_is_told_from_a_damaged_tune(suffix: str, tmp_path: Path) -> None:
    tune = midi.read_midi(write_raw_midi([(0, 480, 60)]))[0]
    written = suffix if suffix in music.SOUND_SUFFIXES else ".wav"
    (tmp_path / f"a{suffix}").write_bytes(music.render(tune, written))
    with raises_reason("media.unreadable", "music.sound_file"):
        music.open(tmp_path / f"a{suffix}")
    (tmp_path / "a.mid").write_bytes(b"MTxx")
    with raises_reason("media.unreadable", "music.damaged_midi"):
        music.open(tmp_path / "a.mid")
