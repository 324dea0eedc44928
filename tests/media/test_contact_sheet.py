"""Contact sheets: every image in its cell, with captions, neighbours, frames and a title where they are given."""

import numpy as np

from genloom.media.image.contact_sheet import BACKGROUND, GAP, SheetCell, draw_contact_sheet

RED, BLUE = (np.full((64, 64, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
FRAME = (213, 94, 0)


def make_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def count_pixels(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(-1).sum())


def test_a_sheet_has_every_image_in_its_cell() -> None:
    images = [make_image(8, 8, n) for n in range(5)]
    sheet = draw_contact_sheet([[SheetCell(image)] for image in images])
    assert sheet.shape == (2 * 8 + 3 * GAP, 3 * 8 + 4 * GAP, 3)
    for n, image in enumerate(images):
        top, left = GAP + n // 3 * (8 + GAP), GAP + n % 3 * (8 + GAP)
        assert np.array_equal(sheet[top : top + 8, left : left + 8], image)
    assert (sheet[-GAP - 8 :, -GAP - 8 :] == BACKGROUND).all()
    wide = draw_contact_sheet([[SheetCell(image)] for image in images], columns=5)
    assert wide.shape == (8 + 2 * GAP, 5 * 8 + 6 * GAP, 3)


def test_images_of_different_sizes_get_equal_heights() -> None:
    sheet = draw_contact_sheet([[SheetCell(make_image(20, 10))], [SheetCell(make_image(10, 30))]], columns=2)
    assert sheet.shape == (10 + 2 * GAP, 2 * 30 + 3 * GAP, 3)


def test_a_row_has_a_sample_and_its_neighbours() -> None:
    rows = [(SheetCell(RED), SheetCell(BLUE, "0.1"), SheetCell(BLUE))] * 4
    sheet = draw_contact_sheet(rows, "samples")
    assert count_pixels(sheet, (200, 0, 0)) == 4 * 64 * 64
    assert count_pixels(sheet, (0, 0, 200)) == 8 * 64 * 64


def test_captions_and_the_title_have_their_own_space() -> None:
    plain, captioned, titled = (
        draw_contact_sheet([[SheetCell(RED, caption)]], title)
        for caption, title in (("", ""), ("a square", ""), ("a square", "samples"))
    )
    assert len(plain) < len(captioned) < len(titled)
    assert all(count_pixels(sheet, (200, 0, 0)) == 64 * 64 for sheet in (plain, captioned, titled))
    assert captioned[-30:].min() < 128  # ink


def test_a_flagged_image_has_a_frame() -> None:
    plain, flagged = (
        draw_contact_sheet([[SheetCell(RED), SheetCell(BLUE, is_flagged=is_flagged)]]) for is_flagged in (False, True)
    )
    assert count_pixels(plain, FRAME) == 0
    assert count_pixels(flagged, FRAME) > 0


def test_images_of_any_shape_and_long_captions_fit() -> None:
    narrow = np.zeros((300, 20, 3), np.uint8)
    sheet = draw_contact_sheet([[SheetCell(narrow, "a very long caption " * 20)]], height=96)
    assert sheet.shape[0] > 96
