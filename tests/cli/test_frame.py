"""The frame of the command line: quick to start, one line for an error, exit codes that mean something."""

import inspect
import os
import re
import subprocess
import sys
import time
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

import pytest

from genloom.cli import run
from genloom.cli.app import VERBS, get_module_name
from genloom.cli.commands import doctor
from genloom.cli.options.common import CommonOptions


def genloom(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from genloom.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **more)


def test_help_is_quick() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        assert genloom("--help").returncode == 0
        return time.perf_counter() - start

    # Measured at 0.15 s on an idle core; tests run beside others.
    assert min(seconds() for _ in range(3)) < 1.0


@pytest.mark.parametrize("arguments", ["--help", "--version", "trian"])
def test_starting_imports_neither_torch_nor_pyarrow(arguments: str) -> None:
    code = (
        "import sys; from genloom.cli import run; run(sys.argv[1:]); "
        "sys.exit(' '.join({'torch', 'pyarrow', 'numpy', 'matplotlib', 'sqlalchemy'} & set(sys.modules)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code, arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import genloom; sys.exit(len(set(sys.modules) - before) > 1)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_is_for_and_takes_the_shared_options(verb: str) -> None:
    carry_out = import_module(get_module_name(verb)).run
    assert (carry_out.__doc__ or "").splitlines()[0] == VERBS[verb]
    assert inspect.signature(carry_out).parameters["common"].default == CommonOptions()


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb_is_explained(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    carry_out = import_module(get_module_name(verb)).run
    explained = inspect.getdoc(carry_out) or ""
    for name, parameter in inspect.signature(carry_out).parameters.items():
        if not is_dataclass(parameter.default):
            assert f"\n{name}\n    " in explained
            continue
        for option in fields(parameter.default):  # which its class explains, for all verbs that have it
            assert re.search(rf"--{option.name.replace('_', '-')}( [A-Z]+)?  +[A-Z][a-z]* ", shown), option.name


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    import genloom as package

    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == package.__version__


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["colect", "x"], "There is no verb 'colect'. Did you mean 'collect'?"),
        (["zzz"], "There is no verb 'zzz'. There is collect,"),
        (["collect"], "requires an argument"),
        (["collect", "x", "--nme", "y"], "Did you mean --name?"),
        (["collect", "x", "--seed", "many"], "A seed is a whole number from 0 to 9,223"),
        (["list", "modles"], '"modles"'),
        (["collect", "/no/such/folder", "--name", "x"], "/no/such/folder"),
        (["train", "--resume", "notes", "--name", "x"], "A run keeps its name"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "workspace"))
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("genloom: ")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "workspace").exists()


def test_the_error_reaches_the_shell() -> None:
    ended = genloom("colect")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "genloom: There is no verb 'colect'. Did you mean 'collect'?\n"


def test_stopping_by_hand_is_exit_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "_describe_machine", stop)
    assert run(["doctor"]) == 130
    assert capsys.readouterr().err == "genloom: stopped\n"


def test_an_error_of_the_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refused() -> None:
        (tmp_path / "gone").read_text()

    monkeypatch.setattr(doctor, "_describe_machine", refused)
    assert run(["doctor"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"genloom: {tmp_path / 'gone'}: no such file or directory. See that")
    assert err.count("\n") == 1


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> None:
        raise OSError("which no system said")

    monkeypatch.setattr(doctor, "_describe_machine", wrong)
    with pytest.raises(OSError, match="which no system said"):
        run(["doctor"])


def test_a_workspace_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("The woods are lovely, dark and deep, but I have promises to keep.\n")
    ended = genloom("collect", str(tmp_path), "--name", "x", "--workers", "1", "--workspace", "/proc/foo")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("genloom: /proc/foo/data/x: nothing can be written there")
    assert "Traceback" not in ended.stderr


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        command = [sys.executable, "-c", "from genloom.cli import main; main()", "list", "--workspace", str(tmp_path)]
        ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_terminal_without_the_letters_still_shows_the_rest(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = genloom("list", "--workspace", str(tmp_path / "Grüße"), env=environment)
    assert ended.returncode == 0, ended.stderr
    assert "Gr??e" in ended.stdout
