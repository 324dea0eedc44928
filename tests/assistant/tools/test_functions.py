"""Python functions as tools: the schema of the signature, the words of the docstring, and checked arguments."""

from typing import Literal

import pytest

from genloom.assistant.tools.functions import build_function_tool
from genloom.assistant.tools.tool import Tool, ToolCall, bound_description, build_result, check_tools, to_tool_name
from genloom.assistant.tools.toolbox import run_bounded
from tests.errors import raises_code


def book(place: str, nights: int = 1, kind: Literal["room", "tent"] = "room", names: list[str] | None = None) -> dict:
    """Book a stay.

    More words that a model need not read.

    Args:
        place: the town
        nights (int): how many nights
    """
    return {"place": place, "nights": nights, "kind": kind, "names": names}


def test_the_schema_comes_from_the_signature() -> None:
    tool = build_function_tool(book)
    assert (tool.name, tool.description, tool.origin) == ("book", "Book a stay.", "function")
    assert tool.parameters["required"] == ["place"]
    assert tool.parameters["additionalProperties"] is False
    assert tool.parameters["properties"]["kind"]["enum"] == ["room", "tent"]
    assert tool.parameters["properties"]["place"] == {"type": "string", "description": "the town"}
    assert tool.parameters["properties"]["nights"]["description"] == "how many nights"
    result = run_bounded(tool, ToolCall("book", {"place": "Ribe", "nights": 2}), 10)
    assert result.text == '{"place": "Ribe", "nights": 2, "kind": "room", "names": null}'


def test_the_docstring_may_be_in_the_style_of_numpy() -> None:
    def add(a: int, b: int) -> int:
        """Add.

        Parameters
        ----------
        a : int
            first number
        b
            second number

        Returns
        -------
        int
        """
        return a + b

    properties = build_function_tool(add).parameters["properties"]
    assert [properties[name]["description"] for name in "ab"] == ["first number", "second number"]


@pytest.mark.parametrize("arguments", [{}, {"place": "x", "nights": "many"}, {"place": "x", "more": 1}])
def test_wrong_arguments_are_a_failed_result(arguments: dict) -> None:
    assert run_bounded(build_function_tool(book), ToolCall("book", arguments), 10).is_error


def test_a_function_without_types_is_no_tool() -> None:
    with raises_code("tools.untyped_function", parameter="x"):
        build_function_tool(lambda x: x)

    def collect(*words: str) -> str:
        return ""

    with raises_code("tools.untyped_function", parameter="words"):
        build_function_tool(collect)

    def odd(file: type(open)) -> str:  # ty: ignore[invalid-type-form]
        return ""

    with raises_code("tools.function_without_schema"):
        build_function_tool(odd)


def test_names_and_descriptions_are_bounded() -> None:
    assert to_tool_name("read file; rm -rf /") == "read_file_rm_-rf"
    assert to_tool_name("…") == "tool"
    assert bound_description("a\x1b[2J\n b") == "a\ufffd[2J b"
    assert len(bound_description("x" * 9000)) == 2000
    with raises_code("tools.bad_name"):
        Tool("a b")
    with raises_code("tools.name_twice", name="a"):
        check_tools([Tool("a"), Tool("a")])
    with raises_code("tools.too_many"):
        check_tools([Tool(f"t{n}") for n in range(200)])


def test_a_long_result_is_cut() -> None:
    result = build_result("y" * 10_000)
    assert result.is_cut
    assert len(result.text) < 4100
