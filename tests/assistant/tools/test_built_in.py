"""The built-in tools compute what they say, refuse what is no arithmetic, date or unit, and never evaluate a text."""

import datetime

import pytest

from genloom.assistant.tools import dates
from genloom.assistant.tools.built_in import list_built_in_tools
from genloom.assistant.tools.calculator import calculate_expression
from genloom.assistant.tools.dates import add_to_date, days_between, tell_today, weekday_of
from genloom.assistant.tools.tool import ToolCall
from genloom.assistant.tools.toolbox import run_bounded
from genloom.assistant.tools.units import convert_units
from tests.errors import raises_code


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("(3 + 4) * 2 ** 5", "224"),
        ("0.1 + 0.2", "0.3"),
        ("1 / 3", "0.333333333333"),
        ("-7 // 2", "-4"),
        ("15 % of 80", "12"),
        ("17 % 5", "2"),
        ("2^10", "1024"),
        ("sqrt(144) + sqrt(2.25)", "13.5"),
        ("log(8, 2)", "3"),
        ("round(10 / 3, 2)", "3.33"),
        ("factorial(20)", "2432902008176640000"),
        ("2 ** 200", "1.60693804426e+60"),
        ("2 ** 0.5", "1.41421356237"),
        ("max(3, 9, 4) - min(1, 2)", "8"),
        ("1e3 × 2 ÷ 4 − 1", "499"),
        ("sin(pi / 2)", "1"),
        ("-0.5", "-0.5"),
    ],
)
def test_arithmetic_is_exact_where_it_ends(expression: str, result: str) -> None:
    assert calculate_expression(expression) == result


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')", "().__class__", "open('x')", "a + 1", "[1, 2]", "'a' * 3", "1 if 1 else 2",
        "lambda: 1", "9 ** 9 ** 9", "factorial(10 ** 9)", "1 / 0", "-" * 90 + "1", "1 +", "", "f(x=1)",
        "exp(1e9)", "(-8) ** 0.5", "1" * 600, "x := 1", "sqrt()", "True + 1", "10 ** 400 ** 400", "round(1, 2, 3)",
        "gcd(1.5, 2)", "2 << 4",
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused(expression: str) -> None:
    with raises_code("tools.bad_expression"):
        calculate_expression(expression)


def test_dates_are_counted() -> None:
    assert add_to_date("2026-01-31", 1, "months") == "2026-02-28, Saturday"
    assert add_to_date("2024-02-29", 1, "years") == "2025-02-28, Friday"
    assert add_to_date("2026-11-30", -2, "weeks") == "2026-11-16, Monday"
    assert add_to_date("2026-11-30", 45) == "2027-01-14, Thursday"
    assert [add_to_date("2026-12-04", n, "workdays") for n in (1, 5, -1)] == [
        "2026-12-07, Monday", "2026-12-11, Friday", "2026-12-03, Thursday",
    ]  # fmt: skip
    assert days_between("2026-01-01", "2026-12-25") == "358 days (51.1 weeks, 256 workdays)"
    assert days_between("2026-03-01", "2026-02-01").startswith("-28 days")
    assert weekday_of("14 July 1789").startswith("1789-07-14, Tuesday")
    assert tell_today()[:10] == datetime.datetime.now().astimezone().strftime("%Y-%m-%d")
    assert dates.parse_date("tomorrow") - dates.parse_date("today") == datetime.timedelta(1)


def test_workdays_agree_with_counting_them_one_by_one() -> None:
    begin = datetime.date(2026, 11, 25)
    for length in range(40):
        end = begin + datetime.timedelta(length)
        expected = sum((begin + datetime.timedelta(n)).weekday() < 5 for n in range(1, length + 1))
        assert f"{expected} workdays" in days_between(begin.isoformat(), end.isoformat())


@pytest.mark.parametrize("call", [("yesterdayish",), ("2026-02-30",), ("",)])
def test_a_wrong_date_is_named(call: tuple[str]) -> None:
    with raises_code("tools.bad_date"):
        weekday_of(*call)
    with raises_code("tools.bad_date"):
        add_to_date("2026-01-01", 10**9, "years")
    with raises_code("tools.bad_date"):
        add_to_date("2026-01-01", 9000, "years")


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ((5, "miles", "km"), "5 miles = 8.04672 km"),
        ((70, "degF", "degC"), "70 degF = 21.1111 degC"),
        ((0, "celsius", "fahrenheit"), "0 celsius = 32 fahrenheit"),
        ((90, "km/h", "m/s"), "90 km/h = 25 m/s"),
        ((2, "kg", "pound"), "2 kg = 4.40925 pound"),
    ],
)
def test_units_are_converted(call: tuple[float, str, str], result: str) -> None:
    assert convert_units(*call) == result


@pytest.mark.parametrize("unit", ["apples", "kg; import os", "__class__", "", "m**999999999", "(" * 30, "x" * 200])
def test_a_wrong_unit_is_named(unit: str) -> None:
    with raises_code("tools.bad_unit"):
        convert_units(1, unit, "km")
    with raises_code("tools.bad_unit"):
        convert_units(1, "kg", "km")


def test_every_built_in_tool_has_a_schema_and_runs() -> None:
    tools = {tool.name: tool for tool in list_built_in_tools()}
    assert {"calculate", "convert_units", "today", "add_to_date", "days_between", "weekday_of"} == tools.keys()
    assert tools["calculate"].parameters["required"] == ["expression"]
    assert tools["add_to_date"].parameters["properties"]["unit"]["enum"] == [
        "days", "weeks", "months", "years", "workdays",
    ]  # fmt: skip
    assert all(tool.description and tool.origin == "built in" for tool in tools.values())
    assert run_bounded(tools["calculate"], ToolCall("calculate", {"expression": "6*7"}), 10).text == "42"
    failed = run_bounded(tools["calculate"], ToolCall("calculate", {"expression": "x"}), 10)
    assert failed.is_error
