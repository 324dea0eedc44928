"""Keys, sessions and accounts: who gets in, with which scopes, to what of whose, and until when."""

import itertools
import json
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from genloom.server import guard, watched_file
from genloom.server.access import SCOPES
from genloom.server.keys import KeyStore, format_time, sort_scopes
from genloom.server.limits import Limits, SignInLimits
from genloom.server.sessions import Sessions
from tests.errors import raises_code
from tests.server.reach import Reach

THING = {"name": "a", "count": 1}
PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """The clock of the limits, which a test moves: a busy machine takes seconds for a request."""

    now: float = 1e9

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("genloom.server.limits.time", clock)
    return clock


def code(response: httpx2.Response) -> str:
    return response.json()["error"]["code"]


def test_nothing_but_the_pages_and_the_health_is_open_without_a_key(reach: Reach) -> None:
    client = reach.get_client()
    public = {entry.path for entry in reach.guard.routes.entries if entry.policy.scope is None}
    assert public == {"/", "/studio", "/healthz", "/openapi.json", "/api/login", "/api/login/provider", "/api/logout"}
    for entry in reach.guard.routes.entries:
        if entry.path not in public:
            for method in entry.methods - {"HEAD"}:
                response = client.request(method, entry.path.replace("{id}", "l1"))
                assert (response.status_code, code(response)) == (401, "server.no_key"), (method, entry.path)
                assert response.headers["www-authenticate"] == "Bearer"
    assert reach.done == []


def test_wrong_and_misplaced_keys_are_refused(reach: Reach) -> None:
    key, other = reach.create_key(), reach.create_key()
    wrong = ("gl-", "sk-1234", key[:-1], key + "x", key[:12] + other[12:], key.upper(), "x" * 10_000)
    for text in wrong:
        for headers in ({"authorization": f"Bearer {text}"}, {"x-api-key": text}):
            response = reach.get_client(**headers).get("/api/things/l1")
            assert (response.status_code, code(response)) == (401, "server.bad_key")
    for headers in ({"authorization": f"Basic {key}"}, {"authorization": key}, {"cookie": f"genloom-7860={key}"}):
        assert reach.get_client(**headers).get("/api/things/l1").status_code == 401
    for name in ("key", "api_key", "access_token"):
        response = reach.sign_in().get(f"/api/things/l1?{name}={key}")
        assert (response.status_code, code(response)) == (401, "server.key_in_address")
    both = reach.get_client(key, **{"x-api-key": other}).get("/api/things/l1")
    assert (both.status_code, code(both)) == (401, "server.two_keys")
    assert reach.get_client(key, **{"x-api-key": key}).get("/api/things/l1").status_code == 200


def test_a_key_expires_and_is_revoked(reach: Reach) -> None:
    keys = reach.guard.keys
    id, text = keys.create_key("phone", days=1)
    assert keys.authenticate(text)
    with keys.file.open_for_change() as content:
        past = format_time(datetime.now(UTC) - timedelta(seconds=1))
        content.keys[id] = replace(content.keys[id], expires=past)
    assert code(reach.get_client(text).get("/api/things/l1")) == "server.bad_key"
    text = reach.create_key()
    assert reach.get_client(text).get("/api/things/l1").status_code == 200
    keys.revoke_key(text[3:11])
    assert code(reach.get_client(text).get("/api/things/l1")) == "server.bad_key"


def test_another_process_revokes_a_key(reach: Reach) -> None:
    text = reach.create_key()
    assert reach.get_client(text).get("/api/things/l1").status_code == 200
    KeyStore(reach.guard.keys.file.path).revoke_key(text[3:11])  # as `genloom access revoke` does
    time.sleep(0.25)
    assert reach.get_client(text).get("/api/things/l1").status_code == 401


