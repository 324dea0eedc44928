"""When each phoneme of a known text is spoken, and how long phonemes last."""

import numpy as np
import pytest

from genloom.speech.alignment import align_units, compute_features, find_best_path, fit_acoustics
from genloom.speech.dictionaries import pronounce_text
from genloom.speech.durations import fit_durations, predict_frames
from genloom.speech.phoneme_units import Unit, list_inventory, split_units
from tests.speech.recordings import HOP, RATE, TEXTS, make_recording


def test_phonemes_become_units_with_one_silence_between_them() -> None:
    units = split_units("“hˈO, ðˌɛɹ?”")
    assert [unit.symbol for unit in units] == ["#", "h", "O", ",", "ð", "ɛ", "ɹ", "?"]
    assert [unit.stress for unit in units] == [0, 0, 1, 0, 0, 2, 0, 0]
    assert [unit.symbol for unit in split_units("tˈuː ɪt")] == ["#", "t", "uː", " ", "ɪ", "t", "#"]
    assert [unit.symbol for unit in split_units("… !")] == ["#"]


@pytest.mark.parametrize("text", ["Good morning.", "colourful Thorbin", "Dr. Smith pays $3.50"])
def test_words_have_phonemes_without_further_packages(text: str) -> None:
    assert sum(not unit.is_silent for unit in split_units(pronounce_text(text))) > 6
    assert pronounce_text(" ") == ""


def test_phonemes_are_found_where_they_are_spoken() -> None:
    utterances = [split_units(pronounce_text(text)) for text in TEXTS]
    recordings = [make_recording(text, seed) for seed, text in enumerate(TEXTS)]
    features = [compute_features(sound.samples[0], RATE, HOP) for sound, _ in recordings]
    acoustics = fit_acoustics(features, utterances, list_inventory(utterances))
    differences = []
    for each, units, (_, frames) in zip(features, utterances, recordings, strict=True):
        found = align_units(each, units, acoustics)
        assert found is not None
        assert found.sum() == len(each)
        differences += np.abs(np.cumsum(found) - np.cumsum(frames)).tolist()
    assert np.mean(np.array(differences) <= 1) > 0.9


def test_a_text_of_another_recording_is_not_aligned() -> None:
    utterances = [split_units(pronounce_text(text)) for text in TEXTS]
    features = [compute_features(make_recording(text, 1)[0].samples[0], RATE, HOP) for text in TEXTS]
    acoustics = fit_acoustics(features, utterances, list_inventory(utterances))
    assert align_units(features[0], utterances[0] * 9, acoustics) is None
    assert align_units(features[0], [Unit("#"), Unit("ʡ"), Unit("#")], acoustics) is None
    assert align_units(features[0], [Unit("#")], acoustics) is None


def test_the_best_path_may_skip_silences_and_never_sounds() -> None:
    scores = np.full((4, 4), -9.0)
    scores[[0, 1], 0] = scores[[2, 3], 2] = 0
    flat = np.log(np.full(4, 0.5))
    path = find_best_path(scores, flat, flat, np.array([False, True, False, True]))
    assert path is not None
    assert path.tolist() == [0, 0, 2, 2]
    assert find_best_path(scores[:1], flat, flat, np.zeros(4, bool)) is None


def test_durations_are_learned_and_follow_the_speed() -> None:
    utterances = [split_units(pronounce_text(text)) for text in TEXTS]
    inventory = list_inventory(utterances)
    frames = [np.array([12 if unit.symbol in "iIAO" else 4 for unit in units]) for units in utterances]
    weights = fit_durations(utterances, frames, inventory)
    units = split_units(pronounce_text("They see my red boat."))
    predicted = predict_frames(units, inventory, weights)
    long = [n for n, unit in zip(predicted, units, strict=True) if unit.symbol in "iIAO"]
    short = [n for n, unit in zip(predicted, units, strict=True) if unit.symbol in "ðsmɹdbt"]
    assert np.mean(long) > 1.5 * np.mean(short)
    assert min(n for n, unit in zip(predicted, units, strict=True) if not unit.is_silent) >= 1
    assert sum(predict_frames(units, inventory, weights, 2.0)) < 0.7 * sum(predicted)
