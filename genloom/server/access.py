"""Access rules: users, scopes, the policy of a route, and the owner rule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends
from starlette.requests import Request

from genloom.server.errors import APIError

Scope = Literal["generate", "read", "rate", "train", "admin"]
"""generate: make outputs. read them. rate: ratings. train: collect, train, learn, remove. admin: the rest."""

SCOPES: tuple[Scope, ...] = ("generate", "read", "rate", "train", "admin")
LOCAL_USER_ID = "local"

Body = Literal["json", "multipart", "any"]
"""What a route with an unsafe method takes: JSON (or nothing), a form with files, or whatever its protocol sends."""

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class User:
    """The person or key that makes a request: `request.state.user` in every route."""

    id: str
    """The owner of what this user makes: "local" for the person at the machine, else the name of an account."""

    name: str
    """The name that ratings are recorded under."""

    scopes: frozenset[Scope]
    credential: str = ""
    """Id of the key or session that the request came with; "" without one."""

    @property
    def is_local(self) -> bool:
        """Whether this is the person at the machine itself, who sees everything."""
        return self.id == LOCAL_USER_ID

    def owns(self, owner: str) -> bool:
        """Return whether this user may see and change what `owner` made."""
        return self.is_local or self.id == owner

    def check_scope(self, scope: Scope) -> None:
        """Refuse (403) a user without this scope."""
        if scope not in self.scopes:
            raise APIError("server.missing_scope", scope=scope)

    def check_owner(self, owner: str, kind: str, id: str) -> None:
        """Answer 404, as if it did not exist, for what another user owns."""
        if not self.owns(owner):
            raise build_unknown_id_error(kind, id)


@dataclass(frozen=True)
class Policy:
    """The conditions that the guard checks before a route runs."""

    scope: Scope | None
    """None: anyone, even without a key."""

    body: Body = "json"
    max_bytes: int = 0
    """Limit of the body. 0: that of the configuration."""

    is_stream: bool = False
    """Whether the answer may stay open for long: it ends when the key is revoked, and is counted apart."""

    may_end_key: bool = False
    """Whether it can end the key or session that it came with: its own answer is then still sent."""


def require_scope(
    scope: Scope | None,
    *,
    body: Body = "json",
    max_bytes: int = 0,
    is_stream: bool = False,
    may_end_key: bool = False,
) -> Callable[[Endpoint], Endpoint]:
    """Give an endpoint its policy; every route must have one.

    The decorator stands below that of the router. A route whose scope depends on its body names the weakest here and
    calls `request.state.user.check_scope(...)` once it knows.
    """

    def attach(endpoint: Endpoint) -> Endpoint:
        policy = Policy(scope, body, max_bytes, is_stream, may_end_key)
        setattr(endpoint, "policy", policy)  # noqa: B010  # functions have no such field
        return endpoint

    return attach


def get_user(request: Request) -> User:
    """Return the user of a request."""
    return request.state.user


CurrentUser = Annotated[User, Depends(get_user)]
"""The type of a parameter of a route that takes its user."""


def build_unknown_id_error(kind: str, id: str) -> APIError:
    """Return the 404 for an id of this kind that does not exist, or belongs to another user."""
    return APIError("server.unknown_id", kind=kind, id=id[:64])
