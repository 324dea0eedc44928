"""POST /v1/chat/completions: shapes, streams, functions and formats, as strict clients need them."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from genloom.generate.output_records import replay_output
from genloom.networks.native import build as native
from tests.server.openai.conftest import RunningServer

QUESTION = [{"role": "user", "content": "Who is there?"}]
SHORT = {"model": "tales", "messages": QUESTION, "max_tokens": 8}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"$ref": "#/$defs/place"}, "days": {"enum": [1, 3]}},
            "required": ["place", "days"],
            "additionalProperties": False,
            "$defs": {"place": {"enum": ["Rome", "Oslo"]}},
        },
    },
}


def read_stream(response: httpx2.Response) -> list[dict[str, Any]]:
    """Return the chunks of a stream, which must end with [DONE]."""
    frames = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line.startswith("data: ")]
    assert frames[-1] == "[DONE]"
    return [json.loads(frame) for frame in frames[:-1]]


def post(client: httpx2.Client, body: dict[str, Any], path: str = "/v1/chat/completions") -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_an_answer_has_every_field_and_its_id_is_that_of_the_ledger(api: RunningServer, client: httpx2.Client) -> None:
    response = client.post("/v1/chat/completions", json={**SHORT, "seed": 3})
    found = response.json()
    assert (found["object"], found["model"]) == ("chat.completion", "tales/1")
    assert isinstance(found["created"], int)
    (choice,) = found["choices"]
    assert choice["finish_reason"] in ("stop", "length")
    assert choice["logprobs"] is None
    assert choice["message"]["refusal"] is None
    assert response.headers["x-genloom-output-id"] == found["id"]
    output = api.workspace.output(found["id"])
    assert output.continuation == choice["message"]["content"]
    replay_output(api.workspace.store, output.id)
    usage = found["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 < usage["completion_tokens"] <= 8
    assert usage["prompt_tokens"] > len("Who is there?")
    again = client.post("/v1/chat/completions", json={**SHORT, "seed": 3}).json()
    assert again["choices"][0]["message"] == choice["message"]
    assert again["system_fingerprint"] == found["system_fingerprint"]


def test_a_stream_has_the_role_once_and_says_how_it_ends(client: httpx2.Client) -> None:
    body = {**SHORT, "stream": True, "n": 2, "seed": 1, "stream_options": {"include_usage": True}}
    response = client.post("/v1/chat/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    chunks = read_stream(response)
    assert len({(chunk["id"], chunk["created"], chunk["object"], chunk["model"]) for chunk in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    *pieces, last = chunks
    assert (last["choices"], last["usage"]["completion_tokens"] > 0) == ([], True)
    assert all(chunk["usage"] is None for chunk in pieces)
    for index in range(2):
        choices = [c for chunk in pieces for c in chunk["choices"] if c["index"] == index]
        assert [("role" in c["delta"]) for c in choices] == [True] + [False] * (len(choices) - 1)
        assert [c["finish_reason"] for c in choices[:-1]] == [None] * (len(choices) - 1)
        assert choices[-1]["finish_reason"] in ("stop", "length")
    whole = post(client, {**SHORT, "n": 2, "seed": 1})
    for index in range(2):
        streamed = "".join(
            c["delta"].get("content", "") for chunk in pieces for c in chunk["choices"] if c["index"] == index
        )
        assert streamed == whole["choices"][index]["message"]["content"]
    chunks = read_stream(client.post("/v1/chat/completions", json={**SHORT, "stream": True}))
    assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize("is_stream", [False, True])
def test_log_probabilities_come_with_the_text(client: httpx2.Client, is_stream: bool) -> None:
    body = {**SHORT, "logprobs": True, "top_logprobs": 2, "temperature": 0, "repetition_penalty": 1}
    if is_stream:
        chunks = read_stream(client.post("/v1/chat/completions", json={**body, "stream": True}))
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        text = "".join(choice["delta"].get("content", "") for choice in choices)
        content = [each for choice in choices if choice["logprobs"] for each in choice["logprobs"]["content"]]
    else:
        (choice,) = post(client, body)["choices"]
        text, content = choice["message"]["content"], choice["logprobs"]["content"]
    assert bytes(byte for each in content for byte in each["bytes"]).decode(errors="ignore") == text
    for each in content:
        assert len(each["top_logprobs"]) == 2
        assert each["logprob"] == max(top["logprob"] for top in each["top_logprobs"])
    assert post(client, {**SHORT, "logprobs": True})["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_function_is_called_with_valid_arguments(client: httpx2.Client, choice: Any) -> None:
    body = {**SHORT, "tools": [WEATHER, {"type": "web_search"}], "tool_choice": choice, "max_tokens": 200}
    found = post(client, body)["choices"][0]
    assert found["message"]["content"] is None
    assert found["finish_reason"] == ("tool_calls" if choice == "required" else "stop")
    for call in found["message"]["tool_calls"]:
        assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
        arguments = json.loads(call["function"]["arguments"])
        assert arguments["place"] in ("Rome", "Oslo")
        assert arguments["days"] in (1, 3)


def test_pieces_of_calls_have_an_index_and_their_names_once(client: httpx2.Client) -> None:
    body = {**SHORT, "tools": [WEATHER], "tool_choice": "required", "max_tokens": 400, "stream": True, "seed": 2}
    body["parallel_tool_calls"] = True
    chunks = read_stream(client.post("/v1/chat/completions", json=body))
    pieces = [c for chunk in chunks for choice in chunk["choices"] for c in choice["delta"].get("tool_calls", [])]
    indices = [piece["index"] for piece in pieces]
    assert sorted(set(indices)) == list(range(len(set(indices))))
    for index in set(indices):
        first, *rest = [piece for piece in pieces if piece["index"] == index]
        assert {"id", "type"} <= first.keys()
        assert first["function"]["name"] == "get_weather"
        assert all(
            piece.keys() == {"index", "function"} and piece["function"].keys() == {"arguments"} for piece in rest
        )
        json.loads("".join(piece["function"]["arguments"] for piece in (first, *rest)))
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_functions_that_need_not_be_called_leave_words_alone(client: httpx2.Client) -> None:
    found = post(client, {**SHORT, "tools": [WEATHER], "seed": 1})["choices"][0]
    assert found["finish_reason"] != "tool_calls" or found["message"]["tool_calls"]
    assert ("tool_calls" in found["message"]) == (found["finish_reason"] == "tool_calls")
    assert post(client, {**SHORT, "tools": [WEATHER], "tool_choice": "none"})["choices"][0]["message"]["content"]


def test_a_conversation_with_results_of_functions_is_read(client: httpx2.Client) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"place": "Rome"}'}}
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "sun"}]},
    ]
    assert post(client, {**SHORT, "messages": messages})["usage"]["prompt_tokens"] > 60


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "json_object"},
        {
            "type": "json_schema",
            "json_schema": {
                "name": "x",
                "strict": False,
                "schema": {"$ref": "#/$defs/a", "$defs": {"a": {"enum": [1]}}},
            },
        },
    ],
)
def test_formats_are_kept_to(client: httpx2.Client, response_format: Any) -> None:
    body = {**SHORT, "response_format": response_format, "max_tokens": 300, "seed": 4, "temperature": 0.2}
    (choice,) = post(client, body)["choices"]
    if choice["finish_reason"] == "stop":
        json.loads(choice["message"]["content"])
    else:
        assert choice["message"]["content"].startswith("{")
    assert post(client, {**SHORT, "response_format": {"type": "text"}})["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("status", "param", "code", "changes"),
    [
        (404, "model", "model_not_found", {"model": "gpt-4o"}),
        (404, "model", "model_not_found", {"model": "../../etc/passwd"}),
        (400, "messages", "context_length_exceeded", {"messages": [{"role": "user", "content": "x" * 700}]}),
        (400, "messages", None, {"messages": []}),
        (400, "messages.0.role", None, {"messages": [{"role": "king", "content": "x"}]}),
        (400, "messages.0.content.0", "unsupported_parameter", {
            "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://169.254.169.254/"}]}]}),
        (400, "messages.0.content.0", "unsupported_parameter", {
            "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]}),
        (400, "response_format.json_schema.schema.properties.a.not", "invalid_json_schema", {
            "response_format": {"type": "json_schema", "json_schema": {
                "name": "x", "schema": {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}}}}),
        (400, "tools.0.function.parameters.properties.a.not", "invalid_json_schema", {
            "tools": [{"type": "function", "function": {
                "name": "f", "parameters": {"type": "object", "properties": {"a": {"not": {}}}}}}]}),
        (400, "tool_choice", None, {"tool_choice": "required"}),
        (400, "temperature", None, {"temperature": -1}),
        (400, "temperature", None, {"temperature": 1e300}),
        (400, "max_tokens", None, {"max_tokens": 0}),
        (400, "max_tokens", None, {"max_tokens": 2**64}),
        (400, "n", None, {"n": 10**6}),
        (400, "stop", None, {"stop": ["x"] * 100}),
        (400, "seed", None, {"seed": 2**64}),
        (400, "logit_bias", None, {"logit_bias": {"70000": 1}}),
        (400, "top_logprobs", None, {"top_logprobs": 3}),
        (400, "stream_options", None, {"stream_options": {"include_usage": True}}),
        (400, "modalities", "unsupported_parameter", {"modalities": ["text", "audio"]}),
        (400, "model", None, {"model": "blots"}),
    ],
)  # fmt: skip
def test_what_cannot_be_met_is_an_error_object_with_the_field(
    client: httpx2.Client, status: int, param: str, code: str | None, changes: dict[str, Any]
) -> None:
    for is_stream in (False, True):
        body = {**SHORT, **changes, **({"stream": True} if is_stream and "stream_options" not in changes else {})}
        response = client.post("/v1/chat/completions", json=body)
        error = response.json()["error"]
        assert error.keys() >= {"message", "type", "param", "code"}
        assert response.status_code == status, error
        assert (error["param"] or "").startswith(param), error
        assert code in (None, error["code"]), error
    if code == "context_length_exceeded":
        assert error["n_prompt_tokens"] > error["n_ctx"] == 512
    if code == "model_not_found":
        assert "tales/1" in error["message"]


def test_other_instances_of_fields_are_ignored(client: httpx2.Client) -> None:
    body = {**SHORT, "user": "x", "store": True, "metadata": {"a": "b"}, "reasoning_effort": "none", "verbosity": "low"}
    assert post(client, {**body, "prediction": None, "prompt_cache_key": "k"})["choices"]
    assert post(client, SHORT, "/chat/completions")["choices"]


def test_company_changes_no_answer_and_known_beginnings_are_not_read_again(client: httpx2.Client) -> None:
    if reason := native.get_unavailable_reason():
        pytest.skip(reason)
    system = {"role": "system", "content": "Speak of kings, of crows and of the sea, as old tales do."}
    bodies = [
        {**SHORT, "messages": [system, {"role": "user", "content": f"Question {n}?"}], "seed": n, "precision": "int8"}
        for n in range(6)
    ]
    alone = [post(client, body) for body in bodies]
    assert all(each["usage"]["prompt_tokens_details"]["cached_tokens"] > 50 for each in alone[1:])
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda body: post(client, body), bodies))
    assert [each["choices"][0]["message"] for each in together] == [each["choices"][0]["message"] for each in alone]
    assert len({each["choices"][0]["message"]["content"] for each in alone}) > 1
