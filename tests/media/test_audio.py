"""Sounds: files of all formats, limits that headers must keep, and damaged files of every kind."""

import io
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from genloom.errors import GenloomError
from genloom.media import audio
from genloom.media.audio import libraries, processing, reading, writing
from genloom.media.audio.sound import Sound, make_sound
from genloom.types import Item
from tests.errors import raises_code, raises_reason
from tests.sounds import make_noise, make_tone, make_tune


def write_wave(samples: np.ndarray, rate: int = 16_000, subtype: str = "FLOAT") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", writing.SUFFIXES)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_keeps_the_sound_and_its_tags(tmp_path: Path, suffix: str, channels: int) -> None:
    sound = make_tone(440, rate=48_000, channels=channels)
    path = tmp_path / f"tone{suffix}"
    audio.save(Item(sound, meta={"tags": {"title": "Ein schöner Ton", "comment": "made here"}}), path)
    item = audio.open(path)
    assert (item.value.rate, item.value.channels, item.value.frames) == (48_000, channels, sound.frames)
    assert (item.meta["title"], item.meta["caption"]) == ("Ein schöner Ton", "made here")
    if suffix in (".wav", ".flac", ".aiff"):
        assert item.value == sound
    else:
        levels = [processing.measure_levels(each.samples, 2400) for each in (sound, item.value)]
        assert np.abs(levels[0] - levels[1]).max() < 0.05


def test_other_rates_are_kept_or_changed_to_one_that_the_format_has() -> None:
    sound = make_noise(1, rate=37_800)
    assert reading.read_sound(writing.write_sound(sound, ".flac")).sound == sound
    for suffix, rate in ((".opus", 48_000), (".mp3", 44_100), (".m4a", 44_100)):
        assert reading.read_sound(writing.write_sound(sound, suffix)).sound.rate == rate


def test_resampling_keeps_the_pitch_and_the_length() -> None:
    tone = make_tone(440, rate=44_100)
    lower = processing.change_rate(tone, 16_000)
    assert lower.seconds == pytest.approx(tone.seconds, abs=1e-3)
    peak = np.abs(np.fft.rfft(lower.samples[0])).argmax() / lower.seconds
    assert peak == pytest.approx(440, abs=3)


def test_silence_is_trimmed_and_loudness_set() -> None:
    tone = make_tone(440, 1.0)
    padded = make_sound(np.pad(tone.samples, ((0, 0), (8000, 8000))), tone.rate)
    trimmed = processing.trim_silence(padded, -60)
    assert trimmed.seconds == pytest.approx(1.0, abs=0.1)
    assert processing.measure_loudness(processing.set_loudness(tone, -30)) == pytest.approx(-30, abs=0.2)
    assert np.abs(processing.set_loudness(tone, -3).samples).max() < 0.98
    silence = make_sound(np.zeros(16_000), 16_000)
    assert processing.set_loudness(silence, -20) == silence
    assert processing.trim_silence(silence) == silence


def test_files_are_read_by_their_content_and_not_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "really-flac.wav"
    path.write_bytes(audio.encode(make_tone(300)))
    assert audio.open(path).value == make_tone(300)


NOISE = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
WITH_NAN = np.where(np.arange(16_000) == 500, np.nan, NOISE)
WHOLE = write_wave(NOISE, subtype="PCM_16")
LONG = WHOLE[:40] + struct.pack("<I", 2 * 16_000 * 36_000) + WHOLE[44:]  # a header of ten hours
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "media.empty_file"),
    "text": (b"This is a text and no sound.", "audio.not_a_sound"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "audio.not_a_sound"),
    "truncated wave": (WHOLE[:9000], "audio.truncated"),
    "no samples": (write_wave(np.zeros(0)), "audio.empty"),
    "not numbers": (write_wave(WITH_NAN), "audio.not_finite"),
    "infinite": (write_wave(np.full(100, np.inf)), "audio.not_finite"),
    "many channels": (write_wave(np.zeros((100, 32))), "audio.too_many_channels"),
    "low rate": (write_wave(NOISE, 100), "audio.bad_rate"),
    "header of nothing": (b"RIFF\x24\x00\x00\x00WAVE" + bytes(40), "audio.damaged"),
    "wrong header": (b"fLaC" + WHOLE[4:], "audio.damaged"),
    "half a flac": (audio.encode(make_noise(0))[:4000], "audio.damaged"),
    "no mp4": (b"\x00\x00\x00\x20ftypM4A " + bytes(200), "audio.damaged"),
    "half an mp4": (writing.write_sound(make_noise(0), ".m4a")[:3000], "audio.damaged"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_with_their_reason(tmp_path: Path, name: str) -> None:
    data, code = BAD_FILES[name]
    path = tmp_path / "bad.wav"
    path.write_bytes(data)
    with raises_reason("media.unreadable", code):
        audio.open(path)


def test_ten_hours_are_refused_by_the_header_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_to_decode(*args: Any) -> Any:
        raise AssertionError("decoded")

    monkeypatch.setattr(reading, "_decode_soundfile", refuse_to_decode)
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 8000, 1, format="WAV", subtype="PCM_U8") as file:
        for _ in range(40):
            file.write(np.zeros(8000 * 60, np.float32))
    with raises_code("audio.too_long", seconds=2400.0, maximum=1800):
        reading.read_sound(buffer.getvalue())
    with raises_code("audio.too_long"):
        reading.read_sound(writing.write_sound(make_noise(0, 1.0), ".ogg"), max_seconds=0.5)


