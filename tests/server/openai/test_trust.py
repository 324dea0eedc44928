"""Both layers over HTTP: what the API hands out is signed and marked, and a verification over HTTP finds it so."""

import time
from typing import Any

import httpx2
import pytest

from genloom.server.engine import Stored
from genloom.server.openai import chat, completions
from genloom.server.openai.formats import AnswerFormat
from genloom.server.openai.generating import Choice
from genloom.server.openai.response_writer import find_cut_reason
from tests.server.openai.conftest import RunningServer
from tests.server.openai.test_chat import post

BODY = {"model": "tales", "prompt": "The old king", "max_tokens": 450, "temperature": 1.2, "seed": 5}
WITHHELD = Stored(0, "", "withheld", "", 3)


def verify(client: httpx2.Client, files: dict[str, bytes]) -> dict[str, Any]:
    """Return what a verification of the first file finds; the others are manifests beside it."""
    upload = client.post("/api/uploads", files=[("files", item) for item in files.items()]).json()["id"]
    job = client.post("/api/jobs", json={"kind": "verify", "params": {"upload": upload}}).json()
    while job["state"] in ("queued", "running"):
        time.sleep(0.05)
        job = client.get(f"/api/jobs/{job['id']}").json()
    assert job["state"] == "succeeded", job["error"]
    (found,) = job["result"]["files"]
    return found


@pytest.mark.parametrize("is_marked", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_text_of_the_api_verifies(api: RunningServer, client: httpx2.Client, is_marked: bool) -> None:
    id = post(client, {**BODY, "is_marked": is_marked}, "/v1/completions")["choices"][0]["output_id"]
    answer = client.get(f"/v1/outputs/{id}/content")
    address = answer.headers["link"].partition(">")[0][1:]
    found = verify(client, {"text.txt": answer.content, "text.txt.c2pa": client.get(address).content})
    assert (found["signature"], found["fine"], found["output"]) == ("unchanged", True, id)
    assert found["manifest"]["authority"] == "workspace"
    assert found["mark"], found["mark_problem"]
    assert found["mark"]["found"] is is_marked


@pytest.mark.slow
def test_a_picture_of_the_api_verifies(api: RunningServer, client: httpx2.Client) -> None:
    import base64

    body = {"model": "blots", "prompt": "a red boat", "steps": 2, "seed": 1}
    (picture,) = post(client, body, "/v1/images/generations")["data"]
    found = verify(client, {"boat.png": base64.b64decode(picture["b64_json"])})
    assert (found["signature"], found["fine"], found["output"]) == ("unchanged", True, picture["output_id"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "The"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Who?"}]}),
        ("/v1/responses", {"input": "Who?"}),
        ("/v1/images/generations", {"prompt": "a boat", "model": "blots"}),
    ],
)
def test_copies_are_refused_only_where_the_training_data_are_here(
    client: httpx2.Client, path: str, body: dict[str, Any]
) -> None:
    """The base of `tales`, and the data of `blots`, are not in the workspace."""
    answer = client.post(path, json={"model": "tales", "refuse_copies": True, **body})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "api.copies_without_data")


def test_a_withheld_answer_is_empty_and_says_why() -> None:
    choice = Choice("", [], WITHHELD)
    found = chat.build_choice(0, choice, AnswerFormat(), has_logprobs=False)
    assert (found["finish_reason"], found["message"]["content"], found["output_id"]) == ("content_filter", "", None)
    assert completions.get_reason(WITHHELD) == "content_filter"
    assert find_cut_reason(WITHHELD) == "content_filter"
    assert find_cut_reason(Stored(0, "x", "length", "a", 1)) == "max_output_tokens"
    assert find_cut_reason(None) == ""
