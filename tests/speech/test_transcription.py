"""Recordings that are written down: subtitles with times, pieces of long ones, bad files, replays."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import genloom as gl
from genloom.errors import GenloomError
from genloom.speech.recording import RATE, find_quiet_cut, iter_pieces, join_blocks
from genloom.speech.transcript import Segment, Transcript, Word, build_captions, format_time, parse_transcript
from tests.speech.tiny_listener import add_listening_model

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("av")
pytest.importorskip("faster_whisper")


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gl.Workspace:
    workspace = gl.Workspace(tmp_path / "home")
    add_listening_model(workspace.store, monkeypatch)
    return workspace


def write_recording(path: Path, loud: list[bool], rate: int = RATE, channels: int = 1) -> Path:
    """Write a second of noise or of silence for each flag."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, rate).astype(np.float32)
    samples = np.concatenate([noise if each else np.zeros(rate, np.float32) for each in loud])
    soundfile.write(path, np.repeat(samples[:, None], channels, 1), rate)
    return path


@pytest.mark.parametrize(("suffix", "rate", "channels"), [(".wav", 44100, 2), (".mp3", 24000, 1), (".flac", 16000, 1)])
def test_a_recording_is_written_down_with_times(
    ws: gl.Workspace, tmp_path: Path, suffix: str, rate: int, channels: int
) -> None:
    path = write_recording(tmp_path / f"talk{suffix}", [True, False, True], rate, channels)
    found = ws.transcribe(path)
    assert found.text == "Good morning. Good morning."
    assert found.language == "en"
    assert found.seconds == pytest.approx(3, abs=0.1)
    assert found.segments[0].start == 0
    assert found.segments[0].words[1].text == " morning."
    assert found.output.record["medium"] == "text"
    assert found.output.replay() == found.render("txt")
    path.unlink()
    with pytest.raises(GenloomError) as caught:
        found.output.replay()
    assert caught.value.code == "speech.source_changed"


def test_transcripts_are_saved_in_the_format_of_their_suffix(ws: gl.Workspace, tmp_path: Path) -> None:
    found = ws.transcribe(write_recording(tmp_path / "talk.wav", [True]))
    for name in ("txt", "srt", "vtt", "json"):
        path = found.save(tmp_path / f"talk.{name}", note=lambda problem: None)
        assert "Good" in path.read_text()
    assert json.loads((tmp_path / "talk.json").read_text())["segments"][0]["words"][0]["text"] == " Good"
    assert (tmp_path / "talk.vtt").read_text().startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.900\n")
    for name, to in (("x.pdf", ""), ("x.srt", "vtt")):
        with pytest.raises(GenloomError):
            found.save(tmp_path / name, to=to)


def test_speech_is_translated_and_languages_are_checked(
    ws: gl.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recording(tmp_path / "talk.wav", [True])
    assert ws.transcribe(path, language="de", to_english=True).text == "Translated words."
    with pytest.raises(GenloomError, match="knows en, de"):
        ws.transcribe(path, language="xx")
    add_listening_model(ws.store, monkeypatch, is_english=True)
    assert ws.transcribe(path).language == "en"
    with pytest.raises(GenloomError) as caught:
        ws.transcribe(path, language="de")
    assert caught.value.code == "speech.english_only"


def test_silence_is_an_empty_transcript(ws: gl.Workspace, tmp_path: Path) -> None:
    found = ws.transcribe(write_recording(tmp_path / "silence.wav", [False]))
    assert (found.text, found.segments) == ("", ())


@pytest.mark.parametrize("content", [b"", b"no sound", b"RIFF\0\0\0\0WAVE", bytes(5000)])
def test_files_without_sound_are_refused(ws: gl.Workspace, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(GenloomError) as caught:
        ws.transcribe(tmp_path / "bad.wav")
    assert caught.value.code == "speech.bad_recording"
    with pytest.raises(GenloomError) as caught:
        ws.transcribe(tmp_path / "none.wav")
    assert caught.value.code == "speech.no_recording"


def test_a_truncated_recording_is_transcribed_as_far_as_it_goes(ws: gl.Workspace, tmp_path: Path) -> None:
    path = write_recording(tmp_path / "talk.flac", [True] * 4)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert ws.transcribe(path).text.startswith("Good morning.")


def test_long_recordings_are_cut_where_they_are_quiet(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "long.wav", [True, True, False, True, True, False, True])
    pieces = list(iter_pieces(path, piece_seconds=4))
    assert [piece.is_last for piece in pieces] == [False, False, True]
    assert 2 <= pieces[1].start <= 3
    assert 5 <= pieces[2].start <= 6
    whole = np.concatenate([piece.samples for piece in pieces])
    (alone,) = iter_pieces(path)
    assert np.array_equal(whole, alone.samples)
    assert pieces[2].start == sum(len(piece.samples) for piece in pieces[:2]) / RATE


def test_the_quietest_place_is_found() -> None:
    levels = np.full(RATE * 10, 1000, np.int16)
    levels[RATE * 7 : RATE * 7 + RATE // 2] = 0
    assert RATE * 7 <= find_quiet_cut(levels) <= RATE * 7.5


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 60))
def test_blocks_are_joined_without_loss(sizes: list[int], size: int) -> None:
    blocks = [np.full(each, number, np.int16) for number, each in enumerate(sizes)]
    joined = list(join_blocks(blocks, size))
    assert np.array_equal(np.concatenate([np.zeros(0), *joined]), np.concatenate([np.zeros(0), *blocks]))
    assert all(len(each) >= size for each in joined[:-1])


TIMES = st.floats(0, 1e5, allow_nan=False)


@given(TIMES)
def test_times_of_subtitles_have_three_decimals(seconds: float) -> None:
    assert re.fullmatch(r"\d{2,}:[0-5]\d:[0-5]\d,\d{3}", format_time(seconds, ","))


def test_long_segments_become_captions_that_fit_on_a_screen() -> None:
    words = tuple(Word(f" word{n}", n * 0.3, n * 0.3 + 0.2, 1.0) for n in range(60))
    segment = Segment("".join(word.text for word in words).strip(), 0, 18, words)
    captions = build_captions([segment])
    assert all(len(each.text) <= 84 and each.end - each.start <= 7.01 for each in captions)
    assert " ".join(each.text for each in captions) == segment.text
    transcript = Transcript((segment, Segment("<b> & -->", 19, 20)), "en", 1.0, 20.0)
    assert max(map(len, transcript.render("srt").splitlines())) <= 45
    assert "&lt;b> &amp; --&gt;" in transcript.render("vtt")
    assert parse_transcript(json.loads(transcript.render("json"))) == transcript
