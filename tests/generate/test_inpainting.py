"""Inpainting: the square around the missing part, the model's input, and pasting; and contact sheets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.generate.image.inpainting import InpaintRegion, expand_canvas, find_crop, prefill_missing


def make_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_mask(height: int, width: int, top: int, left: int, mask_height: int, mask_width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top : top + mask_height, left : left + mask_width] = True
    return mask


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_exactly_the_missing_part_changes(data: st.DataObject) -> None:
    height, width, side = (data.draw(st.integers(1, 40)) for _ in range(3))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask_height, mask_width = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    image, mask = np.full((height, width, 3), 7, np.uint8), make_mask(height, width, top, left, mask_height, mask_width)
    generated = InpaintRegion(image, mask, side).paste(np.full((side, side, 3), 200, np.uint8))
    assert (generated[~mask] == 7).all()
    assert (generated[mask] == 200).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_square_contains_the_mask_and_lies_within_the_image_if_possible(data: st.DataObject) -> None:
    height, width, side = (data.draw(st.integers(1, 60)) for _ in range(3))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask = make_mask(
        height, width, top, left, data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    )
    square = find_crop(mask, side)
    assert square.extract(mask, 0).sum() == mask.sum()
    if square.side <= min(height, width):
        assert 0 <= square.top <= height - square.side
        assert 0 <= square.left <= width - square.side


def test_an_image_of_the_models_size_is_not_resized() -> None:
    image, mask = make_image(16, 16), make_mask(16, 16, 4, 4, 5, 3)
    region = InpaintRegion(image, mask, 16)
    assert np.array_equal(region.model_input[~mask], image[~mask])
    assert np.array_equal(region.downsample_mask((16, 16)), mask)
    generated = make_image(16, 16, 1)
    assert np.array_equal(region.paste(generated), np.where(mask[..., None], generated, image))


def test_a_small_mask_in_a_large_image_is_cropped() -> None:
    region = InpaintRegion(make_image(400, 600), make_mask(400, 600, 100, 500, 60, 40), 64)
    assert region.crop.side == 90
    assert region.model_input.shape == (64, 64, 3)


@pytest.mark.parametrize("grid", [(4, 4), (8, 8), (16, 16)])
def test_a_grid_cell_is_missing_if_any_of_its_pixels_is(grid: tuple[int, int]) -> None:
    grid_mask = InpaintRegion(make_image(16, 16), make_mask(16, 16, 5, 9, 1, 1), 16).downsample_mask(grid)
    scale = 16 // grid[0]
    assert grid_mask.sum() == 1
    assert grid_mask[5 // scale, 9 // scale]


def test_prefill_uses_the_surroundings() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16], image[:, 16:] = (200, 0, 0), (0, 0, 100)
    mask = make_mask(32, 32, 8, 2, 8, 8)
    image[mask] = 255
    assert (prefill_missing(image, mask)[mask] == (200, 0, 0)).all()
    assert np.array_equal(prefill_missing(image, mask)[~mask], image[~mask])
    assert (prefill_missing(image, np.ones_like(mask)) == 0).all(), "without known pixels, the result is black"


def test_margins_are_missing() -> None:
    canvas, margin = expand_canvas(make_image(4, 6), 1, 2, 3, 0)
    assert canvas.shape == (7, 9, 3)
    assert np.array_equal(canvas[3:, 1:7], make_image(4, 6))
    assert np.array_equal(~margin, make_mask(7, 9, 3, 1, 4, 6))
