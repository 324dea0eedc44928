"""The problems of the benchmark of code: every reference solution passes its hidden tests, and a wrong one does not."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from genloom.assistant.code.judge import Judge
from genloom.assistant.code.statements import split_tests
from genloom.assistant.code.task import read_task
from genloom.rate.sandbox import find_confinement_error

sys.path.append(str(Path(__file__).parents[2] / "bench"))
assistant_code: Any = import_module("assistant_code")

PROBLEMS = assistant_code.load_problems()


def test_there_are_sixty_of_four_levels_with_enough_tests() -> None:
    assert len(PROBLEMS) == 60
    assert len({problem.name for problem in PROBLEMS}) == 60
    for problem in PROBLEMS:
        tests = [statement for statement in split_tests(problem.tests) if statement.kind == "test"]
        assert len(tests) >= 5, problem.name
        task = read_task(problem.prompt)
        assert task.name == problem.name
        assert len(task.examples) == 1, problem.name


@pytest.mark.skipif(bool(find_confinement_error()), reason=find_confinement_error())
@pytest.mark.parametrize("level", assistant_code.LEVELS)
def test_reference_solutions_pass_and_empty_ones_do_not(level: str) -> None:
    problems = [problem for problem in PROBLEMS if problem.level == level]
    program = "\n\n".join(problem.program for problem in problems)
    examples = tuple(example for problem in problems for example in read_task(problem.prompt).examples)
    judge = Judge(examples, "\n".join(problem.tests for problem in problems))
    verdict = judge(program)
    assert verdict.is_met, verdict.summary
    nothing = "\n\n".join(f"{problem.signature}:\n    return object()" for problem in problems)
    for test in judge(nothing).to_json()["tests"][:1]:
        assert test <= verdict.tests.total // 3  # "not x" and the like


def test_gaps_are_lines_of_the_solutions() -> None:
    holes = list(assistant_code.iter_gap_cases(PROBLEMS))
    assert len(holes) >= 60
    for hole in holes:
        assert 2 <= hole.first <= hole.last <= len(hole.problem.program.splitlines())
