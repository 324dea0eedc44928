"""Sign-in with a provider of OpenID Connect: whom it vouches for, and nobody with a token of something else."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from genloom.server.config import Config
from genloom.server.oidc import Provider, is_safe_address
from tests.errors import raises_code
from tests.server.reach import Reach

SECRET = "a secret & more"
EMAIL = "anna@example.org"


@cache
def make_key(number: int) -> Any:
    """Return one of some keys; to make one takes a while."""
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Issuer:
    """A provider on this machine; a test changes what it says."""

    url: str = ""
    key: Any = field(default_factory=lambda: make_key(0))
    description: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    token: str = ""  # in place of one that is signed over the claims
    status: int = 200  # of the address for tokens
    asked: list[tuple[dict[str, str], str]] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        places = {"authorization_endpoint": "start", "token_endpoint": "token", "jwks_uri": "keys"}
        return {
            "issuer": self.url,
            **{name: f"{self.url}/{place}" for name, place in places.items()},
            **self.description,
        }

    def list_keys(self) -> dict[str, Any]:
        return {"keys": [{**RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True), "kid": "1", "use": "sig"}]}

    def sign(self, key: Any = None, algorithm: str = "RS256", **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "sub": "7", "aud": "genloom", "iat": now, "exp": now + 60, **self.claims, **changes}
        return jwt.encode(claims, key or self.key, algorithm, headers={"kid": "1"})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    known = Issuer(claims={"email": EMAIL, "email_verified": True})

    class Handler(BaseHTTPRequestHandler):
        def answer(self, content: Any, status: int = 200) -> None:
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"{known.url}/elsewhere")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def do_GET(self) -> None:  # the library's name
            self.answer(known.list_keys() if self.path == "/keys" else known.describe())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            known.asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.answer({"id_token": known.token or known.sign()}, known.status)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield known
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def reach(build_reach: Callable[..., Reach], issuer: Issuer) -> Reach:
    """A server with this provider, and the account `anna`, which has an address and no password."""
    reach = build_reach(oidc=Provider(issuer.url, "genloom", SECRET))
    reach.guard.keys.add_account("anna", "", email="Anna@Example.org")
    return reach


def start(client: httpx2.Client, issuer: Issuer) -> dict[str, str]:
    """Start a sign-in, and return what the provider was asked for."""
    url = client.post("/api/login/provider", json={}).json()["url"]
    assert url.startswith(f"{issuer.url}/start?")
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    issuer.claims["nonce"] = query["nonce"]
    return query


def finish(client: httpx2.Client, state: str) -> httpx2.Response:
    return client.post("/api/login", json={"code": "good", "state": state})


def get_code(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_whom_the_provider_vouches_for_is_signed_in_without_a_password(reach: Reach, issuer: Issuer) -> None:
    client: Any = reach.get_client()
    assert client.get("/api/login").json() == {"provider": "127.0.0.1"}
    query = start(client, issuer)
    assert (query["response_type"], query["redirect_uri"]) == ("code", f"{reach.base_url}/")
    answer = finish(client, query["state"])
    assert (answer.status_code, answer.json()["user"]) == (200, "anna")
    assert client.get("/api/things/a1").json() == {"text": "hers"}
    [(headers, body)] = issuer.asked
    sent = {name: values[0] for name, values in parse_qs(body).items()}
    digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == query["code_challenge"]
    assert base64.b64decode(headers["authorization"].split()[1]).decode() == "genloom:a%20secret%20%26%20more"
    assert SECRET not in body + query["state"] + answer.text
    assert get_code(client.post("/api/login", json={"name": "anna", "password": ""})) == (401, "server.bad_login")


def test_a_sign_in_ends_once_and_in_the_browser_that_started_it(reach: Reach, issuer: Issuer) -> None:
    client: Any = reach.get_client()
    state = start(client, issuer)["state"]
    assert get_code(finish(reach.get_client(), state)) == (401, "server.oidc_unknown_state")
    assert get_code(finish(client, state)) == (401, "server.oidc_unknown_state"), "another browser has used it up"
    state = start(client, issuer)["state"]
    assert finish(client, state).status_code == 200
    assert get_code(finish(client, state)) == (401, "server.oidc_unknown_state")
    assert get_code(finish(client, "made up")) == (401, "server.oidc_unknown_state")


CHANGES: dict[str, dict[str, Any]] = {
    "another sign-in": {"nonce": "x"},
    "another program": {"aud": "other"},
    "several programs": {"aud": ["genloom", "other"], "azp": "other"},
    "another provider": {"iss": "https://evil.example"},
    "too old": {"exp": 1},
    "not yet": {"nbf": 2**33},
    "no end": {"exp": None},
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_token_of_something_else_is_refused(reach: Reach, issuer: Issuer, kind: str) -> None:
    client: Any = reach.get_client()
    state = start(client, issuer)["state"]
    issuer.claims |= CHANGES[kind]
    if kind == "no end":
        claims = jwt.decode(issuer.sign(exp=2**33), options={"verify_signature": False})
        del claims["exp"]
        issuer.token = jwt.encode(claims, issuer.key, "RS256", headers={"kid": "1"})
    assert get_code(finish(client, state)) == (502, "server.oidc_failed")
    assert client.get("/api/things/a1").status_code == 401


@pytest.mark.parametrize("kind", ["other key", "none", "hmac with the public key", "nonsense"])
def test_a_token_that_the_provider_did_not_sign_is_refused(reach: Reach, issuer: Issuer, kind: str) -> None:
    client: Any = reach.get_client()
    state = start(client, issuer)["state"]
    if kind == "other key":
        issuer.token = issuer.sign(make_key(1))
    elif kind == "none":
        header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        issuer.token = f"{header}.{issuer.sign().split('.')[1]}."
    elif kind == "hmac with the public key":
        issuer.token = issuer.sign(json.dumps(issuer.list_keys()["keys"][0]) * 2, "HS256")
    else:
        issuer.token = "nonsense"
    assert get_code(finish(client, state)) == (502, "server.oidc_failed")


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"email_verified": False}, 403, "server.oidc_no_address"),
        ({"email_verified": "true"}, 403, "server.oidc_no_address"),
        ({"email": None}, 403, "server.oidc_no_address"),
        ({"email": "ben@example.org"}, 403, "server.oidc_no_account"),
        ({"email": "anna@example.org.evil.example"}, 403, "server.oidc_no_account"),
        ({"email": "anna@example.or\u212a"}, 403, "server.oidc_no_account"),
        ({"email": ""}, 403, "server.oidc_no_account"),
    ],
)
def test_only_an_address_that_is_vouched_for_and_known_opens_an_account(
    reach: Reach, issuer: Issuer, claims: dict[str, Any], status: int, code: str
) -> None:
    reach.guard.keys.add_account("ben", "correct horse battery")  # has no address
    client: Any = reach.get_client()
    state = start(client, issuer)["state"]
    issuer.claims |= claims
    assert get_code(finish(client, state)) == (status, code)


def test_a_provider_that_refuses_leads_elsewhere_or_changes_its_name_lets_nobody_in(
    reach: Reach, issuer: Issuer
) -> None:
    client: Any = reach.get_client()
    for status, expected in ((400, (401, "server.oidc_refused")), (302, (502, "server.oidc_failed"))):
        issuer.status = status
        assert get_code(finish(client, start(client, issuer)["state"])) == expected
    assert len(issuer.asked) == 2, "no redirect is followed"


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
    ],
)
def test_a_description_that_is_not_the_providers_own_is_refused(
    reach: Reach, issuer: Issuer, description: dict[str, Any]
) -> None:
    issuer.description = description
    assert get_code(reach.get_client().post("/api/login/provider", json={})) == (502, "server.oidc_failed")


def test_without_a_provider_there_is_none(build_reach: Callable[..., Reach]) -> None:
    client = build_reach().get_client()
    assert client.get("/api/login").json() == {"provider": None}
    assert get_code(client.post("/api/login/provider", json={})) == (404, "server.oidc_none")
    assert get_code(client.post("/api/login", json={"code": "x", "state": "y"})) == (404, "server.oidc_none")


def test_addresses_of_providers_are_encrypted_or_on_this_machine() -> None:
    assert is_safe_address("https://login.example.org/a")
    assert is_safe_address("http://127.0.0.1:9000")
    for address in (
        "http://login.example.org",
        "ftp://a",
        "https://",
        "login.example.org",
        "http://127.0.0.1.evil.example",
    ):
        assert not is_safe_address(address)
    with raises_code("server.bad_oidc_issuer"):
        Config(oidc=Provider("http://login.example.org", "genloom"))
    assert "secret" not in repr(Provider("https://login.example.org", "genloom", "secret"))
