"""What the guard refuses before anything runs, from this machine and from the local network alike."""

import itertools
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from genloom.server.config import Config, split_host
from tests.server.reach import LAN_ADDRESS, Reach

FOREIGN_HOSTS = (
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "localhost:7860@evil.example",
    "2130706433",
    "0.0.0.0",
    "",
)
FOREIGN_ORIGINS = (
    "https://evil.example",
    "null",
    "http://localhost.evil.example",
    "http://127.0.0.1:7861",
    "https://127.0.0.1:7860",
    "http://127.0.0.1:7860.evil.example",
    "file://",
    "",
)
THING = {"name": "a", "count": 1}
ROUTES = ("/", "/studio/icon.svg", "/healthz", "/metrics", "/openapi.json", "/api/keys", "/api/stream", "/unknown")


@pytest.fixture
def reach(keep_reach: Callable[..., Reach], mode: str) -> Reach:
    """The application reached from this machine, and once more from the local network."""
    return keep_reach(mode)


def code(response: httpx2.Response) -> str:
    """The code of an error, which always is the same object."""
    error = response.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    return error["code"]


def test_a_name_of_somebody_else_is_not_answered_on_any_route(reach: Reach) -> None:
    client = reach.get_client(reach.create_key())
    for host in FOREIGN_HOSTS:
        for route in ROUTES:
            response = client.get(route, headers={"host": host})
            assert (response.status_code, code(response)) == (421, "server.foreign_host"), route
        assert client.post("/api/things", json=THING, headers={"host": host}).status_code == 421
    assert reach.done == []


def test_two_host_lines_are_refused(reach: Reach) -> None:
    hosts = [("host", "127.0.0.1:7860"), ("host", "evil.example")]
    for pair in (hosts, hosts[::-1], [hosts[0], hosts[0]]):
        response = reach.get_client().get("/healthz", headers=httpx2.Headers(pair))
        assert response.status_code == 421


def test_rebinding_gives_host_and_origin_the_same_foreign_name(reach: Reach) -> None:
    headers = {"host": "evil.example:7860", "origin": "http://evil.example:7860"}
    response = reach.sign_in().post("/api/things", json=THING, headers=headers)
    assert response.status_code in (403, 421)
    assert reach.done == []


def test_pages_of_other_origins_can_do_nothing_even_with_cookie_or_key(reach: Reach) -> None:
    clients = (reach.sign_in(), reach.get_client(reach.create_key()))
    for client, origin in itertools.product(clients, FOREIGN_ORIGINS):
        for request in (
            client.post("/api/things", json=THING, headers={"origin": origin}),
            client.get("/api/stream", headers={"origin": origin}),
            client.get("/api/things/l1", headers={"origin": origin}),
        ):
            assert (request.status_code, code(request)) == (403, "server.foreign_origin")
            assert not [name for name in request.headers if name.startswith("access-control")]
    assert reach.done == []


