"""POST /v1/responses: the order of events, functions, formats, and answers to earlier answers."""

import json
from typing import Any

import httpx2
import pytest

from tests.server.openai.conftest import RunningServer
from tests.server.openai.test_chat import post

PATH = "/v1/responses"
BODY = {"model": "tales", "input": "Who is there?", "max_output_tokens": 8, "seed": 1}
TOOL = {
    "type": "function",
    "name": "ring",
    "parameters": {"type": "object", "properties": {"times": {"enum": [1, 2]}}, "required": ["times"]},
}


def read_events(client: httpx2.Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a stream; each is named twice, and numbered without gaps."""
    response = client.post(PATH, json={**body, "stream": True})
    assert response.status_code == 200, response.text
    events = []
    for frame in filter(None, response.text.split("\n\n")):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def test_an_answer_has_every_field(api: RunningServer, client: httpx2.Client) -> None:
    found = post(client, BODY, PATH)
    (message,) = found["output"]
    text = message["content"][0]["text"]
    assert (found["object"], found["status"], message["type"]) == ("response", "incomplete", "message")
    assert found["incomplete_details"] == {"reason": "max_output_tokens"}
    assert found["usage"]["output_tokens"] == 8
    assert api.workspace.output(found["id"].removeprefix("resp_")).continuation == text
    required = {"created_at", "error", "instructions", "metadata", "parallel_tool_calls", "temperature", "tool_choice"}
    assert found.keys() >= required | {"tools", "top_p", "previous_response_id", "text"}


def test_events_come_in_the_order_that_clients_rely_on(client: httpx2.Client) -> None:
    events = read_events(client, BODY)
    kinds = [event["type"].removeprefix("response.") for event in events]
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert [kind for kind in kinds if kind != "output_text.delta"] == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "output_text.done", "content_part.done", "output_item.done", "incomplete",
    ]  # fmt: skip
    done = next(event for event in events if event["type"] == "response.output_text.done")
    whole = post(client, BODY, PATH)["output"][0]["content"][0]["text"]
    assert "".join(deltas) == done["text"] == events[-1]["response"]["output"][0]["content"][0]["text"] == whole
    assert (events[0]["response"]["status"], events[0]["response"]["usage"]) == ("in_progress", None)


def test_functions_are_called_and_tools_of_others_are_left_out(client: httpx2.Client) -> None:
    body = {**BODY, "tools": [TOOL, {"type": "web_search"}], "tool_choice": "required", "max_output_tokens": 200}
    found = post(client, body, PATH)
    assert found["status"] == "completed"
    for call in found["output"]:
        assert (call["type"], call["name"]) == ("function_call", "ring")
        assert json.loads(call["arguments"])["times"] in (1, 2)
    events = read_events(client, body)
    kinds = [event["type"] for event in events]
    assert kinds[2:6] == [
        "response.output_item.added", "response.function_call_arguments.delta",
        "response.function_call_arguments.done", "response.output_item.done",
    ]  # fmt: skip
    assert kinds[-1] == "response.completed"
    conversation = [
        {"role": "user", "content": [{"type": "input_text", "text": "Ring."}]},
        {"type": "reasoning", "summary": []},
        {k: found["output"][0][k] for k in ("type", "call_id", "name", "arguments")},
        {"type": "function_call_output", "call_id": found["output"][0]["call_id"], "output": "done"},
    ]
    assert post(client, {**BODY, "input": conversation}, PATH)["usage"]["input_tokens"] > 40


def test_formats_are_kept_to(client: httpx2.Client) -> None:
    text = {"format": {"type": "json_schema", "name": "n", "schema": {"enum": ["yes", "no"]}}}
    found = post(client, {**BODY, "text": text, "max_output_tokens": 20}, PATH)
    assert found["output"][0]["content"][0]["text"] in ('"yes"', '"no"')
    bad = {"format": {"type": "json_schema", "name": "n", "schema": {"not": {}}}}
    error = client.post(PATH, json={**BODY, "text": bad}).json()["error"]
    assert error["param"] == "text.format.schema.not"


def test_an_earlier_answer_is_continued_by_its_id(api: RunningServer, client: httpx2.Client) -> None:
    first = post(client, {**BODY, "instructions": "Be brief."}, PATH)
    second = post(client, {**BODY, "input": "And then?", "previous_response_id": first["id"]}, PATH)
    record = api.workspace.output(second["id"].removeprefix("resp_")).record
    first_text = first["output"][0]["content"][0]["text"]
    assert [(m["role"], m["content"]) for m in record["conversation"]] == [
        ("user", "Who is there?"), ("assistant", first_text), ("user", "And then?")
    ]  # fmt: skip
    with api.open(api.other_key) as other:
        response = other.post(PATH, json={**BODY, "previous_response_id": first["id"]})
        assert response.status_code == 404


@pytest.mark.parametrize(
    ("status", "param", "changes"),
    [
        (404, "model", {"model": "gpt-9"}),
        (400, "input", {"input": [{"type": "web_search_call"}]}),
        (400, "input", {"input": "x" * 700}),
        (400, "background", {"background": True}),
        (400, "tool_choice", {"tool_choice": "required"}),
        (404, None, {"previous_response_id": "resp_2026-01-01-000000"}),
    ],
)
def test_what_cannot_be_met_is_refused(client: httpx2.Client, status: int, param: str, changes: dict[str, Any]) -> None:
    response = client.post(PATH, json={**BODY, **changes})
    assert (response.status_code, response.json()["error"]["param"]) == (status, param), response.text