@pytest.mark.parametrize("way", ["bearer", "x-api-key", "cookie"])
def test_a_scope_is_asked_for_in_every_way_to_come_in(reach: Reach, way: str) -> None:
    if way == "cookie":
        client = reach.sign_in(scopes=["rate"])
    else:
        key = reach.create_key(scopes=["rate"])
        client = reach.get_client(key) if way == "bearer" else reach.get_client(**{"x-api-key": key})
    for method, path, body in (
        ("POST", "/api/things", THING),
        ("GET", "/api/things/l1", None),
        ("DELETE", "/api/things/l1", None),
        ("GET", "/api/keys", None),
        ("POST", "/api/keys", {"name": "x", "scopes": ["rate"]}),
        ("GET", "/api/accounts", None),
        ("PUT", "/api/accounts", {"name": "x", "password": PASSWORD}),
        ("POST", "/api/links", {}),
        ("GET", "/metrics", None),
    ):
        response = client.request(method, path, json=body)
        assert (response.status_code, code(response)) == (403, "server.missing_scope"), (method, path)
    assert reach.done == []
    assert not reach.guard.keys.accounts


def test_the_scope_is_checked_before_the_body_is_read(reach: Reach) -> None:
    client = reach.get_client(reach.create_key(scopes=["rate"]))
    response = client.post("/api/things", content=b"{broken", headers={"content-type": "application/json"})
    assert response.status_code == 403


def test_what_another_user_owns_does_not_exist(reach: Reach) -> None:
    keys = reach.guard.keys
    for name in ("anna", "ben"):
        keys.add_account(name, PASSWORD)
    clients = {name: reach.sign_in(name) for name in ("anna", "ben")}
    clients |= {f"{name}'s key": reach.get_client(reach.create_key(name)) for name in ("anna", "ben")}
    ids = {"anna": "a1", "ben": "b1"}
    for name, (owner, id) in itertools.product(clients, ids.items()):
        responses = [clients[name].request(method, f"/api/things/{id}") for method in ("GET", "DELETE")]
        is_owner = name.startswith(owner)
        assert [r.status_code for r in responses] == ([200, 200] if is_owner else [404, 404])
        if not is_owner:
            unknown = clients[name].get("/api/things/zz")
            assert responses[0].json()["error"]["message"].replace(id, "zz") == unknown.json()["error"]["message"]
    # The person at the machine sees everything.
    assert all(reach.sign_in().get(f"/api/things/{id}").status_code == 200 for id in ("a1", "b1", "l1"))


def test_keys_of_others_cannot_be_seen_or_revoked(reach: Reach) -> None:
    keys = reach.guard.keys
    for name in ("anna", "ben"):
        keys.add_account(name, PASSWORD)
    id, _ = keys.create_key("laptop", "anna")
    ben, anna = reach.sign_in("ben"), reach.sign_in("anna")
    assert [key["id"] for key in anna.get("/api/keys").json()["data"]] == [id]
    assert ben.get("/api/keys").json()["data"] == []
    assert ben.delete(f"/api/keys/{id}").status_code == 404
    assert ben.post("/api/keys", json={"name": "x", "user": "anna", "scopes": ["read"]}).status_code == 403
    assert anna.delete(f"/api/keys/{id}").status_code == 204
    assert id not in keys.keys


def test_nobody_gives_away_more_than_they_have(reach: Reach) -> None:
    reach.guard.keys.add_account("anna", PASSWORD, ["read", "rate"])
    anna = reach.sign_in("anna")
    assert anna.post("/api/keys", json={"name": "x", "scopes": ["train"]}).status_code == 403
    made = anna.post("/api/keys", json={"name": "x", "scopes": ["rate", "read"]})
    assert made.status_code == 201
    assert reach.get_client(made.json()["secret"]).get("/api/keys").status_code == 200
    # A key makes no keys, so that a lost one can be revoked for good.
    body = {"name": "y", "scopes": ["rate"]}
    assert code(reach.get_client(made.json()["secret"]).post("/api/keys", json=body)) == "server.missing_scope"
    # A key loses what its account loses.
    reach.guard.keys.add_account("anna", PASSWORD, ["rate"])
    assert reach.get_client(made.json()["secret"]).get("/api/keys").status_code == 403
    reach.guard.keys.remove_account("anna")
    assert reach.get_client(made.json()["secret"]).get("/api/keys").status_code == 401


