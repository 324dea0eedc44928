"""The frame of the command line: quick start, one line per error, meaningful exit codes."""

import errno
import inspect
import io
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from genloom.api import doctor
from genloom.cli import _ErrorOutput, main, run
from genloom.cli.app import VERBS, get_module_name
from genloom.cli.options.workspace import CommonOptions
from genloom.errors import format_message


def genloom(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from genloom.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, **more)


def test_help_is_quick() -> None:
    def measure_processor_time() -> float:
        start = os.times()
        assert genloom("--help").returncode == 0
        end = os.times()
        return end.children_user + end.children_system - start.children_user - start.children_system

    # Measured at 0.15 s on an idle core; tests run beside others.
    assert min(measure_processor_time() for _ in range(3)) < 1.0


@pytest.mark.parametrize("arguments", ["--help", "--version", "trian"])
def test_starting_imports_neither_torch_nor_pyarrow(arguments: str) -> None:
    code = (
        "import sys; from genloom.cli import run; run(sys.argv[1:]); "
        "sys.exit(' '.join({'torch', 'pyarrow', 'numpy', 'matplotlib', 'sqlalchemy'} & set(sys.modules)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code, arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import genloom; print(*(set(sys.modules) - before))"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names} == {
        "genloom",
        "genloom.processors",
    }


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_states_its_purpose_and_takes_the_common_options(verb: str) -> None:
    command = import_module(get_module_name(verb)).run
    assert (command.__doc__ or "").splitlines()[0] == VERBS[verb]
    assert isinstance(inspect.signature(command).parameters["common"].default, CommonOptions)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb_is_explained(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    for name, parameter in inspect.signature(import_module(get_module_name(verb)).run).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            assert re.search(rf"{name.upper()}  +\S", shown), name
            continue
        names = [field.name for field in fields(parameter.default)] if is_dataclass(parameter.default) else [name]
        for option in (
            {"list_presets": "presets", "list_options": "options", "is_chat": "chat"}.get(name, name.strip("_"))
            for name in names
        ):
            assert re.search(rf"--{option.replace('_', '-')}(?![\w-]).*[a-z]{{3}}", shown), option


def test_the_help_text_of_an_option_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) <= 120, "generate has the most options, those of every medium"


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    import genloom as package

    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == package.__version__


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["colect", "x"], "'collect'? [cli.unknown_verb_nearest]"),
        (["zzz"], "collect, train, plan, generate"),
        (["zzz"], "[cli.unknown_verb]"),
        (["collect"], "[cli.argument_missing]"),
        (["collect", "x", "--nme", "y"], "Did you mean '--name'?"),
        (["collect", "x", "--nme", "y"], "[cli.unknown_option]"),
        (["collect", ""], "[cli.path_empty]"),
        (["collect", "x", " "], "[cli.path_empty]"),
        (["import", ""], "[cli.path_empty]"),
        (["verify", "x", ""], "[cli.path_empty]"),
        (["ask", "", "why?"], "[cli.path_empty]"),
        (["collect", "no\nsuch\rfile", "--name", "a"], "[collect.no_such_source]"),
        (["train", "notes", "--zzzzzz"], "no option --zzzzzz. To list its options"),  # nothing is near it
        (["train", "-x=3"], "genloom train has no option -x."),
        (["rate", "--pair", "x"], "[cli.values_missing]"),
        (["train", "a", "--minutes", "1", "--minutes", "2"], "[cli.option_twice]"),
        (["rate", "x", "--up=3"], "[cli.flag_with_value]"),
        (["ratings", "export", "--to", "xx"], "one of jsonl, dpo, kto (got 'xx'). [cli.bad_choice]"),
        (["list", "modles"], "Did you mean 'models'? [cli.bad_choice]"),
        (["promote", "x"], "[cli.value_missing]"),
        (["collect", "x", "--seed", "many"], "[cli.invalid_integer]"),
        (["collect", "/no/such/folder", "--name", "x"], "/no/such/folder"),
        (["train", "--resume", "notes", "--name", "x"], "[api.resume_with_name]"),
        (["train", "--resume", "notes", "--minutes", "3"], "[api.resume_with_plan]"),
        (["train", "notes", "--method", "full"], "[api.method_without_model]"),
        (["train", "notes", "--set", "width"], "[cli.bad_setting]"),
        (["rate", "last", "--note", "-- hi"], "[api.no_outputs]"),  # which is a value
        (["rate", "last", "--note", "-x"], "--note=VALUE"),
        (["collect", "/no/such/emoji😀.txt"], "--name"),
        (["collect", "https://example.org/a.txt", "--name", "a"], "[collect.url_source]"),
        (["collect", "/no/such/emoji😀.txt"], "[api.derived_name_invalid]"),
        (["collect", "/no/such/-x.txt"], "must start with"),
        (["collect", f"/no/such/{'n' * 200}.txt"], "128"),
        (["forget", "icons"], "[api.forget_target]"),
        (["rate", "last", "--up", "--rater", ""], "[store.empty_name]"),
        (["generate", "icons", "a", "red", "fox"], "[cli.unexpected_argument]"),
        (["list", "--workspace", "w\udcff"], "[store.workspace_name]"),
        (["rate", "last", "--up", "--rater", "\udcff"], "[store.invalid_unicode_name]"),
        (["generate", "icons", "--preset", "\udcff"], "[generate.no_such_preset]"),
        (["forget", "icons", "--rater", "mia", "--item", "x"], "[api.forget_target]"),
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
    assert ended.stderr.startswith("genloom: ")
    assert ended.stderr.endswith(" [cli.unknown_verb_nearest]\n")


