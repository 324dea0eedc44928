"""The built-in tools: they compute, convert and count days, and reach neither files nor the network."""

from dataclasses import replace

from genloom.assistant.tools.calculator import calculate_expression
from genloom.assistant.tools.dates import add_to_date, days_between, tell_today, weekday_of
from genloom.assistant.tools.functions import build_function_tool
from genloom.assistant.tools.tool import Tool
from genloom.assistant.tools.units import convert_units


def list_built_in_tools() -> list[Tool]:
    """Return the calculator, the conversion of units, and the tools of dates."""
    named = {
        "calculate": calculate_expression,
        "convert_units": convert_units,
        "today": tell_today,
        "add_to_date": add_to_date,
        "days_between": days_between,
        "weekday_of": weekday_of,
    }
    return [replace(build_function_tool(each), name=name, origin="built in") for name, each in named.items()]
