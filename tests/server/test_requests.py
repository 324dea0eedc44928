"""Bodies, headers and numbers that no client should send, and what each is told."""

import json
import logging
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from genloom.errors import GenloomError, load_messages
from genloom.server.config import Config
from genloom.server.errors import (
    STATUS_BY_CODE,
    APIError,
    build_error_body,
    build_validation_error,
    get_status,
    hide_paths,
)
from genloom.server.guard import MAX_HEADER_BYTES, MAX_TARGET_BYTES
from genloom.server.openai.completions import CompletionRequest
from tests.server.reach import Reach

JSON = {"content-type": "application/json"}
CURES = re.compile(r"from a backup|with a backup|log of the server")


@pytest.fixture
def reach(keep_reach: Callable[..., Reach], mode: str) -> Reach:
    """The application reached from this machine, and once more from the local network."""
    return keep_reach(mode)


def code(response: httpx2.Response) -> str:
    error = response.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    return error["code"]


BROKEN_BODIES = {
    "depth": b'{"name":' + b"[" * 100_000,
    "closed depth": b'{"name":' + b"[" * 500 + b"]" * 500 + b"}",
    "NaN": b'{"name": "a", "share": NaN}',
    "infinity": b'{"name": "a", "share": -Infinity}',
    "cut off": b'{"name": "a"',
    "two values": b'{"name": "a"}{}',
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "lone surrogate": b'{"name": "\\ud800"}',
    "digits": b'{"name": "a", "count": ' + b"9" * 100_000 + b"}",
    "comment": b'{"name": "a" /* x */}',
}


@pytest.mark.parametrize("kind", BROKEN_BODIES)
def test_what_is_not_json_is_refused_in_one_sentence(keep_reach: Callable[..., Reach], kind: str) -> None:
    reach = keep_reach()
    client = reach.get_client(reach.create_key())
    for path in ("/api/things", "/v1/chat/completions", "/api/login"):
        response = client.post(path, content=BROKEN_BODIES[kind], headers=JSON)
        assert (response.status_code, code(response)) == (400, "invalid_json"), response.text[:200]
        assert len(response.text) < 400
    assert reach.done == []


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("share", "1e999"),
        ("share", "-0.001"),
        ("share", '"half"'),
        ("share", "null"),
        ("share", "[]"),
        ("count", "0"),
        ("count", "-1"),
        ("count", str(2**64)),
        ("count", "-9223372036854775809"),
        ("count", "1e300"),
        ("count", "1.5"),
        ("count", '"²"'),
        ("name", "5"),
        ("name", '{"a": 1}'),
        ("name", json.dumps("x" * 101)),
    ],
)
def test_numbers_and_texts_are_bounded_and_the_field_is_named(
    keep_reach: Callable[..., Reach], field: str, text: str
) -> None:
    reach = keep_reach()
    body = {"name": '"a"', field: text}
    content = "{" + ", ".join(f'"{name}": {value}' for name, value in body.items()) + "}"
    response = reach.get_client(reach.create_key()).post("/api/things", content=content, headers=JSON)
    assert (response.status_code, code(response)) == (400, "server.bad_value")
    error = response.json()["error"]
    assert error["param"] == field
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 200


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [(["a"] * 100_000, "at most"), ([], "at least 1"), ("x" * 20_000_000, "at most"), (3, "string")],
)
def test_of_a_field_of_several_types_the_nearest_problem_is_told(prompt: Any, reason: str) -> None:
    with pytest.raises(ValidationError) as invalid:
        CompletionRequest.model_validate({"model": "tales", "prompt": prompt})
    problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in invalid.value.errors()]
    error = build_validation_error(RequestValidationError(problems))
    assert error.param == "prompt"
    assert reason in str(error)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"3", b'"x"', b"{}"])
def test_a_body_of_another_kind_is_refused(keep_reach: Callable[..., Reach], content: bytes) -> None:
    reach = keep_reach()
    response = reach.get_client(reach.create_key()).post("/api/things", content=content, headers=JSON)
    assert response.status_code == 400
    assert code(response) in ("server.bad_value", "server.body_missing")
    assert reach.get_client(reach.create_key()).post("/api/things").status_code == 400