def test_a_header_that_promises_ten_hours_is_damaged_or_truncated() -> None:
    with pytest.raises(GenloomError) as caught:
        reading.read_sound(LONG)
    assert caught.value.code in ("audio.truncated", "audio.too_long")


def test_many_channels_are_mixed_and_loud_floats_made_quieter() -> None:
    recording = reading.read_sound(write_wave(np.stack([NOISE] * 4, 1)))
    assert recording.sound.channels == 1
    assert np.abs(recording.sound.samples[0] - NOISE).max() < 1e-4
    assert recording.changes[0].startswith("4 channels")
    loud = reading.read_sound(write_wave(20 * NOISE))
    assert float(np.abs(loud.sound.samples).max()) == pytest.approx(1, abs=1e-3)
    assert loud.changes[0].startswith("made quieter")


def test_damage_in_random_places_is_an_error_or_another_sound() -> None:
    rng = np.random.default_rng(0)
    for suffix in writing.SUFFIXES:
        whole = writing.write_sound(make_noise(1, 0.3), suffix)
        for _ in range(30):
            data = bytearray(whole)
            for position in rng.integers(0, len(data), 4):
                data[position] = rng.integers(256)
            with suppress(ValueError):
                assert np.isfinite(reading.read_sound(bytes(data)).sound.samples).all()


def test_problems_of_sounds_are_listed() -> None:
    assert audio.check(Item(make_tone(300))) == []
    silent, clipped = make_sound(np.zeros(8000), 16_000), make_sound(20 * make_tone(300).samples, 16_000)
    assert audio.check(Item(silent)) == ["it is silent"]
    assert "clipped" in audio.check(Item(clipped))[0]
    assert "lasts only 10 ms" in audio.check(Item(make_tone(300, 0.01)))[0]


def test_pictures_show_where_the_sound_is() -> None:
    from genloom.media.audio import plots

    low = plots.paint_spectrogram(make_tone(100), 240, 8000).astype(int).sum((1, 2))
    high = plots.paint_spectrogram(make_tone(4000), 240, 8000).astype(int).sum((1, 2))
    assert low[-20:].sum() > low[:20].sum()  # low frequencies at the bottom
    assert high[:40].sum() > high[-40:].sum()
    shown = audio.sheet([make_tone(100), make_noise(2)], ["a tone", "noise " * 50])
    assert shown.data.startswith(b"\x89PNG")
    assert "0.50 s, 16 kHz, mono" in shown.text


def test_values_that_are_no_sound_are_refused() -> None:
    with raises_code("audio.too_many_channels", count=3):
        make_sound(np.zeros((3, 10)), 16_000)
    with raises_code("audio.empty"):
        make_sound(np.zeros(0), 16_000)
    with raises_code("audio.not_finite"):
        make_sound(np.array([np.nan]), 16_000)
    with raises_code("audio.bad_rate"):
        make_sound(np.zeros(10), 10)
    with raises_code("audio.bad_save_suffix", suffix=".xyz"):
        audio.save(Item(make_tone(100)), Path("tone.xyz"))


def test_a_missing_library_is_told_with_its_cure() -> None:
    with raises_code("audio.library_missing", library="no_such_library"):
        libraries.load_library("no_such_library")


def test_sounds_are_equal_by_their_samples_and_joined_at_one_rate() -> None:
    assert make_tune(1) == make_tune(1) != make_tune(2)
    assert hash(make_tune(1)) == hash(make_tune(1))
    joined = processing.join_sounds([make_tone(200, channels=2), make_tone(300, rate=44_100)])
    assert (joined.channels, joined.rate) == (2, 16_000)
    assert joined.seconds == pytest.approx(1.0, abs=0.01)
    faded = processing.fade_edges(make_noise(0))
    assert np.abs(faded.samples[:, [-1]]).max() == pytest.approx(0, abs=1e-2)
    assert isinstance(faded, Sound)