def test_our_own_page_may(reach: Reach) -> None:
    headers = {"origin": reach.base_url, "sec-fetch-site": "same-origin"}
    assert reach.sign_in().post("/api/things", json=THING, headers=headers).status_code == 200
    assert reach.done == ["a"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_says_comes_from_another_site_is_refused_without_origin_too(reach: Reach, site: str) -> None:
    client = reach.sign_in()
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    assert code(client.post("/api/things", json=THING, headers=headers)) == "server.foreign_site"
    assert code(client.get("/api/things/l1", headers=headers)) == "server.foreign_site"
    headers["sec-fetch-mode"] = "navigate"
    assert code(client.get("/api/things/l1", headers=headers)) == "server.foreign_site"
    assert reach.done == []
    # A person may follow a link to the studio.
    assert client.get("/", headers=headers).status_code == 200


def test_only_json_reaches_a_route_that_takes_json(reach: Reach) -> None:
    kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", "")
    targets = (("/api/things", reach.sign_in()), ("/api/login", reach.get_client()))
    for kind, (path, client) in itertools.product((*kinds, "application/jsonp", "application/json2"), targets):
        response = client.post(path, content=b'{"name": "a"}', headers={"content-type": kind} if kind else {})
        assert (response.status_code, code(response)) == (415, "server.bad_content_type"), kind
    assert reach.done == []


def test_a_form_with_files_is_taken_where_files_are(reach: Reach) -> None:
    client = reach.sign_in()
    assert client.post("/api/upload", files={"file": ("a.txt", b"abc")}).json() == {"bytes": 3}
    assert client.post("/api/upload", json={"file": "abc"}).status_code == 415


def test_preflights_are_answered_for_listed_origins_only(build_reach: Callable[..., Reach], mode: str) -> None:
    reach = build_reach(mode, origins=("app://obsidian.md",))
    client = reach.get_client(reach.create_key())
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-stainless-os"}
    foreign = client.options("/v1/chat/completions", headers={"origin": "https://evil.example", **asked})
    assert foreign.status_code == 403
    assert not [name for name in foreign.headers if name.startswith("access-control")]
    listed = {"origin": "app://obsidian.md"}
    answer = client.options("/v1/chat/completions", headers={**listed, **asked})
    assert answer.headers["access-control-allow-origin"] == "app://obsidian.md"
    assert answer.headers["access-control-allow-headers"] == "authorization,x-stainless-os"
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"]
    answer = client.post("/v1/chat/completions", json=THING, headers={**listed, "sec-fetch-site": "cross-site"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "app://obsidian.md")
    # Its pages need a key of their own: they cannot use the cookie of the studio.
    assert reach.sign_in().post("/v1/chat/completions", json=THING, headers=listed).status_code == 401


def test_the_way_it_listens_loosens_no_check() -> None:
    loopback = Config().list_hosts()
    assert loopback == {"localhost", "127.0.0.1", "[::1]"}
    open_hosts = Config(host="0.0.0.0").list_hosts()
    assert loopback <= open_hosts
    assert not {"*", "0.0.0.0", ""} & open_hosts
    assert "null" not in Config(host="0.0.0.0").list_own_origins()
    assert "" not in Config(hosts=("",), public_url="http://:80").list_hosts()


def test_the_local_network_reaches_it_by_addresses_and_names_of_this_machine(build_reach: Callable[..., Reach]) -> None:
    hosts = (LAN_ADDRESS, "[fd00::20]", "studio-pc", "studio-pc.local", "STUDIO-PC:7860")
    lan, loopback = build_reach("lan").get_client(), build_reach("loopback").get_client()
    for host in hosts:
        assert lan.get("/healthz", headers={"host": host}).status_code == 200
        assert loopback.get("/healthz", headers={"host": host}).status_code == 421


def test_a_proxy_names_its_address_and_cookies_need_https(build_reach: Callable[..., Reach]) -> None:
    reach = build_reach(public_url="https://studio.example.org")
    token = reach.guard.sessions.create_link("local")
    headers = {"host": "studio.example.org", "origin": "https://studio.example.org"}
    response = reach.get_client().post("/api/login", json={"token": token}, headers=headers)
    assert response.status_code == 200
    assert "Secure" in response.headers["set-cookie"]
    headers["origin"] = "http://studio.example.org"
    assert reach.get_client().post("/api/login", json={"token": token}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST:80", "localhost"),
        ("[::1]:7860", "[::1]"),
        ("[::1]", "[::1]"),
        ("localhost:", ""),
        ("localhost:80:80", "localhost:80"),
        ("localhost:x", ""),
        ("localhost:²", ""),
    ],
)
def test_host_headers_are_parsed_whole(text: str, host: str) -> None:
    assert split_host(text) == host


def test_every_answer_has_the_headers_that_keep_browsers_safe(reach: Reach) -> None:
    client = reach.sign_in()
    for path in ("/", "/studio/index.html", "/healthz", "/api/things/l1", "/nothing", "/api/bug"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-request-id"]
        assert "server" not in headers


def test_files_of_users_are_no_pages_of_ours(reach: Reach) -> None:
    client = reach.sign_in()
    for kind in ("svg", "html", "xml", "pdf", "png"):
        headers = client.get(f"/api/file/{kind}").headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert "allow-" not in headers["content-security-policy"]
        assert headers["content-disposition"].startswith("inline" if kind == "png" else "attachment")


def test_there_are_no_web_sockets(reach: Reach) -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), reach.get_client(reach.create_key()).websocket_connect("/api/stream"):
        pass


def test_a_route_without_policy_stops_the_start(tmp_path: Path) -> None:
    from fastapi import APIRouter

    from genloom.api.workspace import Workspace
    from genloom.server.app import build_guarded_app

    router = APIRouter()

    @router.get("/api/open")
    def show_everything() -> dict[str, str]:
        return {}

    with pytest.raises(AssertionError, match="/api/open"):
        build_guarded_app(Workspace(tmp_path), Config(), [router])


def test_unknown_routes_name_the_nearest_and_methods_that_exist(reach: Reach) -> None:
    client = reach.get_client(reach.create_key())
    for path, nearest in (("/chat/completions", "/v1/chat/completions"), ("/api/thing", "/api/things")):
        response = client.post(path, json=THING)
        assert (response.status_code, code(response)) == (404, "server.unknown_route_nearest")
        assert nearest in response.json()["error"]["message"]
    response = client.get("/v1/chat/completions")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert client.get("/studio/nothing.js").status_code == 404
    assert client.get("/api/things/").status_code == 404  # no redirect to another address


PATHS = (
    "../../etc/passwd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5cetc",
    "/etc/passwd",
    "C:%5cWindows",
    "a%00b",
    "x" * 7000,
    "%e2%80%ae%e2%80%8f",
    "%ff%fe",
    "%",
    "..;/",
    "CON",
)


@pytest.mark.parametrize("mode", ["loopback", pytest.param("lan", marks=pytest.mark.slow)])
def test_no_id_leads_out_of_its_table(build_reach: Callable[..., Reach], mode: str) -> None:
    client = build_reach(mode).sign_in()
    prefixes = ("/api/things/", "/studio/", "/api/keys/", "/api/accounts/", "/")
    for path, prefix, method in itertools.product(PATHS, prefixes, ("GET", "DELETE")):
        response = client.request(method, prefix + path)
        assert response.status_code in (400, 404, 405), (method, prefix, path, response.text[:100])
        assert "root:" not in response.text