def test_a_body_above_the_limit_is_refused_before_it_is_read(reach: Reach) -> None:
    client = reach.get_client(reach.create_key())
    limit = Config().max_body_bytes
    response = client.post("/api/things", content=b" " * 100, headers={**JSON, "content-length": str(limit + 1)})
    assert (response.status_code, code(response)) == (413, "server.body_too_large")
    for length in ("-1", "1_000", "²", "9" * 30, "0x10"):
        headers = [(b"content-type", b"application/json"), (b"content-length", length.encode())]
        response = client.post("/api/things", content=b"{}", headers=headers)
        assert response.status_code == 400
    files = {"file": ("a.bin", b"x" * 100_001)}
    assert client.post("/api/upload", files=files).status_code == 413
    assert reach.done == []


def test_a_body_without_length_is_counted_while_it_comes(reach: Reach) -> None:
    client = reach.get_client(reach.create_key())

    def pieces() -> list[bytes]:
        return [b" " * 1_000_000] * 17

    response = client.post("/api/things", content=iter(pieces()), headers=JSON)
    assert (response.status_code, code(response)) == (413, "server.body_too_large")
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    response = client.post(
        "/api/upload", content=iter([head, b"x" * 200_000]), headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert (response.status_code, code(response)) == (413, "server.body_too_large")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no boundary at all",
        b"--x\r\n",
        b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--',
        b'--x\r\nContent-Disposition: form-data; name="other"; filename="a"\r\n\r\ntext\r\n--x--',
        b"--x\r\nContent-Disposition: \xff\xfe\r\n\r\n\r\n--x--",
        b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n' * 1100 + b"--x--",
    ],
)
def test_broken_forms_are_refused(keep_reach: Callable[..., Reach], content: bytes) -> None:
    reach = keep_reach()
    headers = {"content-type": "multipart/form-data; boundary=x"}
    client = reach.get_client(reach.create_key())
    response = client.post("/api/upload", content=content, headers=headers)
    assert response.status_code == 400
    assert code(response)
    assert reach.done == []


def test_long_headers_and_addresses_are_refused(reach: Reach) -> None:
    client = reach.get_client(reach.create_key())
    for response in (
        client.get("/healthz", headers={"x-long": "x" * MAX_HEADER_BYTES}),
        client.get("/healthz", headers={f"x-{i}": "x" for i in range(200)}),
        client.get("/healthz?" + "x" * MAX_TARGET_BYTES),
    ):
        assert (response.status_code, code(response)) == (431, "server.headers_too_large")


def test_a_bug_of_ours_tells_nothing_but_a_number_that_the_log_has(
    reach: Reach, caplog: pytest.LogCaptureFixture
) -> None:
    response = reach.get_client(reach.create_key()).get("/api/bug")
    assert (response.status_code, code(response)) == (500, "internal_error")
    assert response.headers["x-should-retry"] == "false"
    for word in ("secret", str(Path.home()), "0x", "Traceback", "RuntimeError"):
        assert word not in response.text
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    report = record.getMessage().split()[1].strip(":")
    assert report in response.json()["error"]["message"]
    assert record.exc_info


def test_a_bug_within_a_stream_is_its_last_event(reach: Reach) -> None:
    response = reach.get_client(reach.create_key()).get("/api/broken-stream")
    first, last = response.text.strip().split("\n\n")
    assert (response.status_code, first) == (200, "data: 1")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "internal_error"
    assert "secret" not in response.text