def test_a_link_signs_one_browser_in_once(reach: Reach) -> None:
    token = reach.guard.sessions.create_link("local")
    client = reach.get_client()
    response = client.post("/api/login", json={"token": token})
    cookie = response.headers["set-cookie"]
    assert all(part in cookie for part in ("genloom-7860=", "HttpOnly", "SameSite=strict", "Path=/"))
    assert client.get("/api/things/l1").status_code == 200
    for text in (token, "", "x", token[:9] + "A" * 43, "x" * 100_000):
        response = reach.get_client().post("/api/login", json={"token": text})
        assert response.status_code in (400, 401)
        assert "set-cookie" not in response.headers
    assert client.post("/api/logout").status_code == 204
    assert reach.get_client(cookie=cookie.partition(";")[0]).get("/api/things/l1").status_code == 401


def test_an_old_link_and_an_old_session_are_worth_nothing(reach: Reach) -> None:
    sessions = reach.guard.sessions
    assert sessions.redeem_link(sessions.create_link("local", minutes=0)) is None
    cookie = sessions.redeem_link(sessions.create_link("local"))
    assert cookie is not None
    with sessions.file.open_for_change() as content:
        for id, session in content.sessions.items():
            content.sessions[id] = replace(session, expires=format_time(datetime.now(UTC)))
    assert sessions.authenticate(cookie) is None


def test_people_sign_in_with_name_and_password(reach: Reach) -> None:
    reach.guard.keys.add_account("anna", PASSWORD)
    client = reach.get_client()
    response = client.post("/api/login", json={"name": "anna", "password": PASSWORD})
    assert response.json() == {"user": "anna", "scopes": ["generate", "rate", "read", "train"]}
    assert client.get("/api/things/a1").status_code == 200
    for name, password in (("anna", "wrong"), ("nobody", PASSWORD), ("local", PASSWORD), ("", ""), ("anna\0", "x")):
        response = reach.get_client().post("/api/login", json={"name": name, "password": password})
        assert (response.status_code, code(response)) == (401, "server.bad_login")
    # Another password ends what was open under the old one.
    admin = reach.sign_in()
    assert admin.put("/api/accounts", json={"name": "anna", "password": "a new password"}).status_code == 204
    assert client.get("/api/things/a1").status_code == 401
    assert admin.delete("/api/accounts/anna").status_code == 204
    assert admin.delete("/api/accounts/anna").status_code == 404
    for password in ("short", "x" * 1001):
        assert admin.put("/api/accounts", json={"name": "anna", "password": password}).status_code == 400
    assert admin.put("/api/accounts", json={"name": "local", "password": PASSWORD}).status_code == 400


def test_guessing_passwords_has_to_wait(build_reach: Callable[..., Reach]) -> None:
    reach = build_reach()
    reach.guard.keys.add_account("anna", PASSWORD)
    client = reach.get_client()

    def sign_in(**body: str) -> int:
        return client.post("/api/login", json=body).status_code

    assert [sign_in(name="ben", password=f"guess {i}") for i in range(12)] == [401] * 10 + [429] * 2
    waiting = client.post("/api/login", json={"name": "ben", "password": PASSWORD})
    assert int(waiting.headers["retry-after"]) > 100
    assert sign_in(name="anna", password=PASSWORD) == 200
    assert [sign_in(token=f"x{i}") for i in range(92)] == [401] * 90 + [429] * 2
    assert sign_in(name="anna", password=PASSWORD) == 429
    assert reach.get_client(reach.create_key()).get("/api/things/l1").status_code == 200  # others are not locked out


def test_attempts_are_forgotten_in_time(clock: Clock) -> None:
    attempts = SignInLimits(maximum=2, seconds=60)
    for _ in range(2):
        attempts.check("a")
        attempts.record_failure("a")
    with raises_code("server.too_many_requests"):
        attempts.check("a")
    attempts.check("b")
    clock.now += 61
    attempts.check("a")


