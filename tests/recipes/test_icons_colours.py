"""Icons recoloured by words: the colour is the one asked for, shades stay shades, and nothing else changes."""

import numpy as np
import pytest

from recipes.icons.colours import (
    NAMES,
    find_body_fills,
    measure_colour_shares,
    measure_fill_areas,
    recolour_fills,
    to_oklab,
)
from recipes.icons.scenes import render_svg

APPLE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect x="4" y="8" width="24" height="16" '
    'fill="#F92F60"/><rect x="4" y="24" width="24" height="6" fill="#ca0b4a"/>'
    '<rect x="12" y="2" width="8" height="6" fill="#44911b"/></svg>'
)


def picture(svg: str) -> np.ndarray:
    return np.asarray(render_svg(svg, 64))


def test_white_is_the_lightest_and_grey_has_no_hue():
    assert to_oklab(np.array([255, 255, 255])) == pytest.approx([1, 0, 0], abs=1e-3)
    assert to_oklab(np.array([0, 0, 0])) == pytest.approx([0, 0, 0], abs=1e-3)
    assert abs(to_oklab(np.array([128, 128, 128]))[1:]).max() < 1e-3


def test_the_body_is_the_fills_of_the_commonest_hue():
    share = measure_fill_areas(APPLE, picture(APPLE))
    assert sum(share.values()) == pytest.approx(1)
    assert set(find_body_fills(share)) == {"#f92f60", "#ca0b4a"}


@pytest.mark.parametrize("name", NAMES)
def test_a_recoloured_icon_shows_the_colour_of_that_name(name):
    share = measure_fill_areas(APPLE, picture(APPLE))
    seen = measure_colour_shares(picture(recolour_fills(APPLE, name, find_body_fills(share), share)))
    assert max(seen, key=lambda each: seen[each]) == name
    assert seen[name] > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_darker_parts_stay_darker_and_other_fills_stay(name):
    share = measure_fill_areas(APPLE, picture(APPLE))
    after = picture(recolour_fills(APPLE, name, find_body_fills(share), share))
    assert to_oklab(after[50, 32, :3])[0] < to_oklab(after[30, 32, :3])[0]
    assert (after[8, 32] == picture(APPLE)[8, 32]).all()