@pytest.mark.parametrize("part", ["limits.count_request", "routes.find", "keys.authenticate", "hosts"])
def test_a_bug_in_the_guard_lets_nothing_through(reach: Reach, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    client = reach.get_client(reach.create_key())
    owner, _, name = part.rpartition(".")
    monkeypatch.setattr(getattr(reach.guard, owner) if owner else reach.guard, name, None)
    response = client.post("/api/things", json={"name": "a"})
    assert (response.status_code, code(response)) == (500, "internal_error")
    assert reach.done == []


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (GenloomError("store.unknown_name", kind="model", name="x", known="'y'"), 404, "not_found_error"),
        (GenloomError("store.exists", path=Path("/home/anna/ws/models/x")), 409, "invalid_request_error"),
        (GenloomError("api.empty_stop"), 400, "invalid_request_error"),
        (GenloomError("store.disk_full", path=Path("/home/anna/ws"), hint="now"), 507, "server_error"),
        (APIError("server.missing_scope", scope="train"), 403, "permission_error"),
        (APIError("server.no_key"), 401, "authentication_error"),
        (APIError("server.bug", status=418, report="1"), 418, "invalid_request_error"),
    ],
)
def test_every_error_has_its_status_and_type(error: GenloomError, status: int, kind: str) -> None:
    body = build_error_body(error)["error"]
    assert (get_status(error), body["type"], body["code"]) == (status, kind, error.code)
    assert "/home" not in body["message"]


def test_no_request_is_blamed_for_what_only_a_backup_or_the_log_can_mend() -> None:
    """A client that reads 400 corrects its request, which would not help."""
    areas = ("api", "codecs", "model", "networks", "server", "store", "studio", "trust")
    texts = {f"{area}.{name}": text for area in areas for name, text in load_messages(area).items()}
    sentences = {code: text for code, text in texts.items() if text[0] in string.ascii_uppercase + "{"}
    found = [code for code, text in sentences.items() if CURES.search(text) and "_cure_" not in code]
    assert len(found) > 10
    assert [code for code in found if STATUS_BY_CODE.get(code, 400) == 400] == []


def test_paths_of_this_machine_are_hidden_wherever_they_stand() -> None:
    inner = GenloomError("store.exists", path=Path("/home/an na/my models/x"))
    assert "/home" not in hide_paths(inner)
    assert "x exists" in hide_paths(inner)
    outer = GenloomError("store.system_error", prefix="/srv/ws/a.txt: ", reason="no such file: '/srv/ws/b.txt'")
    assert hide_paths(outer).startswith("a.txt: no such file: 'b.txt'")
    still = GenloomError("store.unknown_name", kind="model", name="notes/3", known="'icons', and/or 'tunes'")
    assert hide_paths(still) == str(still)
    route = APIError("server.unknown_route", path="/v1/chat/completion")
    assert "/v1/chat/completion" in hide_paths(route)


def test_an_error_keeps_its_status_between_processes() -> None:
    import pickle  # noqa: TID251  # as worker processes do

    error = APIError("server.body_too_large", status=499, param="messages", headers={"a": "b"}, extra={"n": 1}, limit=5)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


def test_metrics_count_requests_by_route_and_never_by_id(build_reach: Callable[..., Reach]) -> None:
    reach = build_reach()
    client = reach.get_client(reach.create_key())
    client.get("/api/things/l1")
    client.get("/api/things/unknown")
    client.get("/nothing/at/all")
    client.get("/healthz", headers={"host": "evil.example"})
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert 'genloom_requests_total{method="GET",route="/api/things/{id}",status="200"} 1.0' in lines
    assert 'genloom_requests_total{method="GET",route="/api/things/{id}",status="404"} 1.0' in lines
    assert 'genloom_requests_total{method="",route="unknown",status="404"} 1.0' in lines
    assert 'genloom_refusals_total{code="server.foreign_host"} 1.0' in lines
    assert "genloom_open_requests 1.0" in lines
    assert not [word for word in ("l1", "nothing/at", "evil") if word in answer.text]


def test_the_description_of_the_api_is_complete_and_public(build_reach: Callable[..., Reach]) -> None:
    described = build_reach().get_client().get("/openapi.json").json()
    assert {"/api/things", "/api/login", "/healthz"} <= set(described["paths"])
    assert "post" in described["paths"]["/api/login"]
