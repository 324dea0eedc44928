"""Copies of outputs in other sizes and as drawings, and enlarged images, from the command line."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import genloom as gl
from genloom.cli import run
from genloom.media import image
from genloom.store.workspace import Workspace
from genloom.types import Item
from tests.errors import raises_code


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies")
    worlds.create_blots(Workspace(folder), 16)
    return folder


@pytest.fixture(autouse=True)
def in_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(home))


def test_copies_are_enlarged_and_drawn_and_what_is_stored_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--steps", "1", "--size", "48", "--colours", "3", "--svg"]
    assert run(["generate", "blots", "--prompt", "fox", "--out", f"{tmp_path}/", *options, "--json"]) == 0
    (made,) = json.loads(capsys.readouterr().out)["outputs"]
    copy = image.open(Path(made["file"])).value
    assert copy.shape == (48, 48, 3)
    assert len(np.unique(copy.reshape(-1, 3), axis=0)) <= 3
    assert Path(made["file"]).with_suffix(".svg").read_text().startswith("<svg")
    output = gl.Workspace().output(made["id"])
    assert output.value.shape == (16, 16, 3)
    output.replay()
    with raises_code("core.unknown_setting", key="sise"):
        output.save(tmp_path / "b.png", sise=3)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--size", "48"], "[cli.copies_without_out]"),
        (["--svg"], "[cli.copies_without_out]"),
        (["--size", "5", "--out", "x.png"], "[cli.invalid_integer]"),
        (["--colours", "1", "--out", "x.png"], "[media.bad_palette]"),
    ],
)
def test_options_of_copies_are_checked_before_the_work(
    options: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "blots", "--prompt", "fox", *options]) != 0
    assert code in capsys.readouterr().err


def test_an_image_is_enlarged_beside_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    image.save(Item(picture), tmp_path / "photo.png")
    assert run(["upscale", str(tmp_path / "photo.png"), "--by", "2"]) == 0
    assert image.open(tmp_path / "photo-x2.png").value.shape == (12, 20, 3)
    capsys.readouterr()
    assert run(["upscale", str(tmp_path / "photo.png"), "--out", str(tmp_path / "photo.png")]) != 0
    assert "[api.upscale_onto_source]" in capsys.readouterr().err
