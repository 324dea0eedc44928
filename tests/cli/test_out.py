"""Output paths are checked before the work."""

from pathlib import Path

import pytest

from genloom.cli import run
from genloom.cli.output_path import (
    is_file_name,
    name_copy,
    note_folders,
    note_replacements,
    resolve_new_path,
    resolve_output_file,
    resolve_output_folder,
    resolve_report_folder,
)
from genloom.errors import format_message
from genloom.store.files import write_atomic
from genloom.store.workspace import Workspace
from tests.errors import raises_code


def test_a_file_is_itself_and_in_a_folder_gets_a_name(tmp_path: Path) -> None:
    assert resolve_output_file(tmp_path / "a" / "b.png", "compare.png") == tmp_path / "a" / "b.png"
    assert resolve_output_file(tmp_path, "compare.png") == tmp_path / "compare.png"
    assert resolve_output_file(tmp_path / "new", "receipt.html") == tmp_path / "new" / "receipt.html"
    assert resolve_output_folder(tmp_path / "c" / "d") == tmp_path / "c" / "d"
    assert resolve_new_path(tmp_path / "e") == tmp_path / "e"
    assert not list(tmp_path.iterdir())


def test_a_slash_at_the_end_names_a_folder(tmp_path: Path) -> None:
    for arguments in (["trace", "--out", f"{tmp_path}/a.html/"], ["trace", f"--out={tmp_path}/a.html/"]):
        note_folders(arguments)
        out = Path(arguments[-1].removeprefix("--out="))
        assert resolve_output_file(out, "trace.html") == tmp_path / "a.html" / "trace.html"
        assert resolve_report_folder(out) == tmp_path / "a.html"
        assert not is_file_name(out)
        assert name_copy(out, "x.txt", 1, 1) == tmp_path / "a.html" / "x.txt"
    note_folders(["trace", "--out", f"{tmp_path}/a.html"])
    assert is_file_name(tmp_path / "a.html")


def test_verbs_write_into_the_folder_that_a_slash_names(
    trained_copy: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--workspace", str(trained_copy.root)]
    assert run(["generate", "tales", "--max-tokens", "3", "--out", f"{tmp_path}/a.txt/", *more]) == 0
    assert [path.suffix for path in (tmp_path / "a.txt").iterdir() if path.suffix != ".c2pa"] == [".txt"]
    assert run(["prompts", "export", "email", "--out", f"{tmp_path}/b.toml/", *more]) == 0
    assert [path.name for path in (tmp_path / "b.toml").iterdir()] == ["email.toml"]
    (tmp_path / "c.txt").write_text("mine")
    assert run(["generate", "tales", "--max-tokens", "3", "--out", f"{tmp_path}/c.txt/", *more]) == 2
    assert "[cli.parent_is_file]" in capsys.readouterr().err
    assert (tmp_path / "c.txt").read_text() == "mine"


def test_a_file_that_is_replaced_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.html").write_text("mine")
    for path, is_told in ((tmp_path / "old.html", True), (tmp_path / "new.html", False)):
        write_atomic(resolve_output_file(path, "x.html"), "other")
        assert not capsys.readouterr().err
        note_replacements()
        assert (str(path) in capsys.readouterr().err) == is_told
    note_replacements()
    assert not capsys.readouterr().err, "it is said once"


@pytest.mark.parametrize("verb", ["embed", "classify", "translate"])
def test_a_file_is_not_called_replaced_if_the_command_fails(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, missing = tmp_path / "mine.jsonl", tmp_path / "missing.csv"
    out.write_text("mine")
    more = {"classify": ["--labels", "a,b"], "translate": ["--to", "fr"]}.get(verb, [])
    assert run([verb, str(missing), *more, "--out", str(out), "--workspace", str(tmp_path / "ws")]) == 2
    assert format_message("cli.out_replaced", path=out) not in capsys.readouterr().err
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("trace.html", ("a.html", "a.HTM", "a.2026", "a"), ("a.png", "a.txt", "a.md", "a.PDF")),
        ("compare.png", ("a.png", "a.PNG"), ("a.jpg", "a.svg", "a.html")),
        ("README.md", ("a.md", "a.txt", "LICENCE"), ("a.html", "a.json")),
        ("ratings.jsonl", ("a.jsonl", "a.json"), ("a.html", "a.csv")),
        ("authority.pem", ("a.pem", "a.crt", "a.txt"), ()),
    ],
)
def test_a_file_has_the_suffix_of_its_content(
    name: str, good: tuple[str, ...], bad: tuple[str, ...], tmp_path: Path
) -> None:
    for path in good:
        assert resolve_output_file(tmp_path / path, name).is_relative_to(tmp_path / path)
    for path in bad:
        with raises_code("cli.out_of_other_format", given=Path(path).suffix):
            resolve_output_file(tmp_path / path, name)


def test_a_folder_of_several_files_has_no_suffix_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "there.png").mkdir()
    for name in ("report", "v1.2", "there.png"):
        assert resolve_report_folder(tmp_path / name) == tmp_path / name
    with raises_code("cli.out_is_no_folder", folder=tmp_path / "report"):
        resolve_report_folder(tmp_path / "report.html")


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


@pytest.mark.parametrize("out", [["--out", ""], ["--out="], ["--out", " "]])
@pytest.mark.parametrize("verb", [["generate", "a"], ["trace", "last"], ["card", "a"]])
def test_an_empty_path_is_not_the_current_folder(
    verb: list[str], out: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*verb, *out, "--workspace", str(tmp_path)]) == 2
    assert "[cli.out_empty]" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".png", ".tar.gz", ".zip", ".wav"])
def test_a_file_that_stays_is_not_called_replaced(
    suffix: str, trained_copy: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"mine{suffix}"
    path.write_text("mine")
    command = ["generate", "tales", "--max-tokens", "3", "--workspace", str(trained_copy.root), "--out"]
    assert run([*command, str(path)]) == 2
    err = capsys.readouterr().err
    assert "[media.bad_text_suffix]" in err
    assert format_message("cli.out_replaced", path=path) not in err
    assert path.read_text() == "mine"
    kept = path.with_name("mine.txt")
    kept.write_text("mine")
    assert run([*command, str(kept)]) == 0
    assert format_message("cli.out_replaced", path=kept) in capsys.readouterr().err


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
