"""A walk over every route of the whole server: who may, what is found, and that reading changes nothing."""

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from genloom.server.access import Policy
from genloom.server.keys import ACCOUNT_SCOPES
from genloom.trust.signing import load_signing_key
from tests.server.openai.conftest import RunningServer, api  # noqa: F401  # a fixture

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
PUBLIC = {"/", "/studio", "/healthz", "/openapi.json", "/api/login", "/api/login/provider", "/api/logout"}
# What each kind of row that belongs to somebody is called in addresses.
OWNED = {
    "/api/jobs/{id}": "job",
    "/api/designs/{id}": "job",
    "/api/uploads/{id}": "upload",
    "/api/outputs/{id}": "output",
    "/api/bin/{id}": "bin",
    "/api/conversations/{id}": "conversation",
    "/api/knowledge/{name}": "knowledge",
    "/api/keys/{id}": "key",
    "/v1/files/{id}": "file",
    "/v1/outputs/{id}": "output",
    "/v1/fine_tuning/jobs/{id}": "tuning",
}
# These belong to the workspace, or to the account that the guard's scope `admin` protects.
SHARED = (
    "/api/models/",
    "/v1/models/",
    "/api/datasets/",
    "/api/prompts/",
    "/api/teach/",
    "/api/receipts/",
    "/api/accounts/",
    "/api/arena/",
)
BODIES: dict[str, Any] = {
    "POST /api/outputs/{id}/rating": {"up": True},
    "POST /v1/outputs/{id}/rating": {"rating": "up"},
    "PATCH /api/outputs/{id}": {"tags": ["x"]},
    "POST /api/outputs/{id}/prefer": {"over": "x"},
    "PATCH /api/conversations/{id}": {"title": "x"},
    "POST /api/conversations/{id}/turns": {"content": "x"},
    "POST /api/jobs/{id}/move": {"before": None},
}


@pytest.fixture(scope="module")
def clients(api: RunningServer) -> Iterator[dict[str, httpx2.Client]]:  # noqa: F811
    """Two people of a team, and the person at the machine."""
    keys = {"local": api.key}
    for name in ("anna", "ben"):
        api.app.keys.add_account(name, PASSWORD)
        keys[name] = api.app.keys.create_key(name, name, ACCOUNT_SCOPES)[1]
    opened = {name: api.open(key) for name, key in keys.items()}
    yield opened
    for client in opened.values():
        client.close()


