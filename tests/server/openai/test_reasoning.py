"""Reasoning of models in `<think>` tags: apart from the answer in every API, whole or streamed."""

import asyncio
import json
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from genloom.server.engine import EngineEvent, Finished, Started, Stored, Text, TokenLogprob
from genloom.server.openai.chat import ChunkWriter, build_choice, build_usage
from genloom.server.openai.formats import AnswerFormat
from genloom.server.openai.generating import Choice, Generation
from genloom.server.openai.response_writer import ResponseWriter
from genloom.server.openai.responses import ResponseRequest
from genloom.server.others.anthropic import build_content, write_events
from genloom.server.reasoning import Piece, ReasoningParser, count_reasoning_tokens, split_reasoning

PARTS = ["<think>", "</think>", "<", "</th", "think>", "ink>", " ", "\n", "\u2003", "a", "{", "Because."]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)
PIECES = ["\n<th", "ink>\nOne ", "and two.\n", "</thi", "nk>\n\nTh", "ree."]
WHOLE = "".join(PIECES)
STORED = Stored(0, "2026-01-01-000001", "stop", WHOLE, 6)


def build_generation(pieces: list[str]) -> Generation:
    """Return a generation whose answer arrives in these pieces."""

    async def iter_events() -> AsyncGenerator[EngineEvent]:
        for piece in pieces:
            yield Text(0, piece, [TokenLogprob(piece, list(piece.encode()), -1.0)])
        yield Stored(0, "2026-01-01-000001", "stop", "".join(pieces), len(pieces))
        yield Finished(3, 0, len(pieces))

    started = Started(["2026-01-01-000001"], "thinker/1", "text", "fp", 3, [""])
    return Generation(started, iter_events(), iter_events())


def read_frames(frames: AsyncGenerator[str]) -> list[dict[str, Any]]:
    async def read() -> list[str]:
        return [frame async for frame in frames]

    return [json.loads(frame.partition("data: ")[2]) for frame in asyncio.run(read())]


def join_pieces(pieces: list[Piece]) -> tuple[str, str]:
    thought, answer = ("".join(p.text for p in pieces if p.is_reasoning is side) for side in (True, False))
    return thought, answer


@given(TEXTS, st.lists(st.integers(0, 60), max_size=8))
def test_pieces_of_any_size_are_split_like_the_whole(text: str, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parser, pieces = ReasoningParser(), []
    for begin, end in pairwise(places):
        pieces += parser.feed(text[begin:end])
    pieces += parser.finish()
    assert join_pieces(pieces) == split_reasoning(text)
    assert all(piece.text for piece in pieces)


def test_only_a_beginning_in_the_tag_is_reasoning() -> None:
    assert split_reasoning(WHOLE) == ("One and two.", "Three.")
    assert split_reasoning("<think>\n\n</think>\n\nHello") == ("", "Hello")
    assert split_reasoning("<think>cut short") == ("cut short", "")
    for text in ("Write <think> before it.", "  </think> spaces stay ", "<think", ""):
        assert split_reasoning(text) == ("", text)


def test_a_chat_completion_has_the_reasoning_beside_the_content() -> None:
    message = build_choice(0, Choice(WHOLE, [], STORED), AnswerFormat(), has_logprobs=False)["message"]
    assert (message["reasoning_content"], message["content"]) == ("One and two.", "Three.")
    plain = Stored(0, "2026-01-01-000001", "stop", "Three.", 1)
    assert "reasoning_content" not in build_choice(0, Choice("Three.", [], plain), AnswerFormat(), False)["message"]


def test_a_stream_of_chat_has_both_and_every_logprob() -> None:
    writer = ChunkWriter(build_generation(PIECES), AnswerFormat(), 1, include_usage=False, has_logprobs=True)
    choices = [frame["choices"][0] for frame in read_frames(writer.write())]
    for name, text in (("reasoning_content", "One and two."), ("content", "Three.")):
        assert "".join(choice["delta"].get(name) or "" for choice in choices) == text
    tokens = [token["token"] for choice in choices if choice["logprobs"] for token in choice["logprobs"]["content"]]
    assert tokens == PIECES
    assert choices[-1]["finish_reason"] == "stop"


def test_logprobs_of_a_tag_at_the_end_are_sent_too() -> None:
    pieces = ["<think>", "a", "</think>"]
    writer = ChunkWriter(build_generation(pieces), AnswerFormat(), 1, include_usage=False, has_logprobs=True)
    choices = [frame["choices"][0] for frame in read_frames(writer.write())]
    assert [t["token"] for choice in choices if choice["logprobs"] for t in choice["logprobs"]["content"]] == pieces


def test_a_response_has_a_reasoning_item_before_the_message() -> None:
    body = ResponseRequest.model_validate({"model": "thinker", "input": "?"})
    items = ResponseWriter(build_generation([]), body, AnswerFormat()).build_items(STORED)
    assert [item["type"] for item in items] == ["reasoning", "message"]
    frames = read_frames(ResponseWriter(build_generation(PIECES), body, AnswerFormat()).write())
    assert frames[-1]["response"]["output"] == items
    for name, index, text in (("reasoning_text", 0, "One and two."), ("output_text", 1, "Three.")):
        deltas = [frame for frame in frames if frame["type"] == f"response.{name}.delta"]
        assert "".join(frame["delta"] for frame in deltas) == text == items[index]["content"][0]["text"]
        (done,) = (frame for frame in frames if frame["type"] == f"response.{name}.done")
        assert done["text"] == text
        assert {(frame["output_index"], frame["item_id"]) for frame in [*deltas, done]} == {(index, items[index]["id"])}
    for kind in ("added", "done"):
        numbers = [frame["output_index"] for frame in frames if frame["type"] == f"response.output_item.{kind}"]
        assert numbers == [0, 1]
    assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))


