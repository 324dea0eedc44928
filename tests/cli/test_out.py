"""Where results shall be put is looked at before the work."""

from pathlib import Path

import pytest

from genloom.cli import run
from genloom.cli.output_path import resolve_new_path, resolve_output_file, resolve_output_folder


def test_a_file_is_itself_and_in_a_folder_gets_a_name(tmp_path: Path) -> None:
    assert resolve_output_file(tmp_path / "a" / "b.png", "compare.png") == tmp_path / "a" / "b.png"
    assert resolve_output_file(tmp_path, "compare.png") == tmp_path / "compare.png"
    assert resolve_output_folder(tmp_path / "c" / "d") == tmp_path / "c" / "d"
    assert resolve_new_path(tmp_path / "e") == tmp_path / "e"
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "compare.png").mkdir()
    with pytest.raises(ValueError, match=r"--out .*compare.png is a folder"):
        resolve_output_file(tmp_path, "compare.png")
    with pytest.raises(ValueError, match=r"--out /dev/null is no plain file"):
        resolve_output_file(Path("/dev/null"), "x")
    for place in (tmp_path / "file" / "x", Path("/proc/x/y"), tmp_path / ("n" * 300)):
        for check in (lambda p: resolve_output_file(p, "x"), resolve_output_folder):
            with pytest.raises(ValueError, match=r"--out .* can't be (made|written): .* Name another place\."):
                resolve_output_folder(place)
    with pytest.raises(ValueError, match=r"--out .*file can't be made: .*file is a file, where a folder is needed"):
        resolve_output_folder(tmp_path / "file")
    with pytest.raises(ValueError, match="exists already"):
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
def test_every_verb_looks_before_it_opens_a_model(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert run([*arguments, str(tmp_path / "file" / "x"), "--workspace", str(tmp_path / "home")]) == 2
    assert "x can't be made: " in capsys.readouterr().err
