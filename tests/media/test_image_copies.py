"""Copies of images: enlarged, in few colours, without a background, and as SVG."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genloom.media import image
from genloom.media.image import background, palette, svg, upscaling, vectorizing
from genloom.media.image.upscaling import Convolution, Upscaler
from genloom.types import Item
from tests.errors import raises_code


def draw_disc(side: int = 48, radius: float = 0.36) -> np.ndarray:
    """A red disc with a blue dot and a soft edge on white."""
    at = (np.arange(side) + 0.5) / side - 0.5
    distance = np.hypot(at[:, None], at[None, :])
    cover = np.clip((radius - distance) * side + 0.5, 0, 1)[..., None]
    dot = np.clip((0.12 - distance) * side + 0.5, 0, 1)[..., None]
    picture = 255 * (1 - cover) + np.array([220, 30, 40]) * cover
    return np.rint(picture * (1 - dot) + np.array([30, 60, 200]) * dot).astype(np.uint8)


def test_an_enlarged_picture_keeps_its_colours_and_its_edges_are_sharper() -> None:
    large = draw_disc(192)
    small = draw_disc(48)
    enlarged = upscaling.upscale_picture(small, 4)
    assert enlarged.shape == (192, 192, 3)
    bicubic = upscaling.resize_picture(small, 192, 192, "BICUBIC")
    error, bicubic_error = (np.abs(each.astype(float) - large).mean() for each in (enlarged, bicubic))
    assert error < 0.8 * bicubic_error


@pytest.mark.parametrize("factor", [2, 3])
def test_smaller_factors(factor: int) -> None:
    assert upscaling.upscale_picture(draw_disc(20)[:15], factor).shape == (15 * factor, 20 * factor, 3)
    assert upscaling.resize_longer_side(draw_disc(20)[:10], 50).shape == (25, 50, 3)
    assert upscaling.resize_longer_side(draw_disc(64)[:32], 16).shape == (8, 16, 3)


def test_what_cannot_be_enlarged_is_refused() -> None:
    with raises_code("media.bad_factor", value=5):
        upscaling.upscale_picture(draw_disc(8), 5)
    with raises_code("media.enlarged_too_large"):
        upscaling.upscale_picture(np.zeros((3000, 3000, 3), np.uint8), 4)


def test_strips_give_what_the_whole_picture_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    sizes = [(3, 5), (5, 5), (5, 5), (5, 48)]
    layers = [
        Convolution(rng.normal(0, 0.1, (9, *size)).astype(np.float32), np.full(size[1], 0.01, np.float32))
        for size in sizes
    ]
    network, picture = Upscaler(tuple(layers)), rng.integers(0, 256, (23, 11, 3), dtype=np.uint8)
    whole = network.enlarge(picture)
    monkeypatch.setattr(upscaling, "STRIP_ROWS", 5)
    assert np.abs(network.enlarge(picture).astype(int) - whole).max() <= 1


def test_the_palette_is_that_of_the_areas() -> None:
    found = palette.choose_palette(draw_disc())
    expected = np.array([[255, 255, 255], [220, 30, 40], [30, 60, 200]])
    assert len(found) == 3, "the colours of the soft edge are mixtures"
    assert np.abs(found.astype(int) - expected).max() <= 6
    assert len(palette.choose_palette(draw_disc(), 2)) == 2


def test_a_listed_palette_is_kept_exactly() -> None:
    reduced = palette.reduce_colours(draw_disc(), "white,#ff0000,navy")
    assert {tuple(colour) for colour in reduced.reshape(-1, 3).tolist()} == {(255, 255, 255), (255, 0, 0), (0, 0, 128)}


@pytest.mark.parametrize("text", ["1", "65", "blue", "", ",".join(["red"] * 65)])
def test_an_impossible_palette_is_refused(text: str) -> None:
    with raises_code("media.bad_palette"):
        image.SaveOptions(colours=text)


def test_the_background_is_what_is_connected_to_the_border() -> None:
    picture = np.full((20, 20, 3), 250, np.uint8)
    picture[4:16, 4:16] = 0
    picture[8:12, 8:12] = 250
    found = background.find_background(picture)
    assert found[0, 0]
    assert not found[9, 9], "a hole belongs to the thing"
    assert found.sum() == 400 - 144


def test_a_flood_goes_around_corners() -> None:
    walls = np.array([[1, 0, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 1, 0, 1], [0, 0, 0, 0, 1]], bool)
    seeds = np.zeros_like(walls)
    seeds[0, 0] = True
    assert np.array_equal(background.flood_area(walls, seeds), walls)
    walls[2, 2] = False
    assert background.flood_area(walls, seeds).sum() == 4


def test_a_transparent_copy_looks_the_same_on_its_background(tmp_path: Path) -> None:
    picture = draw_disc()
    image.save(Item(picture), tmp_path / "disc.png", image.SaveOptions(transparent=True))
    with Image.open(tmp_path / "disc.png") as stored:
        rgba = stored.convert("RGBA")
    alpha = np.asarray(rgba)[..., 3]
    assert alpha[0, 0] == 0
    assert alpha[24, 24] == 255
    assert ((alpha > 0) & (alpha < 255)).any(), "the edge stays soft"
    on_white = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    assert np.abs(np.asarray(on_white).astype(int) - picture).max() <= 3
    with raises_code("media.no_transparency"):
        image.save(Item(picture), tmp_path / "disc.jpg", image.SaveOptions(transparent=True))


def test_copies_have_the_size_and_colours_that_are_asked_for(tmp_path: Path) -> None:
    image.save(Item(draw_disc()[:24]), tmp_path / "disc.png", image.SaveOptions(size=128, colours="2"))
    stored = image.open(tmp_path / "disc.png").value
    assert stored.shape == (64, 128, 3)
    assert len(np.unique(stored.reshape(-1, 3), axis=0)) == 2


def test_a_drawing_as_svg_has_few_paths_and_looks_the_same(tmp_path: Path) -> None:
    picture = draw_disc()
    tracing = vectorizing.draw_svg(picture)
    assert 2 <= tracing.num_paths <= 4
    drawing = svg.parse_svg(tracing.svg.encode(), lambda data: 0)
    with Image.open(io.BytesIO(bytes(drawing.render(48)))) as rendered:
        shown = np.asarray(rendered.convert("RGB")).astype(int)
    assert np.abs(shown - picture).mean() < 4
    image.save(Item(picture), tmp_path / "disc.svg", image.SaveOptions(size=256, colours="3"))
    assert 'width="256" height="256"' in (tmp_path / "disc.svg").read_text()


def test_a_transparent_svg_has_no_background(tmp_path: Path) -> None:
    image.save(Item(draw_disc()), tmp_path / "disc.svg", image.SaveOptions(transparent=True))
    drawing = svg.parse_svg((tmp_path / "disc.svg").read_bytes(), lambda data: 0)
    with Image.open(io.BytesIO(bytes(drawing.render(48)))) as rendered:
        alpha = np.asarray(rendered.convert("RGBA"))[..., 3]
    assert alpha[1, 1] == 0
    assert alpha[24, 24] == 255


def test_labels_lose_lines_that_only_part_two_areas() -> None:
    labels = np.zeros((12, 16), np.uint8)
    labels[:, 8:], labels[:, 7] = 2, 1
    cleaned = vectorizing.clean_labels(labels, 3)
    assert set(np.unique(cleaned)) == {0, 2}


def test_without_the_tracer_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vtracer", None)
    with raises_code("media.tracer_missing"):
        vectorizing.draw_svg(draw_disc(16))
