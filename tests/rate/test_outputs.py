"""The medium of an output comes from its record; the suffix of its file is only the fallback."""

from pathlib import Path
from types import ModuleType

import pytest

from genloom import plugins
from genloom.rate.outputs import find_medium, find_medium_name, load_output
from genloom.store.files import hash_file
from genloom.types import Item
from tests.errors import raises_code


def test_the_record_decides_about_the_medium(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two media may share a suffix, such as .gif of images and video."""
    video = ModuleType("video")
    video.open = lambda path: Item("frames")  # ty: ignore[missing-attribute]
    find_part = plugins.find_part
    monkeypatch.setattr(plugins, "find_part", lambda kind, name: video if name == "video" else find_part(kind, name))
    path = tmp_path / "output.gif"
    path.write_bytes(b"GIF")
    assert find_medium(path, {"medium": "video"}) is video
    record = {"medium": "video", "written": None, "sha256": hash_file(path)}
    assert load_output(path, record) == "frames"
    path.write_bytes(b"GIG")
    with raises_code("store.output_changed", path=path):
        load_output(path, record)
    assert find_medium(path, {}) is find_medium(path) is find_part("medium", "image")


def test_older_records_have_no_medium() -> None:
    assert find_medium_name(Path("output.txt"), {"written": "text"}) == "text"
    assert find_medium_name(Path("output.png"), {"written": None}) == "image"


def test_a_suffix_that_no_medium_opens() -> None:
    with raises_code("rate.unknown_suffix", suffix=".xyz"):
        find_medium(Path("output.xyz"))
