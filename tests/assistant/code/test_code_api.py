"""Code through the API and the command line: candidates are stored with their verdicts, ranked, rated and replayed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import genloom as gl
from genloom.api import code_candidates
from genloom.cli import run
from genloom.rate.sandbox import find_confinement_error
from genloom.store.workspace import Workspace
from tests.errors import raises_code

pytestmark = pytest.mark.skipif(bool(find_confinement_error()), reason=find_confinement_error())
RIGHT, WRONG = "a + b\n", "a - b\n"
TESTS = "assert add(1, 2) == 3\nassert add(0, 0) == 0\n"
PROMPT = "def add(a, b): the sum of two numbers"
SOURCE = "def add(a, b):\n    total = a + b\n    return total\n"


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with `tales`, which has tokens for filling and knows nothing of code, and `plain` without them."""
    workspace = Workspace(tmp_path_factory.mktemp("code"))
    data = worlds.create_dataset(workspace)
    small = {"context_length": "256", "network__width": "16"}
    worlds.finish_run(workspace, worlds.build_job(data, 2, codec__has_fill_tokens="true", fim_rate="0.5", **small))
    worlds.finish_run(workspace, worlds.build_job(data, 2, name="plain", **small))
    worlds.finish_run(workspace, worlds.build_job(data, 2, name="masks", objective__name="masked", **small))
    return workspace.root


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that gives the texts which a model writes next, in turns."""

    def set_texts(*texts: str) -> None:
        original = code_candidates.iter_batch

        def iter_batch(*arguments: Any, **keywords: Any) -> Any:
            batch, draft, notes = yield from original(*arguments, **keywords)
            continuations = tuple(texts[row % len(texts)] for row in range(len(batch.prompts)))
            return batch, replace(draft, continuations=continuations), notes

        monkeypatch.setattr(code_candidates, "iter_batch", iter_batch)

    return set_texts


def test_candidates_are_ranked_merged_and_stored_with_their_verdicts(home: Path, write: Callable[..., None]) -> None:
    ws = gl.Workspace(home, rater="mia")
    write(f"\n    return {WRONG}", f"\n    return {RIGHT}", f"\n    return {RIGHT}", "\n    return (")
    found = ws.write_code(PROMPT, model="plain", tests=TESTS, n=4, max_tokens=8, is_rated=True)
    assert found.is_met
    assert [len(candidate.outputs) for candidate in found] == [2, 1, 1]
    signature = PROMPT.partition(": ")[0]
    shown = ">>> add(1, 2)\n    3\n    >>> add(0, 0)\n    0"
    doc = f"the sum of two numbers\n\n    {shown}\n    "
    assert found.text == f'{signature}:\n    """{doc}"""\n    return a + b\n'
    assert found.method == "docstring"
    judged = [candidate.output.record["judgement"] for candidate in found]
    assert [verdict["is_met"] for verdict in judged] == [True, False, False]
    assert judged[1]["tests"] == [1, 2]
    rows = [row for row in ws.ratings("plain").rows if row["rater"] == "check-code"]
    assert sorted(row["says"].split()[-1] for row in rows) == ["bad", "bad", "good", "good"]
    assert all(row["machine"] for row in rows)


def test_what_a_model_writes_is_an_output_that_replays(home: Path) -> None:
    ws = gl.Workspace(home)
    found = ws.model("plain").write_code(PROMPT, n=2, seed=1, max_tokens=12)
    assert not found.is_met
    for candidate in found:
        for output in candidate.outputs:
            assert output.replay() == output.value
            assert output.record["judgement"]["check"] == "code"


def test_chat_answers_are_read_from_their_blocks(home: Path, write: Callable[..., None], worlds: ModuleType) -> None:
    worlds.mark_chat_tuned(Workspace(home), "masks")  # which cannot chat all the same
    worlds.mark_chat_tuned(Workspace(home), "plain")
    ws = gl.Workspace(home)
    write(f"Sure:\n```python\ndef add(a, b):\n    return {RIGHT}```", "No.")
    found = ws.write_code("the sum of two numbers", model="plain", tests=TESTS, n=2, max_tokens=8)
    assert (found.method, found.is_met) == ("chat", True)
    assert found.text == "def add(a, b):\n    return a + b\n"
    assert found[1].verdict.errors
    question = found.best.output.record["conversation"][0]["content"]
    assert "`add`" in question
    assert "add(1, 2) == 3" in question


@pytest.mark.parametrize("model", ["tales", "plain"])
def test_a_gap_is_filled_with_and_without_tokens(
    model: str, home: Path, write: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "adding.py"
    path.write_bytes(SOURCE.replace("\n", "\r\n").encode())
    ws = gl.Workspace(home)
    begin = "" if model == "tales" else "\n"
    write(f"{begin}    total = a - b\n    return total", f"{begin}    total = a + b\n    return total")
    found = ws.fill_code(f"{path}:2", model=model, tests=TESTS, n=2, max_tokens=8)
    assert found.method == ("tokens" if model == "tales" else "prefix")
    assert found.is_met, found[0].verdict.summary
    assert found.best.code == "    total = a + b\n"
    assert found.text == SOURCE.replace("\n", "\r\n")
    assert path.read_bytes().decode() == found.text, "the file is not changed"
    assert bool(found.notes) == (model == "plain")


def test_the_model_for_gaps_is_one_that_was_trained_on_them(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "adding.py"
    path.write_text(SOURCE)
    found = gl.Workspace(home).fill_code(f"{path}:2-3", n=1, seed=3, max_tokens=8)
    assert found.best.output.model.startswith("tales/")
    assert found.best.output.replay() == found.best.output.value


@pytest.mark.parametrize(
    ("arguments", "options", "code"),
    [
        (("",), {}, "code.nothing_asked"),
        (("x",), {"language": "cobol"}, "code.unknown_language"),
        (("x",), {"tests": "assert ("}, "code.bad_tests"),
        (("x",), {"tests": Path("missing.py")}, "code.unreadable_tests"),
        (("x",), {"timeout": 0.0}, "rate.bad_sandbox_limits"),
        (("x",), {"model": "masks"}, "code.model_unfit"),
        (("x",), {"n": 0}, "generate.nothing_to_generate"),
    ],
)
def test_what_cannot_be_written_is_refused(home: Path, arguments: Any, options: Any, code: str) -> None:
    with raises_code(code):
        gl.Workspace(home).write_code(*arguments, **{"model": "plain", **options})


def test_what_cannot_be_filled_is_refused(home: Path, tmp_path: Path) -> None:
    ws, path = gl.Workspace(home), tmp_path / "a.py"
    path.write_text("x = 1\n")
    for target, options, code in (
        ("a.py", {}, "code.bad_target"),
        (f"{path}:7", {}, "code.lines_outside"),
        (f"{path}:1", {"fill_by": "magic"}, "code.unknown_method"),
        (f"{path}:1", {"fill_by": "tokens"}, "code.no_fill_tokens"),
        (f"{tmp_path}:1", {}, "code.unreadable_file"),
    ):
        with raises_code(code):
            ws.fill_code(target, model="plain", **options)


def test_a_file_with_a_fault_around_the_gap_says_that_nothing_can_compile(
    home: Path, write: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import numpy\n\ndef f(:\n    x = 1\n    return x\n")
    write("    x = 2\n")
    found = gl.Workspace(home).fill_code(f"{path}:4", model="tales", n=1, max_tokens=8)
    assert not found.is_met
    assert any("does not parse" in note for note in found.notes)
    assert any("numpy" in note for note in found.notes)


def test_the_command_prints_the_best_writes_it_and_tells_by_its_status(
    home: Path, write: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tests, out = tmp_path / "tests.py", tmp_path / "out.py"
    tests.write_text(TESTS)
    write(f"\n    return {WRONG}", f"\n    return {RIGHT}")
    options = ["--model", "plain", "--no-chat", "--count", "2", "--max-tokens", "8", "--workspace", str(home)]
    assert run(["code", PROMPT, "--tests", str(tests), "--out", str(out), *options]) == 0
    shown = capsys.readouterr().out
    assert shown.index("1. passes") < shown.index("return a + b") < shown.index("2. fails")
    assert out.read_text().endswith("return a + b\n")
    write(f"\n    return {WRONG}")
    assert run(["code", PROMPT, "--tests", str(tests), *options, "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["passed"], result["candidates"][0]["tests"]) == (False, [1, 2])
    assert run(["code", *options]) == 2
    assert run(["code", "x", "--fill", "a.py:1", *options]) == 2
    assert run(["code", "x", "--out", str(tmp_path / "tests.py" / "x.py"), *options]) == 2
