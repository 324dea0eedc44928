"""Tables of settings are parsed into dataclasses and written back."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.errors import format_message
from genloom.settings import apply_overrides, option, parse_settings, read_bounded_text, read_recipe, to_table, to_toml
from genloom.store.files import hash_file
from tests.errors import raises_code

KEYS = st.text("abcdefghij_", min_size=1, max_size=6)
VALUES = st.one_of(
    st.integers(-(2**60), 2**60), st.floats(), st.booleans(), st.text(st.characters(exclude_categories=["Cs"]))
)
TABLES = st.recursive(
    st.dictionaries(KEYS, st.one_of(VALUES, st.lists(VALUES, max_size=3)), max_size=4),
    lambda inner: st.dictionaries(KEYS, st.one_of(VALUES, inner), max_size=4),
    max_leaves=12,
)


@dataclass(frozen=True)
class Inner:
    width: int = 4
    betas: tuple[float, float] = (0.9, 0.99)


@dataclass(frozen=True)
class Outer:
    title: str = "x"
    inner: Inner = field(default_factory=Inner)
    maybe: int | None = None


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


@given(TABLES)
def test_tables_come_back_from_toml(settings: dict[str, Any]) -> None:
    assert same(tomllib.loads(to_toml(settings)), settings)


def test_values_come_back_from_their_tables() -> None:
    value = Outer("Grüße", Inner(7, (0.1, 0.2)))
    assert to_table(value) == {"title": "Grüße", "inner": {"width": 7, "betas": [0.1, 0.2]}}
    assert parse_settings(Outer, tomllib.loads(to_toml(to_table(value))), "job") == value


@dataclass(frozen=True)
class Bounded:
    steps: int = option(4, "Steps.", minimum=1)


@dataclass(frozen=True)
class Nested:
    sampler: Bounded = field(default_factory=Bounded)


def test_options_outside_their_bounds_are_refused_wherever_they_are() -> None:
    with raises_code("core.bad_setting_value", setting="network.steps", value=0):
        parse_settings(Bounded, {"steps": 0}, "network")
    with raises_code("core.bad_setting_value", setting="job.sampler.steps", value=-1):
        parse_settings(Nested, {"sampler": {"steps": -1}}, "job")
    assert parse_settings(Nested, {"sampler": {"steps": 1}}, "job").sampler.steps == 1


def test_invalid_values_and_unknown_keys_are_named() -> None:
    with raises_code("core.bad_setting_value", setting="job.inner.width", value="wide"):
        parse_settings(Outer, {"inner": {"width": "wide"}}, "job")
    with raises_code("core.unknown_setting", location="job.inner", key="widht", known="width, betas") as error:
        parse_settings(Outer, {"inner": {"widht": 3}}, "job")
    assert error.value.fields["hint"].strip() == format_message("core.did_you_mean", nearest="width")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("abc", "abc"),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ("", ""),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_settings_from_the_command_line_are_read_as_toml_or_else_as_text(text: str, value: Any) -> None:
    changed = apply_overrides({"a": {"b": 1}}, {"a.c.d": text})
    assert changed == {"a": {"b": 1, "c": {"d": value}}}
    assert type(changed["a"]["c"]["d"]) is type(value)


@pytest.mark.parametrize("width", [True, "7", "1_000", "１", math.nan, math.inf, 1.5])
def test_a_number_is_written_as_a_finite_number(width: object) -> None:
    with raises_code("core.bad_setting_value"):
        parse_settings(Inner, {"width": width}, "inner")
    with raises_code("core.bad_setting_value"):
        parse_settings(Outer, {"inner": {"width": width}}, "job")


@pytest.mark.parametrize("betas", [[0.9, True], ["0.9", 0.99], [0.9, math.nan], [0.9, math.inf]])
def test_numbers_in_a_list_are_finite_numbers_too(betas: list[object]) -> None:
    with raises_code("core.bad_setting_value"):
        parse_settings(Inner, {"betas": betas}, "inner")


def test_a_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    endless = tmp_path / "endless.toml"
    endless.symlink_to("/dev/zero")
    with raises_code("core.unreadable_file", path=endless):
        read_recipe(endless)
    with raises_code("core.unreadable_file", path=endless, description="these prompts"):
        read_bounded_text(endless, "these prompts", 1000)
    (tmp_path / "short.txt").write_text("\ufeffä" * 2, encoding="utf-8")
    assert read_bounded_text(tmp_path / "short.txt", "these prompts", 10) == "ä\ufeffä"
    with raises_code("core.unreadable_file"):
        read_bounded_text(tmp_path / "short.txt", "these prompts", 9)
    with pytest.raises(OSError, match="endless"):
        hash_file(endless)


def test_a_recipe_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.toml").write_text(f"a = {'[' * 20_000}{']' * 20_000}\n")
    with raises_code("core.bad_recipe"):
        read_recipe(tmp_path / "deep.toml")


def test_a_recipe_may_set_a_number_without_bound(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('forgetting = inf\nlist = ["a", 1.5]\n')
    recipe = read_recipe(path)
    assert apply_overrides({}, recipe) == {"forgetting": "inf", "list": ["a", 1.5]}
