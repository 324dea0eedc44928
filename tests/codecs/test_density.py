from pathlib import Path

import numpy as np
import pytest

from genloom.codecs import density
from genloom.codecs.density import Codec, Config
from genloom.errors import GenloomError
from genloom.media.design.structure import Structure
from genloom.testing import check_codec

rng = np.random.default_rng(0)


def build_structure(*shape: int) -> Structure:
    return Structure(rng.integers(0, 256, shape, dtype=np.uint8))


def is_same_level(one: Structure, other: Structure) -> bool:
    return one.levels.tobytes() == other.levels.tobytes()


@pytest.mark.parametrize("size", [(8, 12), (4, 6, 8)])
def test_contract(size: tuple[int, ...]) -> None:
    check_codec(Codec(Config(size)), [build_structure(*size) for _ in range(3)], is_same_level)


def test_solid_is_one_and_empty_is_minus_one() -> None:
    structure = Structure(np.array([[0, 255], [255, 0]] * 2 + [[0, 0]] * 2, np.uint8).repeat(2, 1))
    x = Codec(Config((6, 4))).encode(structure)
    assert x.shape == (1, 6, 4)
    assert x[0, :2].tolist() == [[-1, -1, 1, 1], [1, 1, -1, -1]]


def test_other_grids_are_resampled_with_their_volume() -> None:
    structure = build_structure(20, 20)
    x = Codec(Config((8, 8))).encode(structure)
    assert (x.mean() + 1) / 2 == pytest.approx(structure.volume, abs=1e-6)


def test_any_size_is_decoded() -> None:
    assert Codec(Config((8, 8))).decode(np.full((1, 16, 24), 3.0)).levels.tolist() == [[255] * 24] * 16


def test_other_axes_are_refused() -> None:
    with pytest.raises(GenloomError) as caught:
        Codec(Config((8, 8))).encode(build_structure(4, 4, 4))
    assert caught.value.code == "codecs.bad_axes"


@pytest.mark.parametrize("size", [(32,), (2, 32), (32, 32, 32, 32), (8, 1024)])
def test_grids_that_no_design_has_are_refused(size: tuple[int, ...]) -> None:
    with pytest.raises(GenloomError) as caught:
        Config(size)
    assert caught.value.code == "codecs.bad_grid"


@pytest.mark.parametrize(
    "content", ['{"codec": "density"}', '{"codec": "density", "size": [1, 2]}', '{"size": 3}', "[]"]
)
def test_damaged_folders_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "codec.json").write_text(content)
    with pytest.raises(GenloomError) as caught:
        density.Codec.load(tmp_path)
    assert caught.value.code == "codecs.damaged_file"
    assert "codec.json" in str(caught.value)
