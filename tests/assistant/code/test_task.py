"""What a person asks for: the signature, the name and the examples in words and tests."""

import pytest

from genloom.assistant.code.task import (
    build_docstring_prompt,
    build_question,
    find_tested_name,
    name_function,
    read_task,
)


@pytest.mark.parametrize(
    ("text", "signature", "name", "description"),
    [
        ("median of a list", "", "", "median of a list"),
        ("def median(xs: list[float]) -> float: median of a list", "def median(xs: list[float]) -> float", "median",
         "median of a list"),
        ("Write def f(a, b=')'): sum", "def f(a, b=')')", "f", "Write sum"),
        ("def broken(a, : no", "", "", "def broken(a, : no"),
        ("def f(x) -> dict[str, int]: counts", "def f(x) -> dict[str, int]", "f", "counts"),
        ("the default of a def is x", "", "", "the default of a def is x"),
    ],
)  # fmt: skip
def test_a_signature_is_recognised(text: str, signature: str, name: str, description: str) -> None:
    task = read_task(text)
    assert (task.signature, task.name, task.description) == (signature, name, description)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("median, e.g. median([1, 3, 2]) == 2", ["median([1, 3, 2]) == 2"]),
        ("f(1) -> 2; f('a)') returns 'b'.", ["f(1) == 2", "f('a)') == 'b'"]),
        ("f(1) == g(2)", []),
        ("twice.\n\n>>> twice(2)\n4\n>>> twice(0)\n0\n", ["twice(2) == 4", "twice(0) == 0"]),
        ("no example (see f(x) == y)", []),
        ("f(0.5) is 1.5, f([]) gives None", ["f(0.5) == 1.5", "f([]) == None"]),
        ("f(1) == 2\nf(2) == {'a': [1, 2]}", ["f(1) == 2", "f(2) == {'a': [1, 2]}"]),
    ],
)
def test_examples_are_recognised(text: str, labels: list[str]) -> None:
    assert [example.label for example in read_task(text).examples] == labels


@pytest.mark.parametrize(
    ("tests", "name"),
    [
        ("assert median([1]) == 1", "median"),
        ("from solution import mean\nassert mean([1]) == 1", "mean"),
        ("import math\nassert math.isclose(area(1), math.pi)", "area"),
        ("x = [1]\ndef check(f):\n    return f\nassert check(sorted)([1]) == x\nassert top(x) == 1", "top"),
        ("import solution\nassert solution.add(1, 2) == 3", "add"),
        ("import pytest\nwith pytest.raises(ValueError):\n    parse('x')", "parse"),
        ("def test_it():\n    assert program.sum([1]) == 1", "sum"),
        ("assert len([1]) == 1", ""),
        ("not python (", ""),
        ("from solution import *\n\nassert median([1, 3, 2]) == 2", "median"),
    ],
)
def test_the_name_is_that_which_tests_call(tests: str, name: str) -> None:
    assert find_tested_name(tests) == name


def test_the_tests_are_shown_unless_hidden() -> None:
    tests = "assert median([1]) == 1\nassert median([1, 2]) == 1.5\n" + "assert median([2]) == 2\n" * 5
    task = read_task("median of a list", tests)
    assert task.name == "median"
    question, prompt = build_question(task), build_docstring_prompt(task)
    assert "assert median([1, 2]) == 1.5" in question
    assert ">>> median([1, 2])" in prompt
    hidden = read_task("median of a list", tests, is_showing_tests=False)
    assert "1.5" not in build_question(hidden) + build_docstring_prompt(hidden)
    assert "`median`" in build_question(hidden)


def test_a_signature_begins_the_program() -> None:
    plain = build_docstring_prompt(read_task("def f(x): twice x"))
    assert plain == 'def f(x):\n    """twice x"""'
    shown = build_docstring_prompt(read_task("def f(x): twice x, e.g. f(1) == 2"))
    assert shown == 'def f(x):\n    """twice x, e.g. f(1) == 2\n\n    >>> f(1)\n    2\n    """'
    assert build_docstring_prompt(read_task("median of a list")) == "# median of a list\ndef median("


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("median of a list", "median"),
        ("Sort the words", "sort_words"),
        ("2 sums", "f_2_sums"),
        ("", "f"),
        ("is", "is_"),
    ],
)
def test_a_description_gives_a_name(description: str, name: str) -> None:
    assert name_function(description) == name
    assert name.isidentifier()
