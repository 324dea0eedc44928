"""Sounds as frames of their wave: whole frames come back, longer sounds are cut, and the scale is measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from genloom.codecs.waveform import Codec, Config
from genloom.errors import GenloomError
from genloom.testing import check_codec
from tests.errors import raises_code
from tests.sounds import make_noise, make_tone

SMALL = Config(rate=16_000, hop=64, frames=200, fills_silence=False)
FILLED = Config(rate=16_000, hop=64, frames=200)


def test_contract() -> None:
    check_codec(Codec(SMALL), [make_noise(1, 0.3), make_tone(300, 0.004), make_tone(500, 0.5)])


def test_a_filled_sound_ends_where_it_ended() -> None:
    codec = Codec(FILLED)
    short = make_noise(1, 0.2)
    assert codec.encode(short).shape == (64, 200)
    assert codec.decode(codec.encode(short)) == short
    assert not codec.space.has_lengths
    assert codec.decode(np.zeros((64, 200))).frames == 64
    assert codec.decode(codec.encode(make_noise(1, 3.0))).frames == 64 * 200
    check_codec(codec, [short, make_noise(2, 0.5)])


def test_frames_hold_the_samples_and_the_last_is_filled() -> None:
    sound = make_noise(1, 1000 / 16_000)
    x = Codec(SMALL).encode(sound)
    assert x.shape == (64, 16)
    assert np.array_equal(x.T.reshape(-1)[:1000], sound.samples[0])
    assert not x.T.reshape(-1)[1000:].any()


def test_other_rates_and_channels_are_mixed_and_resampled_and_long_sounds_cut() -> None:
    codec = Codec(SMALL)
    assert codec.encode(make_noise(1, 0.2, 44_100, channels=2)).shape == (64, 50)
    assert codec.encode(make_noise(1, 3.0)).shape == (64, 200)
    assert codec.decode(np.full((64, 2), 5.0)).samples.max() < 1


def test_fit_measures_the_scale_of_what_is_not_silent() -> None:
    quiet = make_noise(1, 0.4)
    codec = Codec.fit([quiet] * 4, SMALL)
    x = codec.encode(quiet)
    assert float(np.sqrt(np.square(x).mean())) == pytest.approx(1, abs=0.05)
    assert Codec.fit(iter([]), SMALL).scale == 1
    assert Codec.fit([quiet], Config(scale=3.0)).scale == 3


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("codecs.bad_rate", {"rate": 10}),
        ("codecs.bad_hop", {"hop": 0}),
        ("codecs.bad_frames", {"frames": 1 << 20}),
        ("codecs.bad_scale", {"scale": float("nan")}),
    ],
)
def test_settings_out_of_bounds_are_refused(code: str, settings: dict[str, float]) -> None:
    with raises_code(code):
        Config(**settings)  # ty: ignore[invalid-argument-type]


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    Codec(SMALL).save(tmp_path)
    for content in (
        {"codec": "waveform"},
        {"codec": "waveform", "rate": 1, "hop": 64, "frames": 2, "scale": 0, "fills_silence": True},
    ):
        (tmp_path / "codec.json").write_text(json.dumps(content))
        with pytest.raises(GenloomError, match=r"codec\.json"):
            Codec.load(tmp_path)
