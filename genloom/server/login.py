"""Signing in and out, and the keys and accounts: `/api/login`, `/api/keys`, `/api/accounts`, `/api/links`."""

import threading
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from genloom.server.access import CurrentUser, User, build_unknown_id_error, require_scope
from genloom.server.config import Config
from genloom.server.errors import APIError
from genloom.server.guard import get_address, get_cookie_name
from genloom.server.keys import ACCOUNT_SCOPES, KeyStore, sort_scopes
from genloom.server.limits import SignInLimits, build_limit_error
from genloom.server.oidc import STATE_SECONDS, ProviderSignIn
from genloom.server.sessions import SESSION_DAYS, Sessions
from genloom.server.studio.shapes.field_types import Name
from genloom.server.studio.shapes.session import Login
from genloom.server.studio.shapes.shape import Body, Page, Shape
from genloom.server.studio.shapes.system import CreatedKey, Key, NewKey

_MAX_PASSWORD_CHECKS = 4  # at a time: each takes 64 MB and a processor

Scopes = Annotated[list[Literal["generate", "read", "rate", "train", "admin"]], Field(min_length=1, max_length=5)]


class SignedIn(Shape):
    """The user who is signed in now."""

    user: str
    scopes: list[str]


class Account(Shape):
    """A person of the team."""

    name: str
    scopes: list[str]
    created: str
    email: str = ""  # that a provider vouches for


class SignInWays(Shape):
    """The ways to sign in besides a name with a password and a link."""

    provider: str | None = None  # the name of the provider of OpenID Connect


class ProviderAddress(Shape):
    """The address of the provider that the browser goes to."""

    url: str


class NewAccount(Body):
    """An account to add, or to give another password and other scopes."""

    name: Name
    password: Annotated[str, Field(max_length=1000)] = ""
    email: Annotated[str, Field(max_length=254)] = ""  # that a provider vouches for; then there need be no password
    scopes: Scopes = Field(list(ACCOUNT_SCOPES))


class NewLink(Body):
    """A link that signs one browser in, such as that of a phone."""

    scopes: Scopes = Field(list(ACCOUNT_SCOPES))


class Link(Shape):
    """The links, one for each address of this machine; whichever is opened first uses up the token."""

    token: str
    urls: list[str]


