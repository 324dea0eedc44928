"""Checks of music: the key that sounds, steps and density of melodies, rules of voice leading."""

import pytest

from genloom.media.music.score import DRUMS, Key, Note, Part, Score
from genloom.rate.checks import build_check
from tests.errors import raises_code

MAJOR, MINOR = (60, 62, 64, 65, 67, 64, 62, 60), (60, 62, 63, 65, 67, 63, 62, 60)


def write_line(pitches: tuple[int, ...], program: int = 73, ticks: int = 24) -> Part:
    return Part(program, tuple(Note(ticks * n, ticks, pitch) for n, pitch in enumerate(pitches)))


def test_mode_is_that_of_the_notes_and_not_of_the_name() -> None:
    minor = Score((write_line(MINOR),), key=Key(0, "major"))
    assert build_check("mode", {"mode": "minor"}, "music")(minor).has_passed
    assert not build_check("mode", {}, "music")(minor).has_passed
    assert build_check("mode", {}, "music")(Score((write_line(MAJOR),))).reason == "it sounds in C major"
    assert not build_check("mode", {}, "music")(Score((write_line((36, 38), DRUMS),))).has_passed
    with raises_code("music.unknown_mode", value="blue"):
        build_check("mode", {"mode": "blue"}, "music")


@pytest.mark.parametrize(
    ("pitches", "ticks", "settings", "score", "has_passed"),
    [
        (MAJOR, 24, {"min_steps": 0.8}, 1.0, True),
        ((60, 72, 60, 72, 74), 24, {"min_steps": 0.5}, 0.5, False),
        (MAJOR, 12, {"max_notes": 1.0}, 0.5, False),
        (MAJOR, 48, {"max_notes": 1.0}, 1.0, True),
        ((60, 72, 60, 72, 74), 12, {"min_steps": 0.5, "max_notes": 1.0}, 0.25, False),
        ((60,), 24, {"min_steps": 0.5}, 0.0, False),
    ],
)
def test_melodies_move_in_steps_and_have_few_notes(
    pitches: tuple[int, ...], ticks: int, settings: dict[str, float], score: float, has_passed: bool
) -> None:
    result = build_check("melody", settings, "music")(Score((write_line(pitches, ticks=ticks),)))
    assert (result.score, result.has_passed) == (pytest.approx(score), has_passed)


def test_voice_leading_counts_faults_a_bar() -> None:
    check = build_check("voice_leading", {}, "music")
    parallel = Score((write_line((67, 69, 71, 72)), write_line((60, 62, 64, 65))))
    result = check(parallel)
    assert (result.score, result.has_passed, result.reason) == (pytest.approx(0.25 / 3), False, "3 parallel fifths")
    assert check(Score((write_line((67, 65, 64, 65)), write_line((60, 62, 60, 62))))).has_passed
    assert build_check("voice_leading", {"max_faults": 3.0}, "music")(parallel).has_passed


def test_checks_of_music_refuse_other_media() -> None:
    for name in ("mode", "melody", "voice_leading"):
        with raises_code("rate.check_of_other_medium", check=name):
            build_check(name, {}, "image")
