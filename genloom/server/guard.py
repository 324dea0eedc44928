"""The guard: one ASGI application around all others, which every request passes before anything runs.

It checks, in this order: sizes, Host, Origin and Sec-Fetch-Site, the content type of unsafe methods, authentication,
scope, rate and concurrency; and, after those, the body. The owner of a thing is checked by the route that looks it up
(`User.check_owner`).
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from genloom.errors import GenloomError
from genloom.server import access
from genloom.server.access import LOCAL_USER_ID, User
from genloom.server.answer import Answer
from genloom.server.body import BodyReader, build_size_error, check_json
from genloom.server.config import Config, split_host
from genloom.server.errors import APIError, build_bug_error, build_error_response
from genloom.server.keys import DEFAULT_SCOPES, KeyStore
from genloom.server.limits import Limits
from genloom.server.metrics import Metrics
from genloom.server.routes import RouteEntry, RouteTable
from genloom.server.sessions import Sessions

if TYPE_CHECKING:
    from asyncio import Task

    Headers = dict[bytes, list[bytes]]

UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_HEADER_BYTES = 32_000
MAX_TARGET_BYTES = 8_000
_MAX_HEADERS = 100
_REVOCATION_SECONDS = 0.3
_PREFLIGHT_SECONDS = 600


class Guard:
    """The outermost application of a server."""

    def __init__(
        self,
        app: FastAPI,
        routes: RouteTable,
        config: Config,
        keys: KeyStore,
        sessions: Sessions,
        metrics: Metrics,
        build_error: Callable[[GenloomError], Response] = build_error_response,
    ):
        self.app, self.routes, self.config, self.build_error = app, routes, config, build_error
        self.keys, self.sessions, self.metrics = keys, sessions, metrics
        self.hosts, self.own_origins = config.list_hosts(), config.list_own_origins()
        self.foreign_origins = frozenset(origin.lower() for origin in config.origins)
        self.limits = Limits(config.max_rate, config.max_requests, config.max_channels)
        self._open: dict[str, dict[Task[None], access.Scope | None]] = {}  # by credential, with the scope it needs
        self._channels: set[Task[None]] = set()
        self._watch: Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no WebSockets
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = Answer(send, scope, self.metrics, self.build_error)
        self.metrics.open.inc()
        try:
            await self._admit(scope, receive, answer, _group_headers(scope))
        except GenloomError as error:
            self.metrics.refusals.labels(error.code).inc()
            await answer.send_error(error)
        except ClientDisconnect:
            pass
        except Exception as error:
            if not answer.is_complete:  # else it was reported where it happened
                await answer.send_error(build_bug_error(error))
        finally:
            self.metrics.open.dec()
            answer.record()

    async def _admit(self, scope: Scope, receive: Receive, answer: Answer, headers: "Headers") -> None:
        method = scope["method"]
        num_bytes = _check_sizes(scope, headers)
        body = BodyReader(receive, self.config.max_body_bytes, self.config.body_seconds)
        answer.unread_body = body if num_bytes > 0 else None
        self._check_host(headers)
        origin = self._check_origin(headers)
        answer.allow_origin(origin)
        if method == "OPTIONS":
            if not origin:
                raise APIError("server.foreign_origin", origin="")
            await answer.send_preflight(headers, _PREFLIGHT_SECONDS)
            return
        route = self.routes.find(method, scope["path"])
        answer.route, policy = route.path, route.policy
        _check_site(headers, route, method, is_listed=bool(origin))
        kind = _check_content_type(headers, route) if method in UNSAFE_METHODS else ""
        body.max_bytes = policy.max_bytes or self.config.max_body_bytes
        if num_bytes > body.max_bytes:
            raise build_size_error(body.max_bytes)
        user = self._authenticate(scope, headers, route, may_use_cookie=not origin)
        answer.user = user.id
        if policy.scope is not None:
            user.check_scope(policy.scope)
        with self.limits.count_request(user.id or get_address(scope), policy.is_stream):
            if kind == "json":
                check_json(await body.read_all())
            scope.setdefault("state", {})["user"] = user
            await self._run(scope, body, answer, user, route)

    # The checks

    def _check_host(self, headers: "Headers") -> None:
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or split_host(hosts[0].decode("latin-1")) not in self.hosts:
            name = b", ".join(hosts).decode("latin-1")[:100]
            raise APIError("server.foreign_host", host=name)

    def _check_origin(self, headers: "Headers") -> str:
        """Return the origin if it is a listed one of another program, "" if there is none or it is our own."""
        origins = headers.get(b"origin", [])
        origin = origins[0].decode("latin-1").lower() if origins else ""
        if not origins or (origin in self.own_origins and len(origins) == 1):
            return ""
        if origin not in self.foreign_origins or len(origins) != 1:
            raise APIError("server.foreign_origin", origin=origin[:100])
        return origin

    def _authenticate(self, scope: Scope, headers: "Headers", route: RouteEntry, may_use_cookie: bool) -> User:
        """Return the user by the key or the cookie; without one, an unknown person, for public routes only."""
        is_public = route.policy.scope is None
        if any(value.startswith("gl-") for _, value in parse_qsl(scope["query_string"].decode("latin-1"))):
            raise APIError("server.key_in_address")
        keys = {key for key in (_get_bearer(headers), _get_one(headers, b"x-api-key")) if key}
        prefix = self.config.keyless_prefix
        may_lack_key = bool(prefix) and route.path.startswith(prefix)
        if may_lack_key:
            keys = {key for key in keys if key.startswith("gl-")}
        if len(keys) > 1:
            raise APIError("server.two_keys")
        for key in keys:
            if user := self.keys.authenticate(key):
                return user
            if not is_public:
                raise APIError("server.bad_key", headers={"www-authenticate": "Bearer"})
        cookie = _get_cookie(headers, get_cookie_name(self.config)) if may_use_cookie else ""
        if cookie and (user := self.sessions.authenticate(cookie)):
            return user
        if is_public:
            return User("", "", frozenset())
        if may_lack_key:
            return User(LOCAL_USER_ID, "", frozenset(DEFAULT_SCOPES))
        raise APIError("server.no_key", headers={"www-authenticate": "Bearer"})

    # Running, with an eye on revocation

    async def _run(self, scope: Scope, receive: Receive, answer: Answer, user: User, route: RouteEntry) -> None:
        task = asyncio.create_task(_call_app(self.app, scope, receive, answer))
        credentials = set() if route.policy.may_end_key else {user.credential} - {""}
        for credential in credentials:
            self._open.setdefault(credential, {})[task] = route.policy.scope
        if route.policy.is_stream:
            self._channels.add(task)
        if credentials and (self._watch is None or self._watch.done()):
            self._watch = asyncio.create_task(self._end_revoked())
        try:
            await asyncio.wait([task])
            if task.cancelled():
                if credentials and not self._may_go_on(user.credential, route.policy.scope):
                    raise APIError("server.bad_key")
                await answer.end()
            else:
                task.result()
        finally:
            task.cancel()
            for credential in credentials:
                self._open.get(credential, {}).pop(task, None)
            self._channels.discard(task)

    async def _end_revoked(self) -> None:
        """End what is open under keys and sessions that were revoked, have expired or lost the scope."""
        while self._open:
            await asyncio.sleep(_REVOCATION_SECONDS)
            for credential, tasks in list(self._open.items()):
                if not tasks:
                    del self._open[credential]
                for task, scope in tasks.items():
                    if not self._may_go_on(credential, scope):
                        task.cancel()

    def _may_go_on(self, credential: str, scope: access.Scope | None) -> bool:
        kind, _, id = credential.partition(" ")
        user = self.keys.get_key_user(id) if kind == "key" else self.sessions.get_session_user(id)
        return user is not None and (scope is None or scope in user.scopes)

    def end_channels(self) -> None:
        """End the channels of events, which would keep the server from ending."""
        for task in self._channels:
            task.cancel()


async def _call_app(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


def get_cookie_name(config: Config) -> str:
    """Return the name of the cookie, which names the port: browsers send cookies to every port of a machine."""
    return f"genloom-{config.port}"


def get_address(scope: Scope) -> str:
    """Return the address that a request comes from."""
    return scope["client"][0] if scope.get("client") else ""


def _group_headers(scope: Scope) -> "Headers":
    headers: Headers = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower(), []).append(value)
    return headers


def _get_one(headers: "Headers", name: bytes) -> str:
    return headers[name][0].decode("latin-1") if name in headers else ""


def _check_sizes(scope: Scope, headers: "Headers") -> int:
    """Refuse long addresses and headers (431), and return how long the body is, as far as that is known."""
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    num_bytes = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if size > MAX_HEADER_BYTES or len(scope["headers"]) > _MAX_HEADERS or num_bytes > MAX_TARGET_BYTES:
        raise APIError("server.headers_too_large", limit=MAX_HEADER_BYTES, target_limit=MAX_TARGET_BYTES)
    if b"transfer-encoding" in headers:
        return 1  # nobody knows
    length = _get_one(headers, b"content-length") or "0"
    if not (length.isascii() and length.isdigit() and len(length) < 20):
        raise APIError("server.bad_header", name="Content-Length")
    return int(length)


def _check_site(headers: "Headers", route: RouteEntry, method: str, is_listed: bool) -> None:
    """Refuse what a browser says comes from another site, except links to our pages that a person followed."""
    site = _get_one(headers, b"sec-fetch-site")
    if site in ("", "same-origin", "none") or is_listed:
        return
    if method != "GET" or route.policy.scope is not None or _get_one(headers, b"sec-fetch-mode") != "navigate":
        raise APIError("server.foreign_site")


def _check_content_type(headers: "Headers", route: RouteEntry) -> str:
    """Return the kind of body; refuse (415) another one than the route takes, so that no foreign form gets through."""
    given = _get_one(headers, b"content-type")
    kind = given.partition(";")[0].strip().lower()
    length = _get_one(headers, b"content-length")
    if not given and (length == "0" or (not length and b"transfer-encoding" not in headers)):
        return ""
    if route.policy.body == "any":
        return "any"
    expected = {"json": "application/json", "multipart": "multipart/form-data"}[route.policy.body]
    if kind != expected or len(headers[b"content-type"]) != 1:
        raise APIError("server.bad_content_type", expected=expected, got=given[:100], example=expected)
    return route.policy.body


def _get_bearer(headers: "Headers") -> str:
    scheme, _, key = _get_one(headers, b"authorization").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _get_cookie(headers: "Headers", name: str) -> str:
    for line in headers.get(b"cookie", []):
        for pair in line.decode("latin-1").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
    return ""
