"""Output paths are checked before the work."""

from pathlib import Path

import pytest

from genloom.cli import run
from genloom.cli.output_path import resolve_new_path, resolve_output_file, resolve_output_folder
from tests.errors import raises_code


def test_a_file_is_itself_and_in_a_folder_gets_a_name(tmp_path: Path) -> None:
    assert resolve_output_file(tmp_path / "a" / "b.png", "compare.png") == tmp_path / "a" / "b.png"
    assert resolve_output_file(tmp_path, "compare.png") == tmp_path / "compare.png"
    assert resolve_output_file(tmp_path / "new", "receipt.html") == tmp_path / "new" / "receipt.html"
    assert resolve_output_folder(tmp_path / "c" / "d") == tmp_path / "c" / "d"
    assert resolve_new_path(tmp_path / "e") == tmp_path / "e"
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_replaced_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.html").write_text("mine")
    for path, is_told in ((tmp_path / "old.html", True), (tmp_path / "new.html", False)):
        resolve_output_file(path, "x.html")
        assert (str(path) in capsys.readouterr().err) == is_told
    assert (tmp_path / "old.html").read_text() == "mine", "it is only checked here"


def test_a_path_that_cannot_be_written_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "compare.png").mkdir()
    with raises_code("cli.out_is_folder", path=tmp_path / "compare.png"):
        resolve_output_file(tmp_path, "compare.png")
    with raises_code("cli.out_is_no_file", path=Path("/dev/null")):
        resolve_output_file(Path("/dev/null"), "x")
    for path, code in (
        (tmp_path / "file" / "x", "cli.parent_is_file"),
        (Path("/proc/x/y"), "cli.path_not_writable"),
        (tmp_path / ("n" * 300), "cli.path_not_writable"),
    ):
        for resolve in (lambda p: resolve_output_file(p, "x"), resolve_output_folder):
            with raises_code(code, label=f"--out {path}"):
                resolve(path)
    with raises_code("cli.parent_is_file", parent=tmp_path / "file"):
        resolve_output_folder(tmp_path / "file")
    with raises_code("cli.path_exists", path=tmp_path / "file"):
        resolve_new_path(tmp_path / "file")


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "a", "b", "--out"],
        ["evaluate", "a", "--out"],
        ["generate", "a", "--out"],
        ["learn", "a", "--out"],
        ["ratings", "export", "--to", "jsonl", "--out"],
        ["export", "a"],
    ],
)
def test_every_verb_checks_the_path_before_it_loads_a_model(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert run([*arguments, str(tmp_path / "file" / "x"), "--workspace", str(tmp_path / "home")]) == 2
    assert "[cli.parent_is_file]" in capsys.readouterr().err