def test_a_response_without_reasoning_has_one_message() -> None:
    body = ResponseRequest.model_validate({"model": "thinker", "input": "?"})
    frames = read_frames(ResponseWriter(build_generation(["Th", "ree."]), body, AnswerFormat()).write())
    assert [frame["type"].removeprefix("response.") for frame in frames] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert {frame["output_index"] for frame in frames[2:-1]} == {0}
    (item,) = frames[-1]["response"]["output"]
    assert item["content"] == [{"type": "output_text", "text": "Three.", "annotations": [], "logprobs": []}]


def test_a_response_that_was_cut_in_its_reasoning_has_no_message() -> None:
    body = ResponseRequest.model_validate({"model": "thinker", "input": "?"})
    frames = read_frames(ResponseWriter(build_generation(["<think>on", " and on"]), body, AnswerFormat()).write())
    (item,) = frames[-1]["response"]["output"]
    assert (item["type"], item["content"][0]["text"]) == ("reasoning", "on and on")
    assert [frame["item"]["id"] for frame in frames if frame["type"] == "response.output_item.done"] == [item["id"]]


def test_a_message_of_anthropic_has_a_block_of_thinking() -> None:
    blocks = build_content(STORED, [])
    assert [(block["type"], block.get("thinking", block.get("text"))) for block in blocks] == [
        ("thinking", "One and two."), ("text", "Three."),
    ]  # fmt: skip
    events = read_frames(write_events(build_generation(PIECES), AnswerFormat()))
    for index, key, text in ((0, "thinking", "One and two."), (1, "text", "Three.")):
        mine = [event for event in events if event.get("index") == index]
        assert "".join(event["delta"].get(key, "") for event in mine if event["type"] == "content_block_delta") == text
        assert [mine[0]["type"], mine[-1]["type"]] == ["content_block_start", "content_block_stop"]
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "text"]


def test_the_tokens_of_reasoning_are_counted_up_to_its_end() -> None:
    pieces = ["<th", "ink>", "One", " and", "</th", "ink>", "\n\n", "Three."]

    def count(text: str, ids: list[int]) -> int:
        return count_reasoning_tokens(text, ids, lambda part: "".join(pieces[each] for each in part))

    whole = list(range(len(pieces)))
    assert count("".join(pieces), whole) == 6
    assert count("".join(pieces[:4]), whole[:4]) == 4  # cut short
    assert count("<think>" + "".join(pieces[2:]), whole[2:]) == 4  # the template wrote the opening tag
    assert count("Three.", [7]) == 0
    assert count("Write <think> before it.", [7]) == 0


def test_ollama_has_the_thinking_beside_the_content() -> None:
    from genloom.server.others.ollama import build_message, write_lines

    message = build_message(AnswerFormat(), STORED)
    assert (message["thinking"], message["content"]) == ("One and two.", "Three.")
    lines = write_lines(build_generation(PIECES), AnswerFormat())

    async def read() -> list[dict[str, Any]]:
        return [json.loads(line)["message"] async for line in lines]

    messages = asyncio.run(read())
    assert "".join(each.get("thinking", "") for each in messages) == "One and two."
    assert "".join(each["content"] for each in messages) == "Three."


def test_usage_names_the_tokens_of_reasoning() -> None:
    usage = build_usage(Finished(3, 0, 10, 7))
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 7