def test_a_user_has_a_share_of_requests_and_channels(clock: Clock) -> None:
    limits = Limits(max_rate=1, max_requests=2, max_channels=1)
    with limits.count_request("anna", is_channel=True):
        with raises_code("server.too_many_requests"), limits.count_request("anna", is_channel=True):
            pass
        with limits.count_request("anna", is_channel=False), limits.count_request("anna", is_channel=False):
            with raises_code("server.too_many_requests"), limits.count_request("anna", is_channel=False):
                pass
            with limits.count_request("ben", is_channel=False):
                pass
    with raises_code("server.too_many_requests"):
        for _ in range(5):
            with limits.count_request("anna", is_channel=False):
                pass


def test_the_rate_of_a_user_is_limited_with_a_time_to_come_back(
    build_reach: Callable[..., Reach], clock: Clock
) -> None:
    reach = build_reach(max_rate=2.0)
    client = reach.get_client(reach.create_key())
    responses = [client.get("/api/things/l1") for _ in range(10)]
    assert responses[-1].status_code == 429
    assert responses[-1].headers["retry-after"] == "1"
    assert responses[-1].json()["error"]["type"] == "rate_limit_error"
    clock.now += 1
    assert client.get("/api/things/l1").status_code == 200


def test_keyless_is_for_v1_on_this_machine_only(build_reach: Callable[..., Reach]) -> None:
    reach = build_reach(keyless_prefix="/v1/")
    for headers in ({}, {"authorization": "Bearer not-needed"}, {"x-api-key": "sk-123"}):
        assert reach.get_client(**headers).post("/v1/chat/completions", json=THING).status_code == 200
        assert reach.get_client(**headers).get("/api/things/l1").status_code == 401
    assert reach.done == ["chat local"] * 3
    assert reach.get_client("gl-wrong").post("/v1/chat/completions", json=THING).status_code == 401
    foreign = {"origin": "https://evil.example"}
    assert reach.get_client(**foreign).post("/v1/chat/completions", json=THING).status_code == 403
    with raises_code("server.open_keyless"):
        build_reach("lan", keyless_prefix="/v1/")
    with raises_code("server.open_keyless"):
        from genloom.server.config import Config

        Config(host="192.168.1.2", keyless_prefix="/v1/")
    with raises_code("server.open_keyless"):
        Config(public_url="https://studio.example.org", keyless_prefix="/v1/")


@pytest.mark.parametrize("way", ["revoke", "expire", "narrow", "sign out"])
def test_what_is_open_ends_within_a_second_of_losing_the_right(
    run_reach: Callable[..., AbstractContextManager[Reach]], way: str
) -> None:
    with run_reach() as reach:
        keys, sessions = reach.guard.keys, reach.guard.sessions
        id, text = keys.create_key("test", scopes=SCOPES)
        headers = {"authorization": f"Bearer {text}"}
        if way == "sign out":
            cookie = sessions.redeem_link(sessions.create_link("local"))
            headers = {"cookie": f"genloom-{reach.guard.config.port}={cookie}"}
        with httpx2.stream("GET", f"{reach.base_url}/api/stream", headers=headers, timeout=600) as response:
            pieces = response.iter_text()
            assert next(pieces) == "data: 1\n\n"
            start = time.monotonic()
            if way == "sign out":
                httpx2.post(f"{reach.base_url}/api/logout", headers=headers)
            elif way == "revoke":
                keys.revoke_key(id)
            else:
                expired = {"expires": "2020-01-01T00:00:00+00:00"}
                change: dict[str, Any] = {"scopes": ("rate",)} if way == "narrow" else expired
                with keys.file.open_for_change() as content:
                    content.keys[id] = replace(content.keys[id], **change)
            rest = "".join(pieces)
        assert guard._REVOCATION_SECONDS + watched_file._LOOK_SECONDS < 1.0  # what an idle machine takes
        assert time.monotonic() - start < 300  # a busy one
        assert json.loads(rest.removeprefix("data: "))["error"]["code"] == "server.bad_key"


