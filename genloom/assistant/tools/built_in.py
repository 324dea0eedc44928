"""The built-in tools: they compute, convert and count days, and reach neither files nor the network."""

from dataclasses import replace

from genloom.assistant.tools.calculator import calculate
from genloom.assistant.tools.dates import add_to_date, days_between, today, weekday_of
from genloom.assistant.tools.functions import build_function_tool
from genloom.assistant.tools.tool import Tool
from genloom.assistant.tools.units import convert_units


def list_built_in_tools() -> list[Tool]:
    """Return the calculator, the conversion of units, and the tools of dates."""
    functions = (calculate, convert_units, today, add_to_date, days_between, weekday_of)
    return [replace(build_function_tool(function), origin="built in") for function in functions]
