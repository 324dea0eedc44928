"""POST /v1/completions: prompts are continued, scored and repeated, as base models and harnesses need it."""

import math
from typing import Any

import httpx2
import pytest

from tests.server.openai.conftest import RunningServer
from tests.server.openai.test_chat import post, read_stream

PATH = "/v1/completions"
BODY = {"model": "tales", "prompt": "The old king", "max_tokens": 6, "seed": 2}


def test_a_prompt_is_continued_and_not_answered(api: RunningServer, client: httpx2.Client) -> None:
    found = post(client, BODY, PATH)
    (choice,) = found["choices"]
    assert (found["object"], choice["index"], choice["logprobs"]) == ("text_completion", 0, None)
    assert api.workspace.output(found["id"]).value == "The old king" + choice["text"]
    assert found["usage"]["prompt_tokens"] == len("The old king") + 1
    cut = post(client, {**BODY, "stop": choice["text"][2]}, PATH)["choices"][0]
    assert (cut["text"], cut["finish_reason"]) == (choice["text"][: choice["text"].index(choice["text"][2])], "stop")


def test_several_prompts_get_several_texts_in_order(client: httpx2.Client) -> None:
    found = post(client, {**BODY, "prompt": ["The old", "A young"], "n": 2, "echo": True}, PATH)
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2, 3]
    assert [choice["text"][:7] for choice in found["choices"]] == ["The old", "The old", "A young", "A young"]
    assert len({choice["output_id"] for choice in found["choices"]}) == 4
    chunks = read_stream(
        client.post(PATH, json={**BODY, "prompt": ["The old", "A young"], "echo": True, "stream": True})
    )
    texts = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
    assert [text[:7] for text in texts.values()] == ["The old", "A young"]
    assert [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]] == ["length"] * 2


@pytest.mark.parametrize("max_tokens", [0, 3])
def test_a_prompt_can_be_scored(client: httpx2.Client, max_tokens: int) -> None:
    """What lm-eval measures likelihoods with; the chances of all bytes must add up to 1."""
    body = {**BODY, "max_tokens": max_tokens, "echo": True, "logprobs": 2, "temperature": 0}
    (choice,) = post(client, body, PATH)["choices"]
    found, length = choice["logprobs"], len("The old king")
    assert choice["text"].startswith("The old king")
    assert "".join(found["tokens"]) == choice["text"]
    assert found["text_offset"] == list(range(len(choice["text"])))
    assert len(found["token_logprobs"]) == length + max_tokens
    assert all(-30 < each <= 0 for each in found["token_logprobs"])
    assert all(len(top) == 2 and max(top.values()) >= each for top, each in zip(
        found["top_logprobs"], found["token_logprobs"], strict=True))  # fmt: skip
    both = [
        post(client, {**body, "max_tokens": 0, "prompt": text}, PATH)["choices"][0]["logprobs"] for text in ("Th", "T")
    ]
    assert math.isclose(both[0]["token_logprobs"][0], both[1]["token_logprobs"][0], abs_tol=1e-4)


def test_formats_and_biases_hold_here_too(client: httpx2.Client) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": ["yes", "no"]}}}
    found = post(client, {**BODY, "response_format": schema, "max_tokens": 20}, PATH)["choices"][0]
    assert found["text"] in ('"yes"', '"no"')
    biased = post(client, {**BODY, "logit_bias": {"113": 100}}, PATH)["choices"][0]
    assert biased["text"] == "q" * 6


@pytest.mark.parametrize(
    ("param", "changes"),
    [
        ("prompt", {"prompt": [84, 104]}),
        ("prompt", {"prompt": [[84, 104], [84]]}),
        ("prompt", {"prompt": "x" * 700}),
        ("suffix", {"suffix": "end"}),
        ("best_of", {"best_of": 3}),
        ("max_tokens", {"max_tokens": 0}),
        ("logprobs", {"logprobs": 1, "model": "masks"}),
        ("n", {"prompt": ["a"] * 2000, "n": 100}),
    ],
)
def test_what_cannot_be_honoured_is_refused(client: httpx2.Client, param: str, changes: dict[str, Any]) -> None:
    response = client.post(PATH, json={**BODY, **changes})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param), response.text


def test_tokens_are_taken_from_who_says_that_they_are_the_models(client: httpx2.Client) -> None:
    body = {**BODY, "temperature": 0}
    tokens = [256, *b"The old king"]
    by_tokens = post(client, {**body, "prompt": tokens, "tokenizer": "tales"}, PATH)["choices"][0]
    assert by_tokens["text"] == post(client, body, PATH)["choices"][0]["text"]


def test_a_model_that_does_not_write_from_left_to_right_completes_too(client: httpx2.Client) -> None:
    assert isinstance(post(client, {**BODY, "model": "masks", "max_tokens": 10}, PATH)["choices"][0]["text"], str)
