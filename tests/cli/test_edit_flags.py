"""Flags that several media share: bars of a tune are whole, seconds of a sound are not."""

from typing import get_type_hints

import pytest

from genloom.cli.options.editing import EditFlags, build_edit_flags, to_whole_number
from tests.errors import raises_code


def test_a_flag_of_whole_and_other_numbers_takes_both() -> None:
    assert "continue_" in set(vars(EditFlags()))
    annotation = get_type_hints(build_edit_flags())["continue_"]
    assert annotation == float | None


@pytest.mark.parametrize(("value", "whole"), [(8.0, 8), (8, 8), (-1.0, -1)])
def test_whole_numbers_are_whole(value: float, whole: int) -> None:
    assert to_whole_number("continue_", value) == whole
    assert isinstance(to_whole_number("continue_", value), int)


def test_others_are_refused_where_a_medium_counts() -> None:
    with raises_code("generate.bad_edit_option", name="continue", value=2.5):
        to_whole_number("continue_", 2.5)
