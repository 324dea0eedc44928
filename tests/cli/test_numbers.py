"""The numbers that options take: integers where they count, and within their bounds."""

import inspect
import math
import re
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import pytest

from genloom import plugins
from genloom.cli import run
from genloom.cli.app import VERBS, get_module_name
from genloom.collect.preparation import get_preparation
from genloom.errors import format_message
from genloom.generate.conditions import GuidanceConfig

WITHOUT_ARGUMENTS = ("ratings", "studio", "serve", "access")
POSITIONALS = {"export": ["x", "out"], "learn": ["x"], "compare": ["a", "b"], "generate": ["x"], "ask": ["x", "y"]}
POSITIONALS |= {"prompts": ["improve", "x"], "translate": ["x", "--to", "fr"]}
POSITIONALS |= {verb: [] for verb in WITHOUT_ARGUMENTS}


def list_number_options(verb: str) -> Iterator[str]:
    """The options of a verb that take a number."""
    command = import_module(get_module_name(verb)).run
    hints = typing.get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
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
def test_every_option_with_a_number_rejects_invalid_ones(
    verb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in list_number_options(verb):
        option = f"--{name.rstrip('_').replace('_', '-')}"
        for given in ("nan", "-1", "many", "1e400", "1_000", "１", " 5", "0x10", "true", "9" * 5000):
            assert run([verb, *POSITIONALS.get(verb, ["x"]), option, given, "--workspace", str(tmp_path / "home")]) == 2
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1)
            assert err.startswith(f"genloom: {option} "), "it names the option, and no field of ours"
            assert f"(got {given[:100]}" in err
            assert re.search(r" \[cli\.invalid_(integer|number|amount)\]\n$", err)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("arguments", "option", "bounds", "value"),
    [
        ("train x --steps 1.5", "--steps", "from 1 to 1,000,000,000", "1.5"),
        ("train x --steps 0", "--steps", "from 1 to 1,000,000,000", "0"),
        ("evaluate x --max-bytes 0", "--max-bytes", "from 1 to 1,000,000,000", "0"),
        ("generate x --max-tokens 0", "--max-tokens", "from 1 to 1,000,000", "0"),
        ("evaluate x --max-tokens 0", "--max-tokens", "from 1 to 1,000,000", "0"),
        ("compare a b --max-tokens 0", "--max-tokens", "from 1 to 1,000,000", "0"),
        ("promote x --to 0", "--to", "from 1 to 1,000,000,000", "0"),
        ("generate x --count 2147483648", "--count", "from 1 to 100,000", "2147483648"),
        ("generate x --steps 10001", "--steps", "from 1 to 10,000", "10001"),
        (f"train x --params {2**63}", "--params", "from 1 to 1,000,000,000,000", str(2**63)),
        ("rate last --stars 6", "--stars", "from 1 to 5", "6"),
        ("train x --seed -1", "--seed", "from 0 to 9,223,372,036,854,775,807", "-1"),
        (f"train x --seed {2**63}", "--seed", "from 0 to 9,223,372,036,854,775,807", str(2**63)),
    ],
)
def test_the_error_names_option_bounds_and_value(
    arguments: str, option: str, bounds: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments.split()) == 2
    text = format_message("cli.invalid_integer", option=option, bounds=bounds, value=value)
    assert capsys.readouterr().err == f"genloom: {text} [cli.invalid_integer]\n"


@pytest.mark.parametrize("arguments", ["train x --minutes 0", "generate x --top-p 7", "generate x --temperature 2000"])
def test_a_number_out_of_bounds_is_rejected(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments.split()) == 2
    assert "[cli.invalid_number]" in capsys.readouterr().err


def test_the_shares_of_a_split_leave_training_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["collect", "x", "--val", "0.4", "--test", "0.4", "--name", "x"]) == 2
    assert "[collect.bad_held_out_share]" in capsys.readouterr().err


def list_option_classes() -> list[Any]:
    objectives = [plugins.find_part("objective", name) for name in plugins.list_part_names("objective")]
    samplers = [module.SamplingParams for module in objectives if hasattr(module, "SamplingParams")]
    edits = [plugins.find_part("editing", name).EditOptions for name in plugins.list_part_names("editing")]
    collections = [get_preparation(name).Config for name in plugins.list_part_names("preparation")]
    return [GuidanceConfig, *samplers, *edits, *collections]


@pytest.mark.parametrize("options", list_option_classes(), ids=lambda options: f"{options.__module__}")
def test_every_number_option_of_a_part_has_bounds(options: Any) -> None:
    hints = typing.get_type_hints(options)
    for each in fields(options):
        if each.name in ("val", "test"):  # whose sum is bounded
            continue
        if "is_allowed" in each.metadata and hints[each.name] in (int, float, int | None, float | None):
            for value in (10**20, math.inf, math.nan, -math.inf):
                assert not each.metadata["is_allowed"](value), f"{each.name} takes {value}"
            assert each.metadata["requirement"]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_shows_no_default_that_means_none(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "[default: False]" not in shown
    assert '[default: ""]' not in shown
    zeros = {name for name, each in inspect.signature(import_module(get_module_name(verb)).run).parameters.items()
             if type(each.default) in (int, float) and each.default == 0}  # fmt: skip
    assert zeros <= {"seed", "min_quality"}
