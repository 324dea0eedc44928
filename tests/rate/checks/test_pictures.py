"""Checks of pictures: the hue, the place and the outline of what is drawn."""

import numpy as np
import pytest

from genloom.rate.checks import build_check

WHITE, BLUE, RED, BLACK = (255, 255, 255), (40, 70, 230), (230, 40, 40), (0, 0, 0)


def drawn(colour: tuple[int, int, int], at: tuple[int, int] = (20, 20), line: int = 0) -> np.ndarray:
    """A square of 24 pixels on white, 64 a side, with an outline."""
    picture = np.full((64, 64, 3), WHITE, np.uint8)
    top, left = at
    picture[top : top + 24, left : left + 24] = BLACK if line else colour
    picture[top + line : top + 24 - line, left + line : left + 24 - line] = colour
    return picture


def test_colour_is_judged_by_hue_and_not_by_brightness() -> None:
    blue = build_check("colour", {"hue": "blue"})
    assert blue(drawn(BLUE)).has_passed
    assert blue(drawn((20, 30, 90))).has_passed, "dark blue is blue"
    assert not blue(drawn(RED)).has_passed
    assert blue(drawn(BLACK)).score == 0, "what has no colour has none"
    half = np.concatenate([drawn(BLUE)[:32], drawn(RED)[32:]])
    assert 0.4 < build_check("colour", {"hue": "blue", "min_share": 1.0})(half).score < 0.6
    assert build_check("colour", {"hue": "red"})(drawn(RED)).has_passed, "red lies on both sides of 0 degrees"


def test_what_stands_in_the_middle_is_centred() -> None:
    centred = build_check("centred", {})
    scores = [centred(drawn(BLUE, at)).score for at in ((20, 20), (14, 20), (2, 20), (0, 0))]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1
    assert not centred(np.full((64, 64, 3), 255, np.uint8)).has_passed


def test_outlines_are_judged_by_their_thickness_and_how_far_they_reach() -> None:
    outline = build_check("outline", {})
    scores = [outline(drawn(BLUE, line=line)).score for line in (0, 1, 2, 4)]
    assert scores == sorted(scores)
    assert scores[0] == 0
    assert outline(drawn(BLUE, line=4)).has_passed
    one_side = drawn(BLUE)
    one_side[20:24, 20:44] = 0
    assert outline(one_side).score < 0.5
    assert not outline(np.full((64, 64, 3), 255, np.uint8)).has_passed


def test_checks_of_pictures_say_so_when_they_are_asked_about_text() -> None:
    with pytest.raises(ValueError, match="'colour' judges pictures"):
        build_check("colour", {})("blue")
    with pytest.raises(ValueError, match="'length' judges text"):
        build_check("length", {})(drawn(BLUE))
