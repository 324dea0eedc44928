"""Results go to standard output, progress to standard error, and JSON stands alone."""

import io
import json
import sys

import pytest

from genloom.api import progress
from genloom.cli.console import Console


def test_json_is_all_there_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(is_json=True).show_progress("Collecting", 10) as bar:
        bar.update(5)
    Console(is_json=True).print_line("for people")
    Console(is_json=True).print_result({"name": "Grüße", "n": 1})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"name": "Grüße", "n": 1}
    assert err == ""


def test_people_get_lines_and_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    Console().print_line("for people")
    Console().print_result({"name": "notes"})
    assert capsys.readouterr().out == "for people\n"


def test_without_a_terminal_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 1.0, 6.0, 7.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with Console().show_progress("Collecting", 8) as bar:
        for done in (1, 2, 3, 4):
            bar.update(done, f"{done} files")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Collecting 25 %  2 files\nCollecting 50 %  4 files\n"


def test_on_a_terminal_progress_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with Console().show_progress("Collecting", 4) as bar:
        bar.update(2, "[2] files")
        bar.update(4, "[4] files")
    assert "Collecting" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert "[4] files" in terminal.getvalue()
