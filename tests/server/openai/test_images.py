"""POST /v1/images: pictures in the formats that are asked for, edits by transparent masks, and honest refusals."""

import base64
import io
import json
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from genloom.generate.output_records import replay_output
from genloom.trust.manifests import read_bytes
from genloom.trust.signing import read_anchors
from tests.server.openai.conftest import RunningServer
from tests.server.openai.test_chat import post

GENERATIONS = "/v1/images/generations"
BODY = {"model": "blots", "prompt": "a red boat", "steps": 2, "seed": 1}


def open_picture(data: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data)))


def to_png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_are_made_and_belong_to_the_ledger(api: RunningServer, client: httpx2.Client) -> None:
    found = post(client, {**BODY, "n": 2}, GENERATIONS)
    assert [open_picture(each["b64_json"]).size for each in found["data"]] == [(16, 16)] * 2
    assert found["usage"].keys() >= {"input_tokens", "input_tokens_details", "output_tokens", "total_tokens"}
    for each in found["data"]:
        replay_output(api.workspace.store, each["output_id"])
    again = post(client, {**BODY, "n": 2}, GENERATIONS)["data"][0]  # another output: only its signature differs
    pictures = [np.asarray(open_picture(each["b64_json"])) for each in (again, found["data"][0])]
    assert np.array_equal(pictures[0], pictures[1])
    for each in found["data"]:
        manifest = read_bytes(base64.b64decode(each["b64_json"]), ".png", read_anchors(api.workspace.folder))
        assert manifest is not None
        assert (manifest.state, manifest.facts["output"]) == ("unchanged", each["output_id"])


def test_models_are_listed_with_their_medium_and_pictures_need_no_name(client: httpx2.Client) -> None:
    media = {model["id"]: model.get("medium") for model in client.get("/v1/models").json()["data"]}
    assert (media["blots"], media["tales"], media["icons"], media["tunes"]) == ("image", "text", "image", "music")
    assert client.post(GENERATIONS, json={"prompt": "a blot"}).status_code == 200


def test_formats_urls_and_the_size_of_the_model_are_honoured(api: RunningServer, client: httpx2.Client) -> None:
    for name in ("jpeg", "webp", "png"):
        (found,) = post(client, {**BODY, "output_format": name, "size": "16x16"}, GENERATIONS)["data"]
        assert (open_picture(found["b64_json"]).format or "").lower() == name
    (found,) = post(client, {**BODY, "response_format": "url", "quality": "high"}, GENERATIONS)["data"]
    assert client.get(found["url"]).content.startswith(b"\x89PNG")
    with api.open(api.other_key) as other:
        assert other.get(found["url"]).status_code == 404
    assert httpx2.get(found["url"]).status_code == 401


def test_pictures_are_streamed_while_they_form(client: httpx2.Client) -> None:
    body = {**BODY, "steps": 12, "stream": True, "partial_images": 2}
    events = [
        json.loads(frame.split("\ndata: ")[1])
        for frame in client.post(GENERATIONS, json=body).text.split("\n\n")
        if frame
    ]
    kinds = [event["type"] for event in events]
    assert kinds[-1] == "image_generation.completed"
    assert set(kinds[:-1]) == {"image_generation.partial_image"}
    for event in events:
        assert open_picture(event["b64_json"]).size == (16, 16)
        assert event.keys() >= {"created_at", "background", "output_format", "quality", "size"}
    assert events[-1]["usage"]["total_tokens"] == 3


def test_a_transparent_mask_says_what_changes(client: httpx2.Client) -> None:
    source = np.full((16, 16, 3), 120, np.uint8)
    mask = np.zeros((16, 16, 4), np.uint8)
    mask[:8, :, 3] = 255  # the upper half stays
    files = {"image": ("a.png", to_png(source)), "mask": ("m.png", to_png(mask))}
    response = client.post("/v1/images/edits", data={**BODY, "steps": "3", "seed": "2"}, files=files)
    assert response.status_code == 200, response.text
    edited = np.asarray(open_picture(response.json()["data"][0]["b64_json"]).convert("RGB"))
    assert (edited[:7] == 120).all()
    assert (edited[9:] != 120).any()
    white = np.zeros((16, 16, 3), np.uint8)
    white[8:] = 255
    files = {"image[]": ("a.png", to_png(source)), "mask": ("m.png", to_png(white))}
    again = client.post("/v1/images/edits", data={**BODY, "steps": "3", "seed": "2"}, files=files)
    assert np.array_equal(np.asarray(open_picture(again.json()["data"][0]["b64_json"]).convert("RGB")), edited)


def test_a_picture_is_varied(client: httpx2.Client) -> None:
    source = to_png(np.full((16, 16, 3), 120, np.uint8))
    data = {"model": "blots", "n": "2", "strength": "0.2", "steps": "4"}
    response = client.post("/v1/images/variations", data=data, files={"image": ("a.png", source)})
    assert response.status_code == 200, response.text
    assert len(response.json()["data"]) == 2


@pytest.mark.parametrize(
    ("status", "param", "changes"),
    [
        (404, "model", {"model": "gpt-image-1"}),
        (400, "model", {"model": "tales", "steps": None}),
        (400, "prompt", {"prompt": " "}),
        (400, "size", {"size": "1024x1024"}),
        (400, "size", {"size": "big"}),
        (400, "n", {"n": 1000}),
        (400, "background", {"background": "transparent"}),
        (400, "output_format", {"output_format": "gif"}),
        (400, "output_compression", {"output_compression": 50}),
        (400, "steps", {"steps": 10**9}),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    client: httpx2.Client, status: int, param: str, changes: dict[str, Any]
) -> None:
    response = client.post(GENERATIONS, json={**BODY, **changes})
    assert (response.status_code, response.json()["error"]["param"]) == (status, param), response.text


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_a_file_that_is_no_picture_is_refused(client: httpx2.Client, content: bytes) -> None:
    response = client.post("/v1/images/edits", data=BODY, files={"image": ("a.png", content)})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "image"), response.text
    assert "/tmp" not in response.text
    assert client.post("/v1/images/edits", data=BODY, files={"other": ("a", b"x")}).status_code == 400
