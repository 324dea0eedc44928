"""Verdicts: what passes, what fails and why; and programs and tests that misbehave."""

import time
from pathlib import Path

import pytest

from genloom.assistant.code.judge import Judge, Verdict
from genloom.assistant.code.ranking import JudgedProgram, merge_programs, rank_candidates
from genloom.assistant.code.statements import check_tests, read_tests, split_tests
from genloom.assistant.code.task import read_task
from genloom.rate.sandbox import SandboxLimits, find_confinement_error
from tests.errors import raises_code

pytestmark = pytest.mark.skipif(bool(find_confinement_error()), reason=find_confinement_error())
MEDIAN = """
def median(values):
    \"\"\"Return the median.

    >>> median([3, 1, 2])
    2
    \"\"\"
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
"""
WRONG = "def median(values):\n    return sorted(values)[len(values) // 2]\n"
PLAIN = "assert median([3, 1, 2]) == 2\nassert median([1, 2]) == 1.5\nassert median([7]) == 7\n"
PYTEST = """
import pytest
from solution import median

@pytest.mark.parametrize("values, expected", [([1], 1), ([1, 2], 1.5)])
def test_values(values, expected):
    assert median(values) == expected

def test_close():
    assert median([0.1, 0.2]) == pytest.approx(0.15)

def test_empty():
    with pytest.raises(ValueError, match="no"):
        median([])

class TestMore:
    def test_one(self):
        assert median([7]) == 7
"""
UNITTEST = """
import unittest
import solution

class MedianTest(unittest.TestCase):
    def setUp(self):
        self.values = [3, 1, 2]

    def test_odd(self):
        self.assertEqual(solution.median(self.values), 2)

    def test_empty(self):
        with self.assertRaises(ValueError):
            solution.median([])

if __name__ == "__main__":
    unittest.main()
"""
SHORT = SandboxLimits(timeout_seconds=1.0)


@pytest.mark.parametrize(("tests", "count"), [(PLAIN, 3), (PYTEST, 4), (UNITTEST, 2)])
def test_tests_of_all_kinds_are_run(tests: str, count: int) -> None:
    verdict = Judge(tests=tests, name="median")(MEDIAN)
    assert verdict.is_met, verdict.summary
    assert (verdict.tests.passed, verdict.tests.total, verdict.score) == (count, count, 1.0)
    assert (verdict.own_examples.passed, verdict.own_examples.total) == (1, 1)
    wrong = Judge(tests=tests, name="median")(WRONG)
    assert not wrong.is_met
    assert 0 < wrong.tests.passed < count, wrong.summary
    assert wrong.errors


def test_examples_in_the_prompt_are_tests() -> None:
    task = read_task("median, e.g. median([1, 2]) == 1.5\n\n>>> median([3])\n3\n>>> print(median([5]))\n5\n")
    judge = Judge(task.examples, name=task.name)
    assert (judge(MEDIAN).examples.passed, judge(MEDIAN).examples.total) == (3, 3)
    verdict = judge(WRONG)
    assert (verdict.is_met, verdict.examples.passed) == (False, 2)
    assert "median([1, 2]) == 1.5" in verdict.errors[0]


def test_an_example_shows_what_came_out() -> None:
    task = read_task(">>> twice(2)\n4\n>>> twice('x')\nTraceback (most recent call last):\nTypeError: no\n")
    verdict = Judge(task.examples)("def twice(x):\n    return x + 1\n")
    assert "gave 3, expected 4" in verdict.errors[0]
    assert verdict.examples.passed == 0


def test_wrong_examples_of_a_program_s_own_docstring_do_not_fail_it() -> None:
    program = 'def one():\n    """\n    >>> one()\n    2\n    """\n    return 1\n'
    verdict = Judge(tests="assert one() == 1")(program)
    assert verdict.is_met
    assert verdict.own_examples.passed == 0
    trusted = Judge(tests="assert one() == 1", trusts_docstrings=True)(program)
    assert not trusted.is_met


@pytest.mark.parametrize(
    ("program", "is_compiled"),
    [
        ("def median(values) return 1", False),
        ("return 1", False),
        ("def median(values):\n    pass\n", True),
        ("def mean(values):\n    return 1\n", True),
        ("raise RuntimeError('no')", True),
        ("a\0b", False),
        ("(" * 10_000, False),
        ("x = 1\n" * 300_000, False),
        ("median = lambda values: '\\d'", True),
    ],
)
def test_a_program_that_is_none_fails(program: str, is_compiled: bool) -> None:
    verdict = Judge(tests=PLAIN, name="median")(program)
    assert (verdict.is_met, verdict.is_compiled) == (False, is_compiled)
    assert verdict.summary


