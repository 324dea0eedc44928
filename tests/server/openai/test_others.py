"""Clients of other APIs: Anthropic's messages, Ollama's addresses, and assistants that speak MCP."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest

from tests.server.openai.conftest import RunningServer

MESSAGES: Any = [{"role": "user", "content": "Who is there?"}]
RING: Any = {
    "name": "ring",
    "description": "Rings.",
    "input_schema": {"type": "object", "properties": {"times": {"enum": [1, 2]}}, "required": ["times"]},
}


@pytest.fixture
def claude(api: RunningServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=api.url, api_key=api.key, max_retries=0, timeout=600) as client:
        yield client


def test_anthropic_asks_streams_and_counts(api: RunningServer, claude: anthropic.Anthropic) -> None:
    options: Any = {"model": "tales", "messages": MESSAGES, "max_tokens": 8, "system": "Be brief."}
    message = claude.messages.create(**options)
    assert (message.type, message.role, message.stop_reason, message.model) == (
        "message",
        "assistant",
        "max_tokens",
        "tales/1",
    )
    assert isinstance(message.content[0], anthropic.types.TextBlock)
    assert api.workspace.output(message.id.removeprefix("msg_")).continuation == message.content[0].text
    assert message.usage.output_tokens == 8
    with claude.messages.stream(**options) as stream:
        pieces = [*stream.text_stream]
        final: Any = stream.get_final_message()
    assert "".join(pieces) == final.content[0].text
    assert final.usage.output_tokens == 8
    counted = claude.messages.count_tokens(model="tales", messages=MESSAGES, system="Be brief.")
    assert counted.input_tokens == message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)
    options |= {"max_tokens": 300, "stop_sequences": ["e", "a", "o", " "]}
    ended = claude.messages.create(**options)
    assert (ended.stop_reason, ended.stop_sequence in ("e", "a", "o", " ")) == ("stop_sequence", True)


def test_anthropic_uses_tools_and_tells_their_results(claude: anthropic.Anthropic) -> None:
    choice: Any = {"type": "tool", "name": "ring"}
    options: Any = {"model": "tales", "max_tokens": 300, "tools": [RING], "tool_choice": choice}
    with claude.messages.stream(**options, messages=MESSAGES) as stream:
        message: Any = [*stream] and stream.get_final_message()
    assert message.stop_reason == "tool_use"
    block: Any = message.content[0]
    assert (block.type, block.name, block.input["times"] in (1, 2)) == ("tool_use", "ring", True)
    result: Any = {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "done"}]}
    conversation: Any = [
        *MESSAGES,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    after = claude.messages.create(model="tales", max_tokens=4, messages=conversation)
    assert after.content


def test_anthropic_reads_errors(api: RunningServer, claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        claude.messages.create(model="claude-9", max_tokens=4, messages=MESSAGES)
    body: Any = unknown.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
    assert "tales/1" in body["error"]["message"]
    picture: Any = {"type": "image", "source": {"type": "url", "url": "http://169.254.169.254/"}}
    wrong: Any = ([{"role": "user", "content": [picture]}], [])
    for messages in wrong:
        with pytest.raises(anthropic.BadRequestError):
            claude.messages.create(model="tales", max_tokens=4, messages=messages)
    stranger = anthropic.Anthropic(base_url=api.url, api_key="gl-wrong", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model="tales", max_tokens=4, messages=MESSAGES)


@pytest.fixture
def llama(api: RunningServer) -> Iterator[httpx2.Client]:
    """A program on this machine that knows only Ollama, and has no key."""
    with httpx2.Client(base_url=api.ollama_url, timeout=600) as client:
        yield client


def test_ollama_is_found_lists_and_answers(llama: httpx2.Client) -> None:
    assert llama.get("/").text == "Ollama is running"
    assert all(part.isdigit() for part in llama.get("/api/version").json()["version"].split("."))
    assert "tales" in [model["name"] for model in llama.get("/api/tags").json()["models"]]
    assert llama.post("/api/show", json={"model": "tales:latest"}).json()["capabilities"] == ["completion", "tools"]
    body = {"model": "tales", "messages": MESSAGES, "options": {"num_predict": 6, "temperature": 0.5}}
    response = llama.post("/api/chat", json=body)
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert (lines[-1]["done_reason"], lines[-1]["eval_count"]) == ("length", 6)
    whole = llama.post("/api/chat", json={**body, "stream": False, "format": {"enum": ["a", "b"]}}).json()
    assert whole["message"]["content"] in ('"a"', '"b"')
    for wrong in ({"model": "llama3"}, {"messages": [{"role": "user", "content": "x" * 900}]}):
        found = llama.post("/api/chat", json={**body, **wrong})
        assert found.status_code in (400, 404)
        assert isinstance(found.json()["error"], str)
    # Also what the guard and the shapes refuse: the packages `ollama` show `error` as it is.
    unknown = llama.post("/api/embed", json={"model": "tales", "input": "a"})
    assert (unknown.status_code, "/api/embed" in unknown.json()["error"]) == (404, True)
    assert "messages" in llama.post("/api/chat", json={"model": "tales"}).json()["error"]
    assert isinstance(llama.get("/api/tags", headers={"host": "evil.example"}).json()["error"], str)


def test_assistants_generate_rate_and_find_outputs(api: RunningServer) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def work() -> None:
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {api.other_key}"}, timeout=600) as http,
            streamable_http_client(f"{api.url}/mcp", http_client=http) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            assert {tool.name for tool in (await session.list_tools()).tools} == {"generate", "rate", "search_outputs"}
            made = await session.call_tool("generate", {"model": "tales", "prompt": "A grey heron", "count": 2})
            rows: Any = made.structured_content
            found = rows["result"]
            assert len(found) == 2
            rated = await session.call_tool("rate", {"output": found[0]["id"], "rating": "up"})
            assert not rated.is_error
            searched: Any = (await session.call_tool("search_outputs", {"words": "grey heron"})).structured_content
            assert {row["id"] for row in searched["result"]} == {row["id"] for row in found}
            resource: Any = (await session.read_resource(f"output://{found[0]['id']}")).contents[0]
            assert resource.text
            mine = api.workspace.model("tales").generate("x", max_tokens=3)[0].id  # of the person at the machine
            assert (await session.call_tool("rate", {"output": mine, "rating": "up"})).is_error

    asyncio.run(work())
