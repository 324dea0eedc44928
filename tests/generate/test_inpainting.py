"""Holes in pictures: the square around them, what the model is shown of it, and what is pasted back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.generate.image.contact_sheet import BACKGROUND, GAP, build_contact_sheet
from genloom.generate.image.inpainting import InpaintRegion, expand_canvas, find_crop, prefill


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def missing(height: int, width: int, top: int, left: int, high: int, wide: int) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[top : top + high, left : left + wide] = True
    return hole


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_only_what_is_missing_changes_and_all_of_it(data: st.DataObject) -> None:
    height, width, side = (data.draw(st.integers(1, 40)) for _ in range(3))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    high, wide = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    whole, hole = np.full((height, width, 3), 7, np.uint8), missing(height, width, top, left, high, wide)
    made = InpaintRegion(whole, hole, side).paste(np.full((side, side, 3), 200, np.uint8))
    assert (made[~hole] == 7).all()
    assert (made[hole] == 200).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_square_holds_the_hole_and_lies_within_the_picture_if_it_can(data: st.DataObject) -> None:
    height, width, side = (data.draw(st.integers(1, 60)) for _ in range(3))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    hole = missing(
        height, width, top, left, data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    )
    square = find_crop(hole, side)
    assert square.extract(hole, 0).sum() == hole.sum()
    if square.side <= min(height, width):
        assert 0 <= square.top <= height - square.side
        assert 0 <= square.left <= width - square.side


def test_a_picture_of_the_models_size_is_shown_as_it_is() -> None:
    whole, hole = picture(16, 16), missing(16, 16, 4, 4, 5, 3)
    shown = InpaintRegion(whole, hole, 16)
    assert np.array_equal(shown.model_input[~hole], whole[~hole])
    assert np.array_equal(shown.downsample_mask((16, 16)), hole)
    made = picture(16, 16, 1)
    assert np.array_equal(shown.paste(made), np.where(hole[..., None], made, whole))


def test_a_small_hole_in_a_large_picture_is_looked_at_closely() -> None:
    shown = InpaintRegion(picture(400, 600), missing(400, 600, 100, 500, 60, 40), 64)
    assert shown.crop.side == 90
    assert shown.model_input.shape == (64, 64, 3)


@pytest.mark.parametrize("grid", [(4, 4), (8, 8), (16, 16)])
def test_a_place_of_the_grid_is_unknown_if_any_of_its_pixels_is(grid: tuple[int, int]) -> None:
    unknown = InpaintRegion(picture(16, 16), missing(16, 16, 5, 9, 1, 1), 16).downsample_mask(grid)
    scale = 16 // grid[0]
    assert unknown.sum() == 1
    assert unknown[5 // scale, 9 // scale]


def test_a_gap_is_filled_from_its_surroundings() -> None:
    whole = np.zeros((32, 32, 3), np.uint8)
    whole[:, :16], whole[:, 16:] = (200, 0, 0), (0, 0, 100)
    hole = missing(32, 32, 8, 2, 8, 8)
    whole[hole] = 255
    assert (prefill(whole, hole)[hole] == (200, 0, 0)).all()
    assert np.array_equal(prefill(whole, hole)[~hole], whole[~hole])
    assert (prefill(whole, np.ones_like(hole)) == 0).all(), "where nothing is known, there is nothing to take"


def test_room_at_the_sides_is_missing() -> None:
    wide, beyond = expand_canvas(picture(4, 6), 1, 2, 3, 0)
    assert wide.shape == (7, 9, 3)
    assert np.array_equal(wide[3:, 1:7], picture(4, 6))
    assert np.array_equal(~beyond, missing(7, 9, 3, 1, 4, 6))


def test_a_sheet_has_every_picture_at_its_place() -> None:
    pictures = [picture(8, 8, n) for n in range(5)]
    whole = build_contact_sheet(pictures)
    assert whole.shape == (2 * 8 + 3 * GAP, 3 * 8 + 4 * GAP, 3)
    for n, one in enumerate(pictures):
        top, left = GAP + n // 3 * (8 + GAP), GAP + n % 3 * (8 + GAP)
        assert np.array_equal(whole[top : top + 8, left : left + 8], one)
    assert (whole[-GAP - 8 :, -GAP - 8 :] == BACKGROUND).all()
    assert build_contact_sheet(pictures, columns=5).shape == (8 + 2 * GAP, 5 * 8 + 6 * GAP, 3)


def test_pictures_of_several_sizes_stand_equally_high() -> None:
    whole = build_contact_sheet([picture(20, 10), picture(10, 30)], columns=2)
    assert whole.shape == (10 + 2 * GAP, 2 * 30 + 3 * GAP, 3)
