"""The numbers that options take: whole where they count, and within what makes sense."""

import inspect
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import pytest

from genloom.cli import run
from genloom.cli.app import VERBS, get_module_name

ANSWERS = {"learn": ["x"], "compare": ["a", "b"], "generate": ["x"], "ratings": []}


def numbers_of(verb: str) -> Iterator[str]:
    """The options of a verb that take a number."""
    carry_out = import_module(get_module_name(verb)).run
    hints = typing.get_type_hints(carry_out, include_extras=True)
    for name, parameter in inspect.signature(carry_out).parameters.items():
        if is_dataclass(parameter.default):
            inner = typing.get_type_hints(type(parameter.default), include_extras=True)
            yield from (field.name for field in fields(parameter.default) if is_number(inner[field.name]))
        elif is_number(hints[name]):
            yield name


def is_number(hint: Any) -> bool:
    if typing.get_origin(hint) is Annotated:
        return is_number(typing.get_args(hint)[0])
    return hint in (int, float) or any(map(is_number, typing.get_args(hint)))


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_with_a_number_refuses_what_makes_no_sense(
    verb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in numbers_of(verb):
        option = f"--{name.replace('_', '-')}"
        for given in ("nan", "-1", "many", "1e400"):
            assert run([verb, *ANSWERS.get(verb, ["x"]), option, given, "--workspace", str(tmp_path / "home")]) == 2
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1)
            assert f"{option} {given} " in err, "it names the option, and no field of ours"
            assert "make" in err or "A seed is a whole number from 0 to 9,223,372,036,854,775,807" in err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("train x --steps 1.5", "--steps 1.5 makes no sense: give a whole number from 1 on, or leave it away."),
        ("train x --steps 0", "--steps 0 makes no sense: give a whole number from 1 on, or leave it away."),
        ("train x --minutes 0", "--minutes 0 makes no sense: give a number above 0, or leave it away."),
        ("evaluate x --max-bytes 0", "--max-bytes 0 makes no sense: give a whole number from 1 on, or leave it away."),
        (
            "generate x --max-tokens 0",
            "--max-tokens 0 makes no sense: give a whole number from 1 on, or leave it away.",
        ),
        (
            "evaluate x --max-tokens 0",
            "--max-tokens 0 makes no sense: give a whole number from 1 on, or leave it away.",
        ),
        (
            "compare a b --max-tokens 0",
            "--max-tokens 0 makes no sense: give a whole number from 1 on, or leave it away.",
        ),
        ("promote x --to 0", "--to 0 makes no sense: give a whole number from 1 on."),
        ("collect x --val 0.4 --test 0.4 --name x", "--val 0.4 and --test 0.4 must not be negative nor exceed half"),
    ],
)
def test_the_line_says_what_to_give(arguments: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments.split()) == 2
    assert capsys.readouterr().err.startswith(f"genloom: {line}")


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_shows_no_default_that_means_none(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "[default: False]" not in shown
    assert '[default: ""]' not in shown
    zeros = {name for name, each in inspect.signature(import_module(get_module_name(verb)).run).parameters.items()
             if type(each.default) in (int, float) and each.default == 0}  # fmt: skip
    assert zeros <= {"seed", "min_quality"}
