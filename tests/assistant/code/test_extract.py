"""The program in an answer: code blocks, strictly, and continuations up to where they parse."""

import pytest

from genloom.assistant.code.extract import complete_program, extract_program

ADD = "def add(a, b):\n    return a + b\n"


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        (f"Here it is:\n```python\n{ADD}```\nDone.", ADD),
        (f"```\n{ADD}```", ADD),
        (f"```py\n{ADD}", ADD),
        (f"~~~python\n{ADD}~~~", ADD),
        (f"```PYTHON\r\n{ADD}```".replace("\n", "\r\n"), ADD),
        ("1. First:\n   ```python\n   def add(a, b):\n       return a + b\n   ```\n", ADD),
        (f"```python\nprint(1)\n```\nand\n```python\n{ADD}```", ADD),
        (ADD, ADD),
        (f"````python\n{ADD}```\n````", f"{ADD}```\n"),
        ("def add(a, b): adds. Sure!", ""),
        ("I can't.", ""),
        ("```java\nint add;\n```", ""),
        ("", ""),
        ("```python\n```", ""),
    ],
)
def test_the_block_that_defines_the_function_is_the_program(answer: str, program: str) -> None:
    found = extract_program(answer, "add")
    assert found.program == program
    assert bool(found.reason) == (not program) or "```python\n```" in answer


def test_without_a_name_the_first_block_counts() -> None:
    assert extract_program(f"```python\nx = 1\n```\n```python\n{ADD}```").program == "x = 1\n"


@pytest.mark.parametrize(
    ("continuation", "program"),
    [
        ("    return a + b\n", ADD),
        ("    return a + b\n    if a", ADD),
        ("    return a + b", ADD),
        ("    return a +\n", "def add(a, b):\n    return a +\n"),
    ],
)
def test_a_continuation_is_cut_where_it_stops_to_parse(continuation: str, program: str) -> None:
    assert complete_program("def add(a, b):\n", continuation).program == program
