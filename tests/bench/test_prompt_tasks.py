"""The tasks of the benchmark of prompts: enough cases, each answered right by its own answer, and few alike."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from genloom.assistant.prompts.cases import parse_case
from genloom.assistant.prompts.prompt import Prompt, Variable
from genloom.assistant.prompts.requests import join_values

sys.path.append(str(Path(__file__).parents[2] / "bench"))
prompt_tasks: Any = import_module("prompt_tasks")
TASKS = prompt_tasks.build_tasks()


def test_there_are_ten_tasks_the_same_each_time() -> None:
    assert len({task.name for task in TASKS}) == 10
    assert prompt_tasks.build_tasks() == TASKS


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_cases_are_enough_different_and_right(task: Any) -> None:
    prompt = Prompt(task.prompt, variables={"text": Variable()})
    cases = [parse_case(row, prompt, task.judge) for row in task.cases]
    assert len({join_values(case.given) for case in cases}) == len(cases) >= 58
    for case in cases:
        assert not case.answer or case.is_right(case.answer), case
        assert not case.is_right("I do not know what you mean, sorry.")