def test_a_user_sees_no_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("GENLOOM_ERROR_CODES")
    assert run(["colect", "--json"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        f"genloom: {format_message('cli.unknown_verb_nearest', verb='colect', nearest='collect')}\n",
    )


def test_an_interrupt_is_exit_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "_describe_machine", stop)
    assert run(["doctor"]) == 130
    assert capsys.readouterr().err == "genloom: stopped\n"


def test_an_error_of_the_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail() -> None:
        (tmp_path / "gone").read_text()

    monkeypatch.setattr(doctor, "_describe_machine", fail)
    assert run(["doctor"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"genloom: {tmp_path / 'gone'}: no such file or directory")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried …"),
        RuntimeError("can't start new thread"),
    ],
)
def test_too_little_memory_is_no_bug(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(doctor, "_describe_machine", fail)
    assert run(["doctor"]) == 2
    assert capsys.readouterr().err == f"genloom: {format_message('cli.out_of_memory')}\n"


def test_an_evaluation_that_could_not_be_stored_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    monkeypatch.setattr("genloom.api.models.Model.evaluate", lambda *_, **__: pytest.fail("it was measured"))
    assert run(["evaluate", "icons", "--workspace", str(tmp_path)]) == 2
    assert "[store.read_only]" in capsys.readouterr().err


def test_an_interrupt_while_modules_are_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("genloom.cli.run", interrupt)
    monkeypatch.setattr("genloom.cli._open_closed_streams", lambda: None)
    monkeypatch.setattr("genloom.cli._release_end_signals", lambda: None)  # of the process that runs the tests
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "genloom: stopped\n"


STOPPED_BY = """
import os, signal, sys, time
from genloom import cli

def stop(arguments):
    try:
        os.kill(os.getpid(), {number})
        time.sleep(0 if {is_ignored} else 60)
        return 0
    finally:
        print("cleaned up")

signal.signal({number}, signal.SIG_IGN if {is_ignored} else signal.SIG_DFL)  # nohup may ignore it already
cli.run = stop
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_command_ends_by_a_signal_as_by_ctrl_c(number: signal.Signals, is_ignored: bool) -> None:
    code = STOPPED_BY.format(number=int(number), is_ignored=is_ignored)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)
    expected = (0, "cleaned up\n", "") if is_ignored else (-number, "cleaned up\n", "genloom: stopped\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_end_of_the_process_is_no_traceback(number: signal.Signals) -> None:
    end = f"atexit.register(os.kill, os.getpid(), {int(number)})"
    code = f"import atexit, os; from genloom import cli; {end}; cli.run = len; cli.main()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert (ended.returncode, ended.stderr) == (-number, "")


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("not from the system")

    monkeypatch.setattr(doctor, "_describe_machine", fail)
    with pytest.raises(OSError, match="not from the system"):
        run(["doctor"])


def test_a_workspace_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("The woods are lovely, dark and deep, but I have promises to keep.\n")
    ended = genloom("collect", str(tmp_path), "--name", "x", "--workers", "1", "--workspace", "/proc/foo")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("genloom: /proc/foo/data/x: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["train", "--help"], ["--version"]])
def test_a_closed_pipe_ends_the_command_quietly(arguments: list[str], tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        workspace = ["--workspace", str(tmp_path)] if arguments == ["list"] else []
        command = [sys.executable, "-c", "from genloom.cli import main; main()", *arguments, *workspace]
        ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=600)
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("arguments", [["list"], ["--help"]])
def test_a_full_standard_output_is_not_taken_for_the_workspace(arguments: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "GENLOOM_HOME": str(tmp_path)}
    command = [sys.executable, "-c", "from genloom.cli import main; main()", *arguments]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=600, env=environment
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith("genloom: Standard output")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("columns", ["0", "1", "12", "000", "1000000000", "-5", "many", "٣"])
def test_any_width_of_the_environment_leaves_the_help_readable(columns: str) -> None:
    ended = genloom("promote", "--help", env={**os.environ, "COLUMNS": columns})
    assert ended.returncode == 0
    assert "Usage: genloom promote --to INT" in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 500


def test_a_current_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = f"import os; os.chdir({str(tmp_path / 'gone')!r}); os.rmdir({str(tmp_path / 'gone')!r})"
    ended = run_process(script, "list", env={**os.environ, "GENLOOM_HOME": ""})
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "current folder" in ended.stderr


def test_a_terminal_whose_encoding_lacks_letters_shows_the_rest(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = genloom("list", "--workspace", str(tmp_path / "Grüße"), env=environment)
    assert ended.returncode == 0, ended.stderr
    assert "Gr??e" in ended.stdout


def run_process(script: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, after a line of Python."""
    program = f"import sys\n{script}\nfrom genloom.cli import main\nsys.argv[1:] = {list(arguments)!r}\nmain()"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, **options)