def build_router() -> APIRouter:
    """Return the routes of signing in, keys and accounts."""
    router = APIRouter(prefix="/api", tags=["access"])
    pair_limits, address_limits = SignInLimits(10), SignInLimits(100)
    checks = threading.BoundedSemaphore(_MAX_PASSWORD_CHECKS)
    providers: list[ProviderSignIn] = []  # one, from its first use on

    def get_provider(request: Request) -> ProviderSignIn:
        config = _get_config(request)
        if config.oidc is None:
            raise APIError("server.oidc_none", status=404)
        if not providers:
            providers.append(ProviderSignIn(config.oidc, f"{config.list_urls()[0]}/"))
        return providers[0]

    def sign_in_by_link(body: Login, request: Request) -> str:
        address = get_address(request.scope)
        address_limits.check(address)
        if cookie := _get_sessions(request).redeem_link(body.token):
            return cookie
        address_limits.record_failure(address)
        raise APIError("server.bad_token")

    def sign_in_by_password(body: Login, request: Request) -> str:
        address = get_address(request.scope)
        pair = f"{address} {body.name}"
        address_limits.check(address)
        pair_limits.check(pair)
        if not checks.acquire(blocking=False):
            raise build_limit_error(1)
        try:
            is_right = _get_keys(request).check_password(body.name, body.password)
        finally:
            checks.release()
        user = _get_keys(request).get_account_user(body.name)
        if is_right and user:
            return _get_sessions(request).open_session(user)
        address_limits.record_failure(address)
        pair_limits.record_failure(pair)
        raise APIError("server.bad_login")

    def sign_in_by_provider(body: Login, request: Request, response: Response) -> str:
        address = get_address(request.scope)
        address_limits.check(address)
        provider, keys = get_provider(request), _get_keys(request)
        binding_name = _get_binding_name(request)
        try:
            email = provider.finish(body.code, body.state, request.cookies.get(binding_name, ""))
            user = keys.get_account_user(keys.find_account(email) or "")
            if user is None:
                raise APIError("server.oidc_no_account", status=403, email=email[:254])
        except APIError:
            address_limits.record_failure(address)
            raise
        response.delete_cookie(binding_name, path="/api/login", httponly=True, samesite="strict")
        return _get_sessions(request).open_session(user)

    @router.get("/login")
    @require_scope(None)
    def list_ways(request: Request) -> SignInWays:
        """Return the ways to sign in."""
        oidc = _get_config(request).oidc
        return SignInWays(provider=oidc.name if oidc else None)

    @router.post("/login/provider")
    @require_scope(None)
    def start_at_provider(request: Request, response: Response) -> ProviderAddress:
        """Start a sign-in with the provider; the answer sets a cookie that its end needs."""
        address_limits.check(get_address(request.scope))
        url, binding = get_provider(request).start()
        config = _get_config(request)
        response.set_cookie(
            _get_binding_name(request),
            binding,
            max_age=STATE_SECONDS,
            path="/api/login",
            httponly=True,
            samesite="strict",
            secure=config.is_https,
        )
        return ProviderAddress(url=url)

    @router.post("/login")
    @require_scope(None)
    def sign_in(body: Login, request: Request, response: Response) -> SignedIn:
        """Sign in with the token of a link, a name and a password, or a provider's code; the answer sets a cookie."""
        if body.code:
            cookie = sign_in_by_provider(body, request, response)
        else:
            cookie = sign_in_by_link(body, request) if body.token else sign_in_by_password(body, request)
        user = _get_sessions(request).authenticate(cookie)
        assert user is not None, "the session was just opened"
        config = _get_config(request)
        response.set_cookie(
            get_cookie_name(config),
            cookie,
            max_age=SESSION_DAYS * 86_400,
            path="/",
            httponly=True,
            samesite="strict",
            secure=config.is_https,
        )
        return SignedIn(user=user.id, scopes=sorted(user.scopes))

    @router.post("/logout", status_code=204)
    @require_scope(None, may_end_key=True)
    def sign_out(request: Request, response: Response, user: CurrentUser) -> None:
        """End the session of this browser."""
        kind, _, id = user.credential.partition(" ")
        if kind == "session":
            _get_sessions(request).close_session(id)
        response.delete_cookie(get_cookie_name(_get_config(request)), path="/", httponly=True, samesite="strict")

    @router.get("/keys")
    @require_scope("read")
    def list_keys(request: Request, user: CurrentUser) -> Page[Key]:
        """List the keys that this user may revoke."""
        keys = _get_keys(request).keys.items()
        return Page(data=[_show_key(request, id) for id, key in keys if _may_manage(user, key.user)])

    @router.post("/keys", status_code=201)
    @require_scope("read")
    def create_key(body: NewKey, request: Request, user: CurrentUser) -> CreatedKey:
        """Create a key; its text is in this answer and nowhere else."""
        owner = body.user or user.id
        _check_management(user, owner)
        scopes = sort_scopes(body.scopes)
        for scope in scopes:
            user.check_scope(scope)
        id, text = _get_keys(request).create_key(body.name, owner, scopes, body.days)
        return CreatedKey(**_show_key(request, id).model_dump(), secret=text)

    @router.delete("/keys/{id}", status_code=204)
    @require_scope("read", may_end_key=True)
    def revoke_key(id: str, request: Request, user: CurrentUser) -> None:
        """Revoke a key; what is open with it ends within a second."""
        keys = _get_keys(request)
        key = keys.keys.get(id)
        if key is None or not _may_manage(user, key.user):
            raise build_unknown_id_error("key", id)
        _check_management(user, key.user)
        keys.revoke_key(id)

    @router.get("/accounts")
    @require_scope("admin")
    def list_accounts(request: Request) -> Page[Account]:
        """List the accounts of the team."""
        accounts = _get_keys(request).accounts.items()
        data = [
            Account(name=name, scopes=list(each.scopes), created=each.created, email=each.email)
            for name, each in accounts
        ]
        return Page(data=data)

    @router.put("/accounts", status_code=204)
    @require_scope("admin", may_end_key=True)
    def put_account(body: NewAccount, request: Request) -> None:
        """Add an account, or give it another password and other scopes, which ends its sessions."""
        _get_keys(request).add_account(body.name, body.password, body.scopes, email=body.email)
        _get_sessions(request).close_sessions_of(body.name)

    @router.delete("/accounts/{name}", status_code=204)
    @require_scope("admin", may_end_key=True)
    def remove_account(name: str, request: Request) -> None:
        """Remove an account and its keys; what the person made stays."""
        _get_keys(request).remove_account(name)
        _get_sessions(request).close_sessions_of(name)

    @router.post("/links", status_code=201)
    @require_scope("admin")
    def create_link(body: NewLink, request: Request, user: CurrentUser) -> Link:
        """Create a link with a one-time token that signs another browser in as this user, such as that of a phone."""
        for scope in body.scopes:
            user.check_scope(scope)
        token = _get_sessions(request).create_link(user.id, body.scopes)
        return Link(token=token, urls=[f"{url}/#token={token}" for url in _get_config(request).list_urls()])

    return router


def _get_keys(request: Request) -> KeyStore:
    return request.app.state.keys


def _get_sessions(request: Request) -> Sessions:
    return request.app.state.sessions


def _get_config(request: Request) -> Config:
    return request.app.state.config


def _get_binding_name(request: Request) -> str:
    """Return the name of the cookie that binds a sign-in with a provider to the browser that started it."""
    return f"{get_cookie_name(_get_config(request))}-provider"


def _may_manage(user: User, owner: str) -> bool:
    return user.id == owner or "admin" in user.scopes


def _check_management(user: User, owner: str) -> None:
    """Refuse keys of others without the scope admin, and keys that beget keys: those need it too."""
    if user.id != owner or not user.credential.startswith("session"):
        user.check_scope("admin")


def _show_key(request: Request, id: str) -> Key:
    key = _get_keys(request).keys[id]
    return Key(
        id=id,
        name=key.name,
        user=key.user,
        scopes=list(key.scopes),
        created=key.created,
        expires=key.expires or None,
        prefix=f"gl-{id}-",
    )
