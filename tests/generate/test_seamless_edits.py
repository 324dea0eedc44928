"""Edits of images as they are made now: soft masks, holes in squares of their own, colours that fit, and no bars."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from genloom.generate import engine
from genloom.generate.editing import count_passes
from genloom.generate.engine import Request, build_request, run_request
from genloom.generate.image import EditSource, unpack_edit
from genloom.generate.image.inpainting import MAX_WINDOWS, FittedImage, InpaintRegion, split_mask
from genloom.generate.output_records import replay_output, store_outputs
from genloom.media import image
from genloom.model import Model, load_model
from genloom.store.workspace import Workspace

SIDE = 16


def make_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_mask(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def test_a_part_that_agrees_with_the_image_is_pasted_as_it_is() -> None:
    picture, mask = make_image(32, 32), make_mask(32, 32, (8, 8, 24, 24))
    made = np.where(mask[..., None], make_image(32, 32, 1), picture)
    assert np.array_equal(InpaintRegion(picture, mask, 32, is_seamless=True).paste(made), made)


def test_a_difference_at_the_border_fades_out_inside() -> None:
    picture, mask = np.full((64, 64, 3), 100, np.uint8), make_mask(64, 64, (16, 16, 48, 48))
    made = InpaintRegion(picture, mask, 64, is_seamless=True).paste(np.full((64, 64, 3), 120, np.uint8))
    assert (made[~mask] == 100).all()
    row = made[32, 16:32, 0].tolist()
    assert row == sorted(row), "it changes in one direction"
    assert row[0] < 105
    assert row[4:] == [120] * 12


def test_grey_in_a_mask_mixes_the_image_and_what_is_generated() -> None:
    picture, levels = np.full((16, 16, 3), 40, np.uint8), np.zeros((16, 16), np.uint8)
    levels[4:8], levels[8:12] = 51, 255
    region = InpaintRegion(picture, levels > 0, 16, opacity=levels / np.float32(255))
    made = region.paste(np.full((16, 16, 3), 240, np.uint8))
    assert [int(made[row, 0, 0]) for row in (0, 5, 9)] == [40, 80, 240]


@pytest.mark.parametrize(
    ("boxes", "side", "count"),
    [
        (((10, 10, 30, 30), (150, 160, 170, 190)), 32, 2),
        (((10, 10, 30, 30), (150, 160, 170, 190)), 200, 1),  # one square shows both as large as two
        (((10, 10, 30, 30), (12, 32, 20, 40)), 64, 1),
        (((10, 10, 30, 30), (30, 30, 50, 50)), 16, 1),  # they touch at a corner
    ],
)
def test_holes_that_are_apart_have_squares_of_their_own(boxes: tuple, side: int, count: int) -> None:
    mask = make_mask(200, 200, *boxes)
    parts = split_mask(mask, side)
    assert len(parts) == count
    assert np.array_equal(np.logical_or.reduce(parts), mask)
    assert sum(part.sum() for part in parts) == mask.sum()


def test_many_holes_share_a_few_squares() -> None:
    corners = [(row, column) for row in range(0, 200, 40) for column in range(0, 200, 40)]
    mask = make_mask(200, 200, *((row, column, row + 2, column + 2) for row, column in corners))
    parts = split_mask(mask, 8)
    assert 2 <= len(parts) <= MAX_WINDOWS
    assert np.array_equal(np.logical_or.reduce(parts), mask)


@pytest.mark.parametrize("shape", [(20, 40), (41, 20), (7, 100)])
def test_an_oblong_image_is_shown_without_bars(shape: tuple[int, int]) -> None:
    fitted = FittedImage(np.full((*shape, 3), 90, np.uint8), SIDE)
    assert fitted.model_input.shape == (SIDE, SIDE, 3)
    assert (fitted.model_input == 90).all(), "the edges go on; nothing is white"
    height, width, _ = fitted.cut(fitted.model_input).shape
    assert max(height, width) == SIDE
    assert height / width == pytest.approx(shape[0] / shape[1], abs=0.08)


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("pictures"))
    worlds.create_blots(workspace, SIDE)
    return workspace


@pytest.fixture(scope="module")
def model(home: Workspace) -> Model:
    return load_model(home, "blots")


def make_request(edit: EditSource, count: int = 2) -> Request:
    return replace(build_request(("fox",), count, 0, (), {"steps": 2}, False), edit=edit)


def test_two_holes_are_made_one_after_the_other_and_replay(model: Model, home: Workspace) -> None:
    picture, mask = make_image(60, 90), make_mask(60, 90, (4, 4, 12, 12), (40, 70, 50, 84))
    request = make_request(EditSource(picture, mask, is_seamless=True))
    assert count_passes(request.edit, model) == 2
    assert engine.count_drafts(model, request) == 4
    assert len(list(engine.generate(model, request))) == 5
    draft = run_request(model, request)
    for value in draft.values:
        assert (value[~mask] == picture[~mask]).all()
        assert all((value[part] != picture[part]).mean() > 0.9 for part in split_mask(mask, SIDE))
    for output, value in zip(store_outputs(home, model, request, draft), draft.values, strict=True):
        assert np.array_equal(replay_output(home, output)[1], value)


def test_a_variation_of_an_oblong_image_is_oblong(model: Model) -> None:
    (made,) = run_request(model, make_request(EditSource(make_image(20, 40), strength=0.5, is_seamless=True), 1)).values
    assert made.shape == (SIDE // 2, SIDE, 3)


def test_edits_of_earlier_versions_are_read_as_they_were_made(home: Workspace, tmp_path: Path) -> None:
    picture, mask = make_image(8, 8), make_mask(8, 8, (2, 2, 6, 6))
    blobs: dict[str, bytes] = {}

    def save_blob(data: bytes, suffix: str) -> str:
        blobs[str(len(blobs))] = data
        return str(len(blobs) - 1)

    for is_seamless in (False, True):
        record = EditSource(picture, mask, is_seamless=is_seamless).pack(image, save_blob)
        read = unpack_edit(record, image, blobs.__getitem__)
        assert read.is_seamless == is_seamless
        assert read.mask is not None
        assert np.array_equal(read.mask > 0, mask)
    assert not unpack_edit({"image": "0", "mask": "1", "strength": 1.0}, image, blobs.__getitem__).is_seamless
