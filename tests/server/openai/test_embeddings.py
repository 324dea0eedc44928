"""POST /v1/embeddings: numbers as clients ask for them, and no silent cut."""

import base64
import struct

import httpx2
import pytest

from tests.server.openai.test_chat import post

PATH = "/v1/embeddings"


@pytest.mark.parametrize(("model", "width"), [("tales", 64), ("minilm", 384)])
def test_numbers_come_as_they_are_asked_for(client: httpx2.Client, model: str, width: int) -> None:
    found = post(client, {"model": model, "input": ["the sea", "her letters"]}, PATH)
    assert (found["object"], [each["index"] for each in found["data"]]) == ("list", [0, 1])
    vector = found["data"][0]["embedding"]
    assert len(vector) == width
    assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-4)
    packed = post(client, {"model": model, "input": "the sea", "encoding_format": "base64"}, PATH)
    data = base64.b64decode(packed["data"][0]["embedding"])
    assert struct.unpack(f"<{width}f", data) == pytest.approx(vector, abs=1e-6)
    short = post(client, {"model": model, "input": "the sea", "dimensions": 8}, PATH)["data"][0]["embedding"]
    assert sum(x * x for x in short) == pytest.approx(1, abs=1e-6)
    assert short[1] / short[0] == pytest.approx(vector[1] / vector[0], rel=1e-4)
    assert found["usage"]["prompt_tokens"] == found["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("status", "param", "changes"),
    [
        (400, "input", {"input": [1, 2, 3]}),
        (400, "input", {"input": [[1, 2], [3]]}),
        (400, "input", {"input": ""}),
        (400, "input", {"input": []}),
        (400, "input", {"input": "x " * 600}),
        (400, "dimensions", {"dimensions": 1000}),
        (404, "model", {"model": "text-embedding-3-small"}),
        (400, "model", {"model": "blots"}),
    ],
)
def test_what_cannot_be_embedded_is_refused(
    client: httpx2.Client, status: int, param: str, changes: dict[str, object]
) -> None:
    for model in ("tales", "minilm"):
        response = client.post(PATH, json={"model": model, "input": "x", **changes})
        assert (response.status_code, response.json()["error"]["param"]) == (status, param), response.text
    if changes.get("input") == [1, 2, 3]:
        assert "check_embedding_ctx_length=False" in response.json()["error"]["message"]
