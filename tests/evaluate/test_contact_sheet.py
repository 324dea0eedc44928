"""Contact sheets of samples with their nearest training images."""

import io

import numpy as np
from PIL import Image

from genloom.evaluate.charts import draw_accuracy_bars
from genloom.evaluate.image.contact_sheet import SheetImage, SheetRow, draw_contact_sheet
from genloom.evaluate.text.battery.score import Score

RED, BLUE = (np.full((64, 64, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3)


def share(data: bytes, colour: tuple[int, int, int]) -> float:
    return float((pixels(data) == colour).all(1).mean())


def test_a_sheet_shows_samples_and_their_neighbours():
    alone = draw_contact_sheet([SheetRow(SheetImage(RED, "a square"))] * 4, "samples")
    assert 0.3 < share(alone, (200, 0, 0)) < 0.8
    rows = draw_contact_sheet([SheetRow(SheetImage(RED), [SheetImage(BLUE, "0.1"), SheetImage(BLUE)])] * 4)
    assert share(rows, (0, 0, 200)) > 1.5 * share(rows, (200, 0, 0)) > 0


def test_a_flagged_image_has_a_frame():
    plain, flagged = (
        draw_contact_sheet([SheetRow(SheetImage(RED), [SheetImage(BLUE, is_flagged=is_flagged)])])
        for is_flagged in (False, True)
    )
    frame = (0xD5, 0x5E, 0x00)
    assert share(plain, frame) == 0
    assert share(flagged, frame) > 0


def test_images_of_any_shape_and_long_captions_fit():
    assert draw_contact_sheet(
        [SheetRow(SheetImage(np.zeros((300, 20, 3), np.uint8), "a very long caption " * 20))]
    ).startswith(b"\x89PNG")


def test_the_accuracy_chart_draws_a_bar_per_task():
    scores = [Score("prompts", task, (1.0, 0.0, 1.0), 0.0, 0.97) for task in ("one", "two")]
    assert share(draw_accuracy_bars(scores, "asked"), (0, 0x72, 0xB2)) > 0.05
