"""Measures of sounds: pitch, length, brightness, attack; the words that ask for them; and fingerprints."""

import numpy as np
import pytest

from genloom.media.audio.fingerprints import find_landmarks, find_shared_stretch
from genloom.media.audio.measures import find_pitch, measure_sound
from genloom.media.audio.processing import change_rate
from genloom.media.audio.reading import read_sound
from genloom.media.audio.sound import make_sound
from genloom.media.audio.words import count_kept, read_seconds, read_wishes
from genloom.media.audio.writing import write_sound
from tests.sounds import make_noise, make_tone, make_tune


@pytest.mark.parametrize("hertz", [60, 110, 440, 1000, 3000])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_pitch_is_that_of_the_tone(hertz: float, rate: int) -> None:
    assert find_pitch(make_tone(hertz, rate=rate)) == pytest.approx(hertz, rel=0.03)


def test_noise_and_silence_have_no_pitch() -> None:
    assert find_pitch(make_noise(0)) == 0
    silent = measure_sound(make_sound(np.zeros(8000), 16_000))
    assert (silent.pitch, silent.length, silent.loudness) == (0, 0, -70)


def test_measures_follow_the_sound() -> None:
    tone, noise = measure_sound(make_tone(200)), measure_sound(make_noise(0))
    assert tone.brightness < 400 < 3000 < noise.brightness
    assert tone.noise < 0.01 < 0.5 < noise.noise
    times = np.arange(16_000) / 16_000
    slow = measure_sound(make_sound(0.5 * np.sin(2 * np.pi * 300 * times) * np.minimum(times / 0.4, 1), 16_000))
    assert slow.attack == pytest.approx(1000 * (0.75 - 0.1) * 0.4, abs=30)
    assert tone.attack < 20
    padded = make_sound(np.pad(make_tone(200, 0.3).samples, ((0, 0), (4000, 8000))), 16_000)
    assert measure_sound(padded).length == pytest.approx(0.3, abs=0.06)


def test_words_ask_for_measures() -> None:
    assert [wish.word for wish in read_wishes("a very short, deep drum")] == ["very short", "deep"]
    assert [wish.word for wish in read_wishes("a deeply moving bell")] == []
    assert read_seconds("a siren of 1.5 seconds") == 1.5
    assert read_seconds("300 ms of rain") == 0.3
    assert read_seconds("two knocks") is None
    prompts = ["a high tone", "a deep tone", "a bright noise, 0.5 seconds", "a tone"]
    measures = [measure_sound(each) for each in (make_tone(1000), make_tone(1000), make_noise(0), make_tone(100))]
    assert count_kept(prompts, measures) == {"pitch": (1, 2), "brightness": (1, 1), "length": (1, 1)}


@pytest.mark.parametrize("suffix", [".mp3", ".opus", ".ogg"])
def test_a_compressed_copy_shares_most_of_its_length(suffix: str) -> None:
    tune = make_tune(3)
    copy = read_sound(write_sound(tune, suffix)).sound
    length, begin, other = find_shared_stretch(find_landmarks(tune), find_landmarks(copy))
    whole, _, _ = find_shared_stretch(find_landmarks(tune), find_landmarks(tune))
    assert length >= 0.6 * whole
    assert abs(begin - other) <= 6


def test_a_cut_and_shifted_copy_is_found_where_it_lies() -> None:
    tune = make_tune(3)
    shifted = make_sound(np.pad(0.3 * tune.samples, ((0, 0), (8000, 0))), 16_000)
    length, begin, other = find_shared_stretch(find_landmarks(tune), find_landmarks(change_rate(shifted, 44_100)))
    assert length > 40
    assert other - begin == pytest.approx(50, abs=3)


def test_other_sounds_share_nothing() -> None:
    tunes = [find_landmarks(make_tune(seed)) for seed in range(10, 16)]
    assert all(find_shared_stretch(tunes[0], other)[0] < 20 for other in tunes[1:])
    assert len(find_landmarks(make_sound(np.zeros(16_000), 16_000))) == 0
