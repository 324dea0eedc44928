"""Calls in the form of a model's family, as clients of chat completions see them: whole, and streamed in pieces."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from genloom.assistant.tools.call_formats import GENERIC, HERMES, LLAMA, MISTRAL, CallFormat
from genloom.assistant.tools.tool import ToolCall
from genloom.server.engine import Finished, Started, Stored, Text
from genloom.server.openai.chat import ChatRequest, ChunkWriter, build_choice, write_messages
from genloom.server.openai.formats import AnswerFormat, FunctionDefinition, Tool, build_format
from genloom.server.openai.generating import Choice, Generation

RING = Tool(type="function", function=FunctionDefinition(name="ring", parameters={"type": "object"}))
CALL = ToolCall("ring", {"times": 2})


def build(call_format: CallFormat, choice: Any = "auto") -> AnswerFormat:
    return build_format(None, [RING], choice, is_parallel=False, call_format=call_format)


def stream(answer_format: AnswerFormat, text: str, size: int) -> tuple[str, list[dict[str, Any]], str]:
    """Return the content, the pieces of calls, and the reason at the end of a streamed answer."""

    async def write_events() -> AsyncGenerator[Any]:
        for begin in range(0, len(text), size):
            yield Text(0, text[begin : begin + size])
        yield Stored(0, "2026-01-01-abc", "stop", text, 9)
        yield Finished(1, 0, 9)

    async def read() -> list[dict[str, Any]]:
        events = write_events()
        generation = Generation(Started(["2026-01-01-abc"], "m/1", "text", "fp", 1, [""]), events, events)
        writer = ChunkWriter(generation, answer_format, 1, include_usage=False, has_logprobs=False)
        return [json.loads(line.removeprefix("data: ")) async for line in writer.write()]

    deltas = [chunk["choices"][0] for chunk in asyncio.run(read())]
    content = "".join(each["delta"].get("content") or "" for each in deltas)
    calls = [call for each in deltas for call in each["delta"].get("tool_calls", [])]
    return content, calls, deltas[-1]["finish_reason"]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("call_format", [GENERIC, HERMES, LLAMA, MISTRAL], ids=lambda each: each.name)
def test_a_call_is_sent_as_a_call(call_format: CallFormat, size: int) -> None:
    answer_format = build(call_format)
    text = call_format.write_calls([CALL])
    content, calls, reason = stream(answer_format, text, size)
    assert (content, reason) == ("", "tool_calls")
    assert [call["function"].get("name") for call in calls] == ["ring", None]
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"times": 2}
    message = build_choice(0, Choice(stored=Stored(0, "x-1", "stop", text, 9)), answer_format, False)["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["name"] == "ring"


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("call_format", [GENERIC, HERMES, LLAMA, MISTRAL], ids=lambda each: each.name)
@pytest.mark.parametrize("text", ["It rings at 5 < 6 o'clock.", '{"tool_calls": [{"name": "ri', "<tool_call>\n{", "[x"])
def test_words_and_a_cut_call_are_sent_as_words(call_format: CallFormat, size: int, text: str) -> None:
    content, calls, reason = stream(build(call_format), text, size)
    assert (content, calls, reason) == (text, [], "stop")


@pytest.mark.parametrize("size", [1, 1000])
def test_words_before_a_call_are_sent_first(size: int) -> None:
    text = f"Let me ring.\n{HERMES.write_calls([CALL])}"
    content, calls, reason = stream(build(HERMES), text, size)
    assert (content, len(calls), reason) == ("Let me ring.\n", 2, "tool_calls")
    message = build_choice(0, Choice(stored=Stored(0, "x-1", "stop", text, 9)), build(HERMES), False)["message"]
    assert message["content"] == "Let me ring.\n"


@pytest.mark.parametrize("call_format", [GENERIC, HERMES, LLAMA, MISTRAL], ids=lambda each: each.name)
def test_earlier_calls_and_results_are_told_in_the_words_of_the_family(call_format: CallFormat) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "ring", "arguments": '{"times": 2}'}}
    body = ChatRequest.model_validate(
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "Ring"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "rung"},
            ],
            "tools": [RING.model_dump()],
        }
    )
    messages = write_messages(body, build(call_format))
    texts = {message.role: message.content for message in messages}
    assert call_format.read_calls(texts["assistant"]) == [("ring", {"times": 2})]
    assert messages[-1].content == call_format.write_result("ring", "rung")
    assert messages[-1].role == ("tool" if call_format in (LLAMA, MISTRAL) else "user")
    assert "ring" in (texts["tools"] if call_format is MISTRAL else texts["system"])


def test_a_named_function_ends_with_stop() -> None:
    from genloom.server.openai.formats import NamedFunction, NamedToolChoice

    named = build(HERMES, NamedToolChoice(type="function", function=NamedFunction(name="ring")))
    assert stream(named, HERMES.write_calls([CALL]), 5)[2] == "stop"