@pytest.mark.parametrize("way", ["sign out", "revoke", "another password", "remove the account"])
def test_a_request_that_ends_its_own_key_is_answered(reach: Reach, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """However long its answer takes: whoever looks for ended keys meanwhile must not take it for one left open."""
    monkeypatch.setattr(guard, "_REVOCATION_SECONDS", 0.01)
    method = {"sign out": "close_session", "revoke": "revoke_key"}.get(way, "close_sessions_of")
    owner = KeyStore if way == "revoke" else Sessions
    end = getattr(owner, method)

    def end_slowly(*args: Any) -> Any:
        result = end(*args)
        time.sleep(0.3)  # many looks
        return result

    monkeypatch.setattr(owner, method, end_slowly)
    reach.guard.keys.add_account("anna", PASSWORD, SCOPES)
    if way == "revoke":
        key = reach.create_key("anna")
        response = reach.get_client(key).delete(f"/api/keys/{key[3:11]}")
    elif way == "sign out":
        response = reach.sign_in("anna").post("/api/logout")
    elif way == "remove the account":
        response = reach.sign_in("anna").delete("/api/accounts/anna")
    else:
        account = {"name": "anna", "password": "a new password", "scopes": list(SCOPES)}
        response = reach.sign_in("anna").put("/api/accounts", json=account)
    assert response.status_code == 204, response.text


def test_secrets_are_stored_as_hashes_for_this_user_only_and_never_logged(
    reach: Reach, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = reach.create_key()
    reach.guard.keys.add_account("anna", PASSWORD)
    token = reach.guard.sessions.create_link("local")
    client = reach.get_client(key)
    cookie = client.post("/api/login", json={"token": token}).headers["set-cookie"].partition(";")[0].partition("=")[2]
    client.post("/api/login", json={"name": "anna", "password": PASSWORD})
    client.get(f"/api/things/l1?key={key}")
    client.get("/api/bug")
    made = client.post("/api/keys", json={"name": "other", "scopes": ["read"]}).json()["secret"]
    folder = reach.guard.keys.file.path.parent.parent
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"keys.toml", "sessions.json"}
    log = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("genloom"))
    everything = "".join(path.read_text() for path in files) + log
    assert "GET /api/things/l1 401" in log
    for secret in (key, made, cookie, token, PASSWORD):
        assert secret not in everything
        assert secret[-20:] not in everything
    for path in files:
        assert path.stat().st_mode & 0o077 == 0


def test_a_damaged_file_of_keys_lets_nobody_in(reach: Reach) -> None:
    key = reach.create_key()
    reach.guard.keys.file.path.write_text("[keys.x]\nname = 1\n")
    time.sleep(0.25)
    response = reach.get_client(key).get("/api/things/l1")
    assert (response.status_code, code(response)) == (500, "server.bad_keys_file")
    assert str(reach.guard.keys.file.path.parent) not in response.text
    with raises_code("server.bad_keys_file"):
        KeyStore(reach.guard.keys.file.path).create_key("x")


def test_a_damaged_file_of_sessions_costs_a_sign_in(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys.toml")
    sessions = Sessions(tmp_path / "sessions.json", keys)
    cookie = sessions.redeem_link(sessions.create_link("local")) or ""
    assert sessions.authenticate(cookie)
    (tmp_path / "sessions.json").write_text("{")
    time.sleep(0.25)
    assert sessions.authenticate(cookie) is None
    assert sessions.redeem_link(sessions.create_link("local"))


def test_names_of_keys_and_accounts_are_names(reach: Reach) -> None:
    keys = reach.guard.keys
    with raises_code("store.bad_name_chars"):
        keys.create_key("a/b")
    with raises_code("store.nothing_known"):
        keys.create_key("a", "nobody")
    with raises_code("server.unknown_scope"):
        keys.create_key("a", scopes=[])
    with raises_code("server.unknown_scope"):
        sort_scopes(["everything"])
    keys.add_account("Änne O Brien", PASSWORD)
    assert KeyStore(keys.file.path).check_password("Änne O Brien", PASSWORD)
