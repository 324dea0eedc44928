"""Sounds as mel bands: they come back about as loud and as bright, of the same length, without a network."""

import json
from pathlib import Path

import numpy as np
import pytest

from genloom.codecs.mel import Codec, Config
from genloom.errors import GenloomError
from genloom.media.audio.measures import measure_sound
from genloom.media.audio.sound import Sound
from genloom.testing import check_codec
from tests.errors import raises_code
from tests.sounds import make_noise, make_tone

SMALL = Config(hop=128, frames=100, bands=40)


def sound_alike(value: Sound, other: Sound) -> bool:
    """Return whether the bands of two sounds differ by less than three decibels in the mean, where they sound."""
    codec = Codec(SMALL)
    x, y = codec.encode(value), codec.encode(other)
    loud = x > x.max() - 4
    return x.shape == y.shape and float(np.abs(x - y)[loud].mean()) < 0.35


def test_contract() -> None:
    check_codec(Codec(SMALL), [make_noise(1, 0.3), make_tone(300, 0.5)], sound_alike)
    check_codec(Codec.fit([make_noise(1, 0.3), make_tone(300, 0.5)], SMALL), [make_tone(700, 0.3)], sound_alike)


def test_a_tone_keeps_its_pitch_and_equal_bands_are_equal_sounds() -> None:
    codec = Codec(SMALL)
    bands = codec.encode(make_tone(440, 0.6))
    restored = codec.decode(bands)
    assert restored == codec.decode(bands)
    assert measure_sound(restored).pitch == pytest.approx(440, rel=0.05)
    assert codec.decode(np.full((40, 3), -20.0)).samples.max() < 1e-3


def test_bands_are_standardised_and_long_sounds_cut() -> None:
    sounds = [make_noise(seed, 0.5) for seed in range(3)]
    codec = Codec.fit(sounds, SMALL)
    x = np.concatenate([codec.encode(sound) for sound in sounds], 1)
    assert float(x.mean()) == pytest.approx(0, abs=0.01)
    assert float(x.std()) == pytest.approx(1, abs=0.05)
    assert codec.encode(make_noise(1, 3.0, 44_100, channels=2)).shape == (40, 100)
    assert Codec.fit([], SMALL).config == SMALL
    assert Codec.fit(sounds, codec.config) == codec


def test_without_a_number_of_frames_it_holds_the_longest_sound() -> None:
    config = Config(hop=128, bands=40)
    codec = Codec.fit([make_noise(1, 0.3), make_noise(2, 0.5), make_noise(3, 9.0)], config)
    assert codec.space.size == (64,)
    assert Codec(config).space.size == (512,)
    assert Codec.fit([make_noise(3, 9.0)], config).space.size == (512,)


def test_a_filled_sound_ends_where_it_ended() -> None:
    sounds = [make_noise(seed, 0.2) for seed in range(3)]
    codec = Codec.fit(sounds, Config(hop=128, frames=100, bands=40, fills_silence=True))
    x = codec.encode(sounds[0])
    assert x.shape == (40, 100)
    assert not codec.space.has_lengths
    assert float(x.mean()) == pytest.approx(0, abs=0.1)
    assert abs(codec.decode(x).frames - sounds[0].frames) <= 4 * 128


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("codecs.bad_bands", {"bands": 0}),
        ("codecs.bad_bands", {"bands": 300}),
        ("codecs.bad_hop", {"hop": 3}),
        ("codecs.bad_rate", {"rate": 1}),
        ("codecs.bad_frames", {"frames": -1}),
        ("codecs.bad_band_statistics", {"mean": (1.0,)}),
        ("codecs.bad_band_statistics", {"bands": 2, "mean": (0.0, 0.0), "std": (1.0, 0.0)}),
    ],
)
def test_settings_out_of_range_are_refused(code: str, settings: dict[str, object]) -> None:
    with raises_code(code):
        Config(**settings)  # ty: ignore[invalid-argument-type]


@pytest.mark.parametrize("content", [{"codec": "mel"}, {"codec": "waveform"}, {"codec": "mel", "bands": -1}])
def test_a_damaged_folder_names_its_file(tmp_path: Path, content: dict[str, object]) -> None:
    Codec(SMALL).save(tmp_path)
    whole = json.loads((tmp_path / "codec.json").read_text())
    changed = {**whole, **content} if "bands" in content else content
    (tmp_path / "codec.json").write_text(json.dumps(changed))
    with pytest.raises(GenloomError, match=r"codec\.json"):
        Codec.load(tmp_path)
