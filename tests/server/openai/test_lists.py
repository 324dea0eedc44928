"""Models, files and outputs: lists that end, ids with slashes, owners apart, and unknown addresses."""

from typing import Any

import httpx2
import pytest

from tests.server.openai.conftest import RunningServer
from tests.server.openai.test_chat import SHORT, post


def test_models_are_listed_and_found_by_their_ids(client: httpx2.Client) -> None:
    found = client.get("/v1/models").json()
    ids = [each["id"] for each in found["data"]]
    assert {"tales", "tales/1", "blots", "masks/1", "icons", "minilm"} <= set(ids)
    assert (found["object"], found["has_more"], found["first_id"], found["last_id"]) == ("list", False, ids[0], ids[-1])
    for each in found["data"]:
        assert each.keys() >= {"id", "object", "created", "owned_by"}
        assert (each["object"], isinstance(each["created"], int)) == ("model", True)
        assert client.get(f"/v1/models/{each['id']}").json() == each
    assert client.get("/v1/models/tales%2F1").json()["id"] == "tales/1"
    for name in ("gpt-4o", "..%2F..%2Fetc%2Fpasswd", "tales/99", "a%00b", "x" * 400):
        response = client.get(f"/v1/models/{name}")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


def test_files_are_kept_apart_by_owner(api: RunningServer, client: httpx2.Client) -> None:
    upload: Any = {"files": {"file": ("../../talks.jsonl", b'{"a": 1}\n')}, "data": {"purpose": "fine-tune"}}
    file: dict[str, Any] = client.post("/v1/files", **upload).json()
    assert (file["filename"], file["bytes"], file["status"]) == ("talks.jsonl", 9, "processed")
    assert client.get(f"/v1/files/{file['id']}").json() == file
    assert client.get(f"/v1/files/{file['id']}/content").content == b'{"a": 1}\n'
    page = client.get("/v1/files", params={"purpose": "fine-tune"}).json()
    assert (page["has_more"], file["id"] in [each["id"] for each in page["data"]]) == (False, True)
    with api.open(api.other_key) as other:
        assert other.get(f"/v1/files/{file['id']}").status_code == 404
        assert other.delete(f"/v1/files/{file['id']}").status_code == 404
        assert other.get("/v1/files").json()["data"] == []
    assert client.delete(f"/v1/files/{file['id']}").json()["deleted"] is True
    for id in (file["id"], "file-..%2f..%2fx", "file-", "../talks", "file-é"):
        assert client.get(f"/v1/files/{id}").status_code == 404
    assert client.post("/v1/files", files={"file": ("a", b"x")}).json()["error"]["param"] == "purpose"


def test_any_client_can_rate_an_output(api: RunningServer, client: httpx2.Client) -> None:
    id = post(client, SHORT)["id"]
    assert client.get(f"/v1/outputs/{id}").json()["model"] == "tales/1"
    found = post(client, {"rating": "up", "note": "short"}, f"/v1/outputs/{id}/rating")
    (event,) = [event for event in api.workspace.ledger.iter_events() if event.id == found["id"]]
    assert (event.kind, event.body["output"], event.body["value"]) == ("rating", id, 1)
    assert post(client, {"stars": 4}, f"/v1/outputs/{id}/rating")["output"] == id
    assert client.post(f"/v1/outputs/{id}/rating", json={}).status_code == 400
    assert client.post(f"/v1/outputs/{id}/rating", json={"stars": 9}).json()["error"]["param"] == "stars"
    with api.open(api.other_key) as other:
        assert other.post(f"/v1/outputs/{id}/rating", json={"rating": "up"}).status_code == 404
        own = post(other, SHORT)["id"]
        assert api.workspace.output(own).record["owner"] == "ada"
        assert post(other, {"rating": "down"}, f"/v1/outputs/{own}/rating")["rater"] == "ada"
    assert client.get(f"/v1/outputs/{own}").status_code == 200  # the person at the machine sees all


@pytest.mark.parametrize(
    ("status", "method", "path"),
    [
        (404, "GET", "/v1/nothing"),
        (404, "POST", "/v1/chat/completion"),
        (405, "GET", "/v1/chat/completions"),
        (404, "GET", "/v1/outputs/2026-01-01-000000"),
        (404, "GET", "/v1/outputs/..%2F..%2Fx"),
        (404, "GET", "/v1/outputs/last"),
        (404, "POST", "/v1/audio/speech"),
        (404, "POST", "/v1/moderations"),
    ],
)
def test_unknown_things_are_error_objects(client: httpx2.Client, status: int, method: str, path: str) -> None:
    response = client.request(method, path, json={} if method == "POST" else None)
    assert response.status_code == status
    error = response.json()["error"]
    assert error.keys() >= {"message", "type", "param", "code"}
    if "audio" in path or "moderations" in path:
        assert error["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "a fox"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a fox"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a fox"}], "stream": True}),
        ("/v1/responses", {"input": "a fox"}),
    ],
)
def test_a_model_of_pictures_is_refused_where_text_is_written_with_the_address_for_it(
    client: httpx2.Client, path: str, body: dict[str, Any]
) -> None:
    response = client.post(path, json={"model": "blots", **body})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["code"]) == ("model", "server.no_text_model")
    assert "/v1/images/generations" in error["message"]
    music = client.post(path, json={"model": "tunes", **body}).json()["error"]
    assert (music["code"], "/api/jobs" in music["message"]) == ("server.no_text_model", True)


@pytest.mark.parametrize("is_form", [False, True])
def test_speech_by_an_unknown_model_names_that_model(client: httpx2.Client, is_form: bool) -> None:
    if is_form:
        files = {"file": ("a.wav", b"RIFF"), "model": (None, "whisper-1")}
        response = client.post("/v1/audio/transcriptions", files=files)
    else:
        response = client.post("/v1/audio/speech", json={"model": "whisper-1", "input": "Hello"})
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert "whisper-1" in error["message"]
    other = client.post("/v1/audio/speech", json={"model": "tales", "input": "Hello"}).json()["error"]
    assert other["code"] == "model_not_found"
    assert "/v1/chat/completions" in other["message"]  # what the model that is there is for