def test_a_bug_is_one_line_with_a_report(tmp_path: Path) -> None:
    script = "from genloom.cli.commands import list as verb\ndef f(*a, **k): raise KeyError('\\x1b[31m' + 'x' * 9999)\n"
    script += "verb.run = f"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "GENLOOM_HOME": str(tmp_path / "w")}
    ended = run_process(script, "list", env=environment)
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert len(ended.stderr) < 1000
    assert "\x1b" not in ended.stderr
    (report,) = tmp_path.glob("genloom-report-*.txt")
    assert str(report) in ended.stderr
    assert "Traceback" in report.read_text()


@pytest.mark.parametrize(
    "closed", [">&- 2>&- <&-", *(pytest.param(each, marks=pytest.mark.slow) for each in (">&-", "2>&-", "<&-"))]
)
def test_closed_streams_do_not_matter(closed: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One line of text for a data set.\n")
    genloom = f"{sys.executable} -c 'from genloom.cli import main; main()'"
    environment = {**os.environ, "GENLOOM_HOME": str(tmp_path / "w")}
    for command in (f"collect {tmp_path / 'a.txt'} --name a --workers 1", "list", "list --json", "list nothing"):
        ended = subprocess.run(
            ["sh", "-c", f"{genloom} {command} {closed}"], capture_output=True, text=True, env=environment, check=False
        )
        assert ended.returncode == (2 if "nothing" in command else 0), ended.stderr
        assert "Traceback" not in ended.stderr
    from genloom.store.workspace import Workspace

    assert len(list(Workspace(tmp_path / "w").get_dataset("a").iter_documents("train"))) == 1


def test_nothing_printed_controls_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "w"))
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("One line of text for a data set.\n")
    (folder / "b\x1b[2J\x9b31m\u202e.pdf").write_bytes(b"%PDF-1.4 no")
    (folder / "c.jsonl").write_text('{"text": "Another line of words.", "license": "\\u001b[31mmine\\u009b2J"}\n')
    collecting = ["collect", str(folder), "--name"]
    missing = ["collect", str(folder / "x\x1b[2J")]
    for arguments in ([*collecting, "n"], [*collecting, "m", "--json"], ["list"], missing):
        run(arguments)
        out, err = capsys.readouterr()
        assert not set(out + err) & {"\x1b", "\x9b", "\u202e"}, arguments


class UnwritableStream(io.RawIOBase):
    """A stream that the system refuses to write to."""

    def __init__(self, code: int) -> None:
        self.code = code

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        if self.code:
            raise OSError(self.code, os.strerror(self.code))
        return len(bytes(data))  # ty: ignore[invalid-argument-type]


def test_a_terminal_that_was_closed_gets_no_errors_and_other_errors_are_raised() -> None:
    raw = UnwritableStream(errno.EIO)
    stream = _ErrorOutput(io.TextIOWrapper(io.BufferedWriter(raw), "utf-8"))
    print("Training  step 3", file=stream)
    stream.flush()
    raw.code = errno.ENOSPC
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        stream.flush()
    raw.code = 0  # so that it can be closed
    stream.close()