@pytest.fixture(scope="module")
def ids(api: RunningServer, clients: dict[str, httpx2.Client]) -> Iterator[dict[str, str]]:  # noqa: F811
    """The ids of what anna made, by kind."""
    anna, local = clients["anna"], clients["local"]

    def make(response: httpx2.Response) -> dict[str, Any]:
        assert response.status_code in (200, 201, 202), response.text
        return response.json()

    make(local.post("/api/queue", json={"paused": True}))
    job = {"kind": "generate", "params": {"model": "tales", "prompts": ["Tale 1"]}}
    completion = anna.post("/v1/completions", json={"model": "tales", "prompt": "Tale 1", "max_tokens": 4})
    lines = "\n".join(json.dumps({"messages": [{"role": "user", "content": "a"}]}) for _ in range(2))
    made = {
        "job": make(anna.post("/api/jobs", json=job))["id"],
        "upload": make(anna.post("/api/uploads", files={"files": ("a.txt", b"text")}))["id"],
        "conversation": make(anna.post("/api/conversations", json={"model": "tales"}))["id"],
        "output": completion.headers["x-genloom-output-id"],
        "file": make(anna.post("/v1/files", files={"file": ("a.jsonl", lines)}, data={"purpose": "fine-tune"}))["id"],
        "key": api.app.keys.create_key("laptop", "anna", ["read"])[0],
        "tuning": "ftjob-unknown",
        "knowledge": "annas-notes",
    }
    notes = make(anna.post("/api/uploads", files={"files": ("notes.txt", b"The harbour opens at seven.")}))["id"]
    reading = {"kind": "knowledge", "params": {"upload": notes, "name": made["knowledge"]}}
    job = make(anna.post("/api/jobs", json=reading))["id"]
    deadline = time.monotonic() + 600
    while (found := anna.get(f"/api/jobs/{job}").json())["state"] not in ("succeeded", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert found["state"] == "succeeded", found["error"]
    other = anna.post("/v1/completions", json={"model": "tales", "prompt": "Tale 2", "max_tokens": 4})
    made["bin"] = make(anna.delete(f"/api/outputs/{other.headers['x-genloom-output-id']}"))["id"]
    yield made
    local.post("/api/queue", json={"paused": False})


def list_requests(api: RunningServer) -> Iterator[tuple[str, str, Policy]]:  # noqa: F811
    for entry in api.app.routes.entries:
        for method in sorted(entry.methods - {"HEAD"}):
            yield method, entry.path, entry.policy


def fill(path: str, id: str = "1") -> str:
    """Return a path with an id in its first place, and something in its others."""
    return re.sub(r"\{[^}]*\}", "1", re.sub(r"\{[^}]*\}", id, path, count=1))


def build_body(method: str, path: str, policy: Policy) -> dict[str, Any]:
    """Return the options of a request whose body the route takes."""
    if policy.body == "multipart":
        return {"files": {"files": ("b.txt", b"text")}}
    return {"json": BODIES.get(f"{method} {path}", {})} if method in ("POST", "PATCH", "PUT") else {}


def test_only_the_pages_signing_in_and_the_health_are_public(api: RunningServer) -> None:  # noqa: F811
    with httpx2.Client(base_url=api.url, timeout=600) as stranger:
        for method, path, policy in list_requests(api):
            if policy.scope is None:
                assert path in PUBLIC
                continue
            response = stranger.request(method, fill(path), headers={"content-type": "application/json"})
            assert response.status_code in (401, 415), (method, path)
            assert response.json()["error"]["message"]


def test_every_row_of_another_user_is_unknown(
    api: RunningServer,  # noqa: F811
    clients: dict[str, httpx2.Client],
    ids: dict[str, str],
) -> None:
    num_checked = 0
    for method, path, policy in list_requests(api):
        if "{" not in path or path.startswith(SHARED):
            continue
        owned = next((kind for prefix, kind in OWNED.items() if path.startswith(prefix)), None)
        assert owned, f"{path}: name its kind in OWNED, or SHARED if everybody may see it"
        target = fill(path, ids[owned])
        response = clients["ben"].request(method, target, **build_body(method, path, policy))
        assert response.status_code == 404, (method, target, response.text[:200])
        num_checked += 1
    assert num_checked > 25
    # The rows do exist, unchanged.
    for prefix, kind in OWNED.items():
        if kind not in ("bin", "key", "tuning", "knowledge") and not prefix.startswith("/api/designs"):
            assert clients["anna"].get(fill(prefix, ids[kind])).status_code == 200, prefix
    assert ids["key"] in api.app.keys.keys


def test_lists_and_searches_show_a_user_only_their_own(clients: dict[str, httpx2.Client], ids: dict[str, str]) -> None:
    lists = {
        "/api/jobs": "job",
        "/api/outputs": "output",
        "/api/conversations": "conversation",
        "/api/keys": "key",
        "/v1/files": "file",
        "/api/search?q=Tale": "output",
        "/api/knowledge": "knowledge",
    }
    for path in lists:
        answer = clients["ben"].get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert not [id for id in ids.values() if id in answer.text], path
    for path, kind in lists.items():
        assert ids[kind] in clients["anna"].get(path).text, path


def test_reading_changes_nothing(
    api: RunningServer,  # noqa: F811
    clients: dict[str, httpx2.Client],
    ids: dict[str, str],
) -> None:
    load_signing_key(api.workspace.folder)  # which the first signature would make
    before = take_snapshot(api.workspace.folder)
    for name in ("local", "anna"):
        for method, path, policy in list_requests(api):
            if method != "GET" or policy.is_stream:
                continue
            owned = next((kind for prefix, kind in OWNED.items() if path.startswith(prefix)), None)
            filled = path.replace("{name}", "tales").replace("{model}", "tales")
            response = clients[name].get(fill(filled, ids[owned] if owned else "tales"))
            assert response.status_code < 500, (path, response.text)
    assert take_snapshot(api.workspace.folder) == before


def take_snapshot(folder: Path) -> dict[str, str]:
    """Return the digest of every file, and of the content of every database, but not of the index and other caches."""
    snapshot = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name.startswith(("cache/", "index.sqlite")) or name.endswith(("-wal", "-shm")):
            continue
        if name == "keys/signed.txt":  # a file is signed as it leaves, and each signature is noted there
            continue
        if path.suffix == ".sqlite":
            database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            content = "\n".join(database.iterdump()).encode()
            database.close()
        else:
            content = path.read_bytes()
        snapshot[name] = hashlib.sha256(content).hexdigest()
    return snapshot


HOSTILE_IDS = (
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5cetc",
    "%2fetc%2fpasswd",
    "C:%5cx",
    "a%00b",
    "x" * 5000,
    "%e2%80%ae",
    "%ff",
    "-1",
    "99999999999999999999999",
    "'%20OR%201=1--",
    "%7b%7d",
)


def test_no_id_is_a_path_and_none_is_our_fault(api: RunningServer, clients: dict[str, httpx2.Client]) -> None:  # noqa: F811
    local = clients["local"]
    before = take_snapshot(api.workspace.folder)
    for method, path, policy in list_requests(api):
        if "{" not in path or policy.is_stream:
            continue
        for id in HOSTILE_IDS:
            target = re.sub(r"\{[^}]*\}", id, path)
            response = local.request(method, target, **build_body(method, path, policy))
            assert 400 <= response.status_code < 500, (method, target[:80], response.status_code, response.text[:200])
            assert "root:" not in response.text
            assert set(response.json()["error"]) >= {"message", "type", "param", "code"}
    assert take_snapshot(api.workspace.folder) == before
