"""The mark in the spectrum of speech: found in parts, at other rates and levels, and never without the key."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import genloom as gl
from genloom.media.audio.processing import change_rate
from genloom.media.audio.sound import Sound, make_sound
from genloom.speech.sound_stream import SoundWriter, round_samples
from genloom.speech.spectral_mark import (
    NUM_PLACES,
    PERIOD,
    POOL_SIZE,
    RATE,
    SpectralMark,
    add_spectral_mark,
    choose_pool_index,
    correlate_patterns,
    find_spectral_marks,
    list_directions,
)
from genloom.store.keys import MarkingKeys, derive_noise_key
from genloom.trust.audio import find_value_marks

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
KEY, OTHER_KEY = 0x5EED, 0xBAD
MARK = SpectralMark(KEY, 17)
SECONDS = 4


def speak_noise(seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """Return noise in bursts, as loud as speech."""
    times = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(3).normal(size=len(times))
    return 0.1 * noise * (0.2 + np.sin(2 * np.pi * 2.3 * times) ** 2)


def find_score(sound: Sound, key: int = KEY) -> float:
    return find_spectral_marks(sound, [key])[0].score


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return round_samples(add_spectral_mark(speak_noise(), RATE, 0, MARK)) / 32768


def test_the_mark_is_found_with_its_pattern_and_by_its_key_only(samples: np.ndarray) -> None:
    ours, others = find_spectral_marks(make_sound(samples, RATE), [KEY, OTHER_KEY])
    assert (ours.pool_index, ours.num_tests) == (17, POOL_SIZE * NUM_PLACES)
    assert ours.score > 10 > 7 > others.score
    assert find_score(make_sound(speak_noise(), RATE)) < 7


@pytest.mark.parametrize("edit", ["cut", "quieter", "16 kHz", "44.1 kHz", "noise", "stereo"])
def test_the_mark_survives(samples: np.ndarray, edit: str) -> None:
    sound = make_sound(samples, RATE)
    edited = {
        "cut": lambda: sound.cut(12_345, 12_345 + 2 * RATE),
        "quieter": lambda: make_sound(0.2 * samples, RATE),
        "16 kHz": lambda: change_rate(sound, 16_000),
        "44.1 kHz": lambda: change_rate(sound, 44_100),
        "noise": lambda: make_sound(samples + np.random.default_rng(0).normal(size=len(samples)) * 0.003, RATE),
        "stereo": lambda: make_sound(np.stack([samples, samples]), RATE),
    }
    assert find_score(edited[edit]()) > 7.2


def test_a_recording_of_many_passages_has_one_mark() -> None:
    samples, edges = speak_noise(), [0, 17_111, 50_003, SECONDS * RATE]
    parts = [add_spectral_mark(samples[a:b], RATE, a, MARK) for a, b in pairwise(edges)]
    whole = add_spectral_mark(samples, RATE, 0, MARK)
    inside = slice(18_500, 48_500)  # no window there reaches beyond the second passage
    assert np.allclose(np.concatenate(parts)[inside], whole[inside])
    assert find_score(make_sound(np.concatenate(parts), RATE)) > 10


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 48_000])
def test_levels_change_by_a_decibel_and_silence_stays(rate: int) -> None:
    samples = speak_noise(1, rate)
    change = add_spectral_mark(samples, rate, 999, MARK) - samples
    assert 0.003 < (change**2).mean() / (samples**2).mean() < 0.03
    assert not add_spectral_mark(np.zeros(rate), rate, 0, MARK).any()


def test_a_sound_that_is_too_short_or_silent_is_no_evidence() -> None:
    for samples in (np.zeros(RATE), np.ones(5) / 2):
        (evidence,) = find_value_marks(make_sound(samples, RATE), [KEY])
        assert evidence.log_p == 0


def test_scores_without_the_key_are_normal_numbers() -> None:
    for _, direction in list_directions(speak_noise(2)):
        scores = correlate_patterns(direction, OTHER_KEY)
        assert scores.shape == (POOL_SIZE, PERIOD)
        assert abs(scores.mean()) < 0.03
        assert abs(scores.std() - 1) < 0.02
        assert 10 < (scores > 3).sum() < 70  # 33 are expected of 24,576


def test_the_same_text_has_the_same_pattern() -> None:
    assert choose_pool_index("a", "b") == choose_pool_index("a", "b")
    assert len({choose_pool_index(str(n)) for n in range(300)}) > 100


def test_verify_finds_the_mark_in_a_file_without_metadata(tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    ws = gl.Workspace(tmp_path / "home")
    key = derive_noise_key(MarkingKeys(ws.folder).get_active().secret, "audio")
    for name, samples in (
        ("ours", add_spectral_mark(speak_noise(), RATE, 0, SpectralMark(key, 5))),
        ("theirs", speak_noise()),
    ):
        with SoundWriter(tmp_path / f"{name}.wav", RATE) as writer:
            writer.write(round_samples(samples))
        mark = ws.verify(tmp_path / f"{name}.wav").mark
        assert mark is not None
        assert mark.is_found == (name == "ours")
        assert mark.method == "blind"
