"""Gaps in files: which lines they are, what a model reads of them, and how its text becomes lines of the file."""

from pathlib import Path
from typing import Any

import pytest

from genloom.assistant.code.filling import (
    clean_middle,
    continue_lines,
    cut_gap,
    encode_prompt,
    list_cuts,
    parse_target,
    read_gap,
)
from genloom.codecs import bytes as utf8
from tests.errors import raises_code

SOURCE = "def area(side):\n    square = side * side\n    return square\n\nprint(area(2))\n"
CODEC = utf8.Codec.fit((), utf8.Config(has_fill_tokens=True))


@pytest.mark.parametrize(
    ("target", "expected"),
    [("a.py:3", ("a.py", 3, 3)), ("a.py:3-7", ("a.py", 3, 7)), ("C:\\x\\a.py:1-2", ("C:\\x\\a.py", 1, 2))],
)
def test_targets_name_lines(target: str, expected: tuple[str, int, int]) -> None:
    path, first, last = parse_target(target)
    assert (str(path), first, last) == expected


@pytest.mark.parametrize(
    "target", ["", "a.py", "a.py:", "a.py:0", "a.py:5-3", "a.py:-1", "a.py:x", ":3", "a.py:1-2-3x"]
)
def test_targets_without_lines_are_refused(target: str) -> None:
    with raises_code("code.bad_target", target=target):
        parse_target(target)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize(("first", "last"), [(1, 1), (2, 3), (5, 5), (1, 5)])
def test_a_gap_is_whole_lines_and_the_original_fills_it(newline: str, end: str, first: int, last: int) -> None:
    text = SOURCE.rstrip("\n") + end
    gap = cut_gap(text.replace("\n", newline), first, last)
    assert gap.fill(gap.original) == text
    assert gap.newline == newline or text.count("\n") == 0
    assert gap.original.splitlines() == text.splitlines()[first - 1 : last]


def test_lines_outside_and_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with raises_code("code.lines_outside", count=5):
        cut_gap(SOURCE, 5, 6)
    with raises_code("code.lines_outside", count=0):
        cut_gap("", 1, 1)
    (tmp_path / "binary").write_bytes(b"\x89PNG\x00\xff")
    (tmp_path / "nul.py").write_bytes(b"x = 1\x00\n")
    (tmp_path / "large.py").write_bytes(b"x = 1\n" * 300_000)
    for name in ("binary", "nul.py", "large.py", "missing.py", "."):
        with raises_code("code.unreadable_file"):
            read_gap(tmp_path / name, 1, 1)


def test_a_middle_ends_where_the_suffix_begins() -> None:
    gap = cut_gap(SOURCE, 2, 2)
    assert clean_middle(gap, "    square = side ** 2\n    return square\n\nprint") == "    square = side ** 2\n"
    assert clean_middle(gap, "square = side ** 2") == "    square = side ** 2\n", "the blanks of the gap"
    assert clean_middle(gap, "  \n\n") == ""
    assert clean_middle(gap, "    a = 1\r\n    b = 2\r\n") == "    a = 1\n    b = 2\n"


def test_a_file_with_tabs_gets_tabs() -> None:
    gap = cut_gap("def f(x):\n\ty = x\n\treturn y\n", 2, 2)
    assert clean_middle(gap, "    y = x + 1\n        # deep") == "\ty = x + 1\n\t\t# deep\n"


def test_without_tokens_the_continuation_is_cut_where_it_may_end() -> None:
    gap = cut_gap(SOURCE, 2, 2)
    text = continue_lines(gap, "\n    square = side * side\n    square += 0\n  bad\n")
    assert list_cuts(gap, text) == ["    square = side * side\n", "    square = side * side\n    square += 0\n"]
    assert list_cuts(gap, "") == []


@pytest.mark.parametrize("num_lines", [1, 40, 400])
def test_a_model_reads_both_sides_within_its_context(num_lines: int) -> None:
    lines = [f"x{number} = {number}\n" for number in range(num_lines)]
    gap = cut_gap("".join(lines) + "gap\n" + "".join(reversed(lines)), num_lines + 1, num_lines + 1)
    ids, unread = encode_prompt(CODEC, gap, max_tokens=32, context_length=256)
    tokens = CODEC.fill_tokens
    assert tokens is not None
    assert len(ids) + 32 <= 256 + 1
    text = CODEC.decode(ids)
    last = f"x{num_lines - 1} = {num_lines - 1}\n"
    assert text.count(last) == 2, "the lines next to the gap"
    assert len(gap.prefix) + len(gap.suffix) == len(text) + unread
    assert [int(ids[0]), int(ids[1]), int(ids[-1])] == [CODEC.space.bos, tokens.prefix, tokens.middle]


def test_a_file_that_does_not_parse_around_the_gap_says_so() -> None:
    assert cut_gap(SOURCE, 2, 2).find_problem() == ""
    assert cut_gap("def f(:\n    x = 1\n", 2, 2).find_problem()
    assert cut_gap("def f():\n    if\n    return 1\n", 2, 2).find_problem() == "", "the fault is in the gap"


def test_foreign_modules_are_named() -> None:
    gap: Any = cut_gap("import numpy as np\nfrom os import path\n\nx = 1\n", 4, 4)
    assert gap.list_foreign_imports() == ["numpy"]