BAD_TESTS = {
    "hangs": "while True: pass",
    "sleeps": "import time\ntime.sleep(60)",
    "allocates": "x = bytearray(10 ** 9)\nassert len(x) == 0",
    "forks": "import os\nassert os.fork() >= 0",
    "starts a process": "import subprocess\nassert subprocess.run(['true']).returncode == 0",
    "writes outside": "assert open('{path}', 'w').write('gone') == 4",
    "deletes": "import os\nassert os.remove('{path}') is None",
    "connects": "import socket\nassert socket.create_connection(('127.0.0.1', 80), 1)",
    "leaves": "import os\nassert os._exit(0) is None",
    "kills its parent": "import os, signal\nassert os.kill(os.getppid(), signal.SIGKILL) is None",
    "recurses": "def f(): return f()\nassert f() == 1",
}


@pytest.mark.parametrize("name", BAD_TESTS)
def test_tests_that_misbehave_fail_and_harm_nothing(name: str, tmp_path: Path) -> None:
    path, start = tmp_path / "diary", time.monotonic()
    path.write_text("secret")
    verdict = Judge(tests=BAD_TESTS[name].format(path=path), limits=SHORT)("x = 1\n")
    assert not verdict.is_met
    assert verdict.errors or verdict.failure
    assert path.read_text() == "secret"
    assert time.monotonic() - start < 300


@pytest.mark.parametrize(
    "flood",
    [
        "for _ in range(200_000): print('x' * 100)",
        "import os\nfor _ in range(20_000):\n    os.write(1, b'x' * 1000)",
        "import sys\nfor _ in range(200_000): sys.stderr.write('x' * 100)",
    ],
)
def test_floods_of_output_are_discarded_and_the_verdict_stays(flood: str) -> None:
    verdict = Judge(tests=f"{flood}\nassert one() == 1\nassert one() == 2")("def one():\n    return 1\n")
    assert (verdict.tests.total - verdict.tests.passed, verdict.failure) == (1, ""), verdict.summary
    quiet = Judge(tests="assert one() == 1")(f"{flood}\ndef one():\n    return 1\n")
    assert quiet.is_met, quiet.summary


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "code.no_tests"),
        ("x = 1\nimport math\n", "code.no_tests"),
        ("assert (", "code.bad_tests"),
        ("def test_it(tmp_path):\n    assert tmp_path", "code.bad_tests"),
        ("async def test_it():\n    assert True", "code.bad_tests"),
        ("assert 1\n" * 6000, "code.bad_tests"),
    ],
)
def test_tests_that_test_nothing_or_cannot_run_are_refused(text: str, code: str) -> None:
    with raises_code(code):
        check_tests(text)


def test_files_of_tests_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.py").write_bytes(b"assert 1\n" * 200_000)
    for name in ("missing.py", "binary.py", "large.py", "."):
        with raises_code("code.unreadable_tests"):
            read_tests(tmp_path / name)
    (tmp_path / "dos.py").write_bytes(b"\xef\xbb\xbfassert 1 == 1\r\nassert 2 == 2\r\n")
    assert len(split_tests(read_tests(tmp_path / "dos.py"))) == 2


def test_the_same_programs_are_merged_whatever_their_layout() -> None:
    programs = [
        "def f(x):\n    return x\n",
        "def f(x):  # twice\n  return x",
        "def f(x):\n    return x + 1\n",
        "def (",
        "def ( ",
    ]
    assert merge_programs(programs) == [(0, 1), (2,), (3, 4)]
    deep = [f"x = {'-' * depth}1\n" for depth in (900, 901)]
    assert merge_programs(deep) == [(0,), (1,)]
    documented = 'def f(x):\n    """Doc."""\n    return x\n'
    assert merge_programs([programs[0], documented]) == [(0, 1)]


def test_candidates_that_pass_more_come_first_then_those_that_agree() -> None:
    judge = Judge(tests=PLAIN, name="median")
    programs = {"none": "nothing (", "wrong": WRONG, "right": MEDIAN}
    verdicts = {name: judge(program) for name, program in programs.items()}
    ranked = rank_candidates(JudgedProgram(programs[name], verdicts[name], (name,)) for name in programs)
    assert [candidate.sources[0] for candidate in ranked] == ["right", "wrong", "none"]
    passed = Verdict(True)
    alike = rank_candidates(
        [JudgedProgram("a", passed, (1,)), JudgedProgram("bb", passed, (2, 3)), JudgedProgram("c", passed, (4,), 1.0)]
    )
    assert [candidate.code for candidate in alike] == ["bb", "c", "a"]


def test_a_failing_comparison_tells_what_came_out_and_is_evaluated_once() -> None:
    tests = "stack = [1, 2]\nassert stack.pop() == twice(1)\nassert stack == [1]\n"
    tests += "def test_two():\n    assert twice(2) == 4\n"
    verdict = Judge(tests=tests)("def twice(x):\n    return x * x * x\n")
    assert verdict.tests.passed == 1
    assert verdict.errors == ("stack.pop() == twice(1): gave 2, expected 1", "test_two(): twice(2) gave 8, expected 4")
