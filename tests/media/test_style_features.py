"""What a picture and a text look like at a glance, in numbers that a reward model can weigh."""

import numpy as np
import pytest

from genloom.media import image
from genloom.media.image import extract_style_features as style_of_picture
from genloom.media.image.style_features import compute_hue_histogram, compute_placement
from genloom.media.text import extract_style_features as style_of_text


def dot(down: int, right: int, colour: tuple[int, int, int] = (200, 30, 30)) -> np.ndarray:
    """A square on a white ground."""
    picture = np.full((48, 48, 3), 255, np.uint8)
    picture[down : down + 8, right : right + 8] = colour
    return picture


def test_features_do_not_depend_on_the_size() -> None:
    large = dot(10, 30).repeat(2, 0).repeat(2, 1)
    small, grown = style_of_picture(dot(10, 30)), style_of_picture(large)
    assert small.shape == grown.shape
    assert np.abs(small - grown).max() < 0.03


def test_features_contain_the_placement() -> None:
    def middle(picture: np.ndarray) -> list[float]:
        return compute_placement(np.abs(picture.astype(np.float32) - 255).max(2))

    assert middle(dot(20, 20))[1:4] == pytest.approx([0, 0, 0], abs=1e-6)
    share, down, right, away, high, wide = middle(dot(0, 40))
    assert share == pytest.approx(64 / 48**2)
    assert down == pytest.approx(-right)
    assert (down < -0.4, away > 0.55, 0 < high < 0.1, 0 < wide < 0.1) == (True, True, True, True)
    assert compute_placement(np.zeros((8, 8), np.float32)) == [0.0] * 6


@pytest.mark.parametrize(
    ("colour", "place"), [((255, 0, 0), 0), ((0, 255, 0), 4), ((0, 0, 255), 8), ((255, 0, 255), 10)]
)
def test_hues_are_circular(colour: tuple[int, int, int], place: int) -> None:
    x = np.full((4, 4, 3), colour, np.uint8) / 255
    assert compute_hue_histogram(x, x.max(2) - x.min(2)) == pytest.approx(np.eye(12)[place])


def test_any_image_has_features() -> None:
    world = np.random.default_rng(0)
    for shape in ((1, 1, 3), (1, 9, 3), (64, 64, 3)):
        assert np.isfinite(style_of_picture(world.integers(0, 256, shape, np.uint8))).all()
    for flat in (0, 255):
        assert np.isfinite(style_of_picture(np.full((16, 16, 3), flat, np.uint8))).all()


def test_a_list_and_a_paragraph_differ() -> None:
    listed, prose = style_of_text("Pack:\n- a map\n- water\n- a hat"), style_of_text("Pack a map, water and a hat.")
    assert listed.shape == prose.shape
    assert listed[4] == pytest.approx(np.log1p(3))
    assert (prose[4], prose[7]) == (0, 0)
    assert listed[3] > prose[3]


def test_features_contain_the_length_and_exist_for_any_text() -> None:
    assert style_of_text("word " * 40)[1] == pytest.approx(np.log1p(40))
    for text in ("", " \n ", "…", "\x00", "你好。再见！", "a" * 10_000):
        assert np.isfinite(style_of_text(text)).all()
    assert style_of_text("It ends.")[11] == 1
    assert style_of_text("It does not")[11] == 0


def test_facts_of_a_picture_show_what_a_taste_changes() -> None:
    picture = np.full((20, 20, 3), 255, np.uint8)
    facts = image.describe(picture)
    assert facts["pixels"] == 400
    assert (facts["lightness in %"], facts["chroma in %"], facts["edges in %"]) == pytest.approx((100, 0, 0))
    picture[5:15, 5:15] = (0, 0, 255)
    bluer = image.describe(picture)
    assert bluer["foreground in %"] == pytest.approx(25)
    assert (bluer["red in %"], bluer["blue in %"], bluer["chroma in %"]) == pytest.approx((75, 100, 25))
    assert bluer["edges in %"] > 0
