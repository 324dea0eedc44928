"""Requests as known programs send them, as far as their documents tell: each gets what it reads."""

import json
from typing import Any

import httpx2
import pytest

from tests.server.openai.test_chat import post

PICK: Any = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def read_events(client: httpx2.Client, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a stream as their data; the last may be [DONE]."""
    with client.stream("POST", path, json=body) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def test_continue_sends_parts_and_many_fields(client: httpx2.Client) -> None:
    body = {
        "model": "tales",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Who is"}, {"type": "text", "text": " there?"}]},
        ],
        "max_tokens": 8,
        "temperature": 0.5,
        "top_p": 1,
        "stop": ["\n\n\n", "</file>"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "parallel_tool_calls": False,
    }
    chunks = read_events(client, "/v1/chat/completions", body)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"] <= 8) == ([], True)


def test_completions_of_editors_are_streamed(client: httpx2.Client) -> None:
    body: dict[str, Any] = {
        "model": "tales",
        "prompt": "The old king",
        "max_tokens": 6,
        "temperature": 0.01,
        "stream": True,
    }
    body |= {"stop": ["<fim_prefix>", "<fim_suffix>", "\n\n", "```"], "presence_penalty": 0, "frequency_penalty": 0}
    events = read_events(client, "/v1/completions", body)
    assert all(event["object"] == "text_completion" for event in events)
    assert events[-1]["choices"][0]["finish_reason"] in ("length", "stop")


def test_open_webui_lists_models_asks_for_a_title_and_for_a_picture(client: httpx2.Client) -> None:
    listed = client.get("/v1/models").json()
    assert (listed["object"], {"id", "object", "created", "owned_by"} <= listed["data"][0].keys()) == ("list", True)
    title: dict[str, Any] = {
        "model": "tales",
        "stream": False,
        "max_completion_tokens": 8,
        "metadata": {"task": "title_generation"},
    }
    title |= {"messages": [{"role": "user", "content": "Give a title."}], "user": "ada", "store": False}
    assert post(client, title)["choices"][0]["message"]["role"] == "assistant"
    picture = {"model": "blots", "prompt": "a boat", "n": 1, "size": "auto", "response_format": "b64_json"}
    assert post(client, {**picture, "steps": 2}, "/v1/images/generations")["data"][0]["b64_json"]


def test_n8n_asks_for_a_response_without_a_stream(client: httpx2.Client) -> None:
    body: dict[str, Any] = {
        "model": "tales",
        "input": [{"role": "user", "type": "message", "content": "Who is there?"}],
        "top_p": 1,
    }
    body |= {"temperature": 0.7, "max_output_tokens": 8, "parallel_tool_calls": True, "store": True, "metadata": {}}
    found = post(client, {**body, "truncation": "disabled", "background": False}, "/v1/responses")
    assert (found["object"], found["output"][0]["content"][0]["type"]) == ("response", "output_text")


def test_codex_sends_tools_of_many_kinds_and_several_developers(client: httpx2.Client) -> None:
    def say(role: str, text: str) -> dict[str, Any]:
        return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}

    call = {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": '{"n": 1}'}
    body = {
        "model": "tales",
        "instructions": "Help.",
        "input": [
            *(say("developer", "Ask."), say("developer", "Be kind."), say("user", "cwd"), say("user", "Who is there?")),
            {"type": "reasoning", "summary": [], "encrypted_content": None},
            call,
            {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        ],
        "tools": [
            {"type": "function", "name": "shell", "description": "", "strict": False, "parameters": PICK},
            {"type": "local_shell"},
            {"type": "web_search"},
            {
                "type": "custom",
                "name": "apply_patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": "s"},
            },
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0f",
        "text": {"verbosity": "medium"},
        "max_output_tokens": 8,
    }
    kinds = [event["type"] for event in read_events(client, "/v1/responses", body)]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] in ("response.completed", "response.incomplete")


@pytest.mark.parametrize("parameters", [{}, {"type": "object"}, None])
def test_agents_send_tools_without_properties(client: httpx2.Client, parameters: Any) -> None:
    function = {"name": "submit", **({} if parameters is None else {"parameters": parameters})}
    body: dict[str, Any] = {
        "model": "tales",
        "messages": [{"role": "user", "content": "Go."}],
        "max_tokens": 60,
        "temperature": 0,
    }
    body |= {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}
    choice = post(client, body)["choices"][0]
    for tool_call in choice["message"]["tool_calls"] or []:
        assert (tool_call["type"], tool_call["function"]["name"]) == ("function", "submit")
        assert isinstance(json.loads(tool_call["function"]["arguments"]), dict)


def test_harnesses_score_what_they_repeat(client: httpx2.Client) -> None:
    """As lm-eval does: log-probabilities of a context's continuation, and whether each token is the likeliest."""
    context, ends = "The old king", [" was glad", "ness"]
    body = {
        "model": "tales",
        "prompt": [context + end for end in ends],
        "max_tokens": 1,
        "temperature": 0,
        "seed": 1234,
    }
    found = post(client, {**body, "logprobs": 1, "echo": True}, "/v1/completions")
    for choice, end in zip(sorted(found["choices"], key=lambda each: each["index"]), ends, strict=True):
        scores = choice["logprobs"]
        start = scores["text_offset"].index(len(context))
        tokens, best = scores["token_logprobs"][start:-1], scores["top_logprobs"][start:-1]
        assert len(tokens) == len(end)
        assert all(isinstance(each, float) for each in tokens)
        assert all(value <= max(top.values()) + 1e-6 for value, top in zip(tokens, best, strict=True))


def test_programs_that_leave_out_the_version_of_the_api_are_answered_alike(client: httpx2.Client) -> None:
    body: dict[str, Any] = {"model": "tales", "messages": [{"role": "user", "content": "Go."}], "max_tokens": 2}
    assert post(client, body, "/chat/completions")["object"] == "chat.completion"
