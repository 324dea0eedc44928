"""Checks of images: hue, position and outline of the subject."""

import numpy as np

from genloom.rate.checks import build_check
from tests.errors import raises_code

WHITE, BLUE, RED, BLACK = (255, 255, 255), (40, 70, 230), (230, 40, 40), (0, 0, 0)


def draw_square(colour: tuple[int, int, int], at: tuple[int, int] = (20, 20), line: int = 0) -> np.ndarray:
    """A square of 24 pixels on white, 64 a side, with an outline."""
    picture = np.full((64, 64, 3), WHITE, np.uint8)
    top, left = at
    picture[top : top + 24, left : left + 24] = BLACK if line else colour
    picture[top + line : top + 24 - line, left + line : left + 24 - line] = colour
    return picture


def test_colour_depends_on_hue_and_not_on_brightness() -> None:
    blue = build_check("colour", {"hue": "blue"}, "image")
    assert blue(draw_square(BLUE)).has_passed
    assert blue(draw_square((20, 30, 90))).has_passed, "dark blue is blue"
    assert not blue(draw_square(RED)).has_passed
    assert blue(draw_square(BLACK)).score == 0, "colourless"
    half = np.concatenate([draw_square(BLUE)[:32], draw_square(RED)[32:]])
    assert 0.4 < build_check("colour", {"hue": "blue", "min_share": 1.0}, "image")(half).score < 0.6
    assert build_check("colour", {"hue": "red"}, "image")(draw_square(RED)).has_passed, (
        "red lies on both sides of 0 degrees"
    )


def test_a_subject_in_the_middle_is_centred() -> None:
    centred = build_check("centred", {}, "image")
    scores = [centred(draw_square(BLUE, at)).score for at in ((20, 20), (14, 20), (2, 20), (0, 0))]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1
    assert not centred(np.full((64, 64, 3), 255, np.uint8)).has_passed


def test_outlines_are_scored_by_thickness_and_coverage() -> None:
    outline = build_check("outline", {}, "image")
    scores = [outline(draw_square(BLUE, line=line)).score for line in (0, 1, 2, 4)]
    assert scores == sorted(scores)
    assert scores[0] == 0
    assert outline(draw_square(BLUE, line=4)).has_passed
    one_side = draw_square(BLUE)
    one_side[20:24, 20:44] = 0
    assert outline(one_side).score < 0.5
    assert not outline(np.full((64, 64, 3), 255, np.uint8)).has_passed


def test_checks_of_another_medium_are_refused() -> None:
    with raises_code("rate.check_of_other_medium", check="colour", medium="text"):
        build_check("colour", {}, "text")
    with raises_code("rate.check_of_other_medium", check="length", medium="image"):
        build_check("length", {}, "image")
