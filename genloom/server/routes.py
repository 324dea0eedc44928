"""The table of routes: which policy a request falls under, and which routes there are."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, compile_path

from genloom.errors import find_nearest
from genloom.server.access import Policy
from genloom.server.errors import APIError

_MAX_PATH_CHARS = 200  # of an unknown path, as it is shown


@dataclass(frozen=True)
class RouteEntry:
    """One route as the guard and the tests see it."""

    path: str
    methods: frozenset[str]
    policy: Policy
    pattern: re.Pattern[str]


class RouteTable:
    """The routes of an application; every one has a policy."""

    def __init__(self, app: FastAPI):
        self.entries = [_build_entry(context) for context in iter_route_contexts(app.routes)]

    def find(self, method: str, path: str) -> RouteEntry:
        """Return the route of a request; APIError 404 names the nearest one, 405 the methods that are allowed."""
        entries = [entry for entry in self.entries if entry.pattern.match(path)]
        for entry in entries:
            if method in entry.methods:
                return entry
        if entries:
            allowed = ", ".join(sorted(frozenset().union(*(entry.methods for entry in entries))))
            raise APIError("server.wrong_method", headers={"allow": allowed}, method=method[:20], allowed=allowed)
        shown = path[:_MAX_PATH_CHARS]
        known = find_nearest(shown, {entry.path for entry in self.entries})
        if known is None:
            raise APIError("server.unknown_route", path=shown)
        raise APIError("server.unknown_route_nearest", path=shown, nearest=known)


def _build_entry(context: Any) -> RouteEntry:
    is_mount = isinstance(context.original_route, Mount)
    endpoint: Callable[..., Any] = context.original_route.app if is_mount else context.endpoint
    policy = getattr(endpoint, "policy", None)
    assert isinstance(policy, Policy), f"{context.path} has no policy: add @require_scope(...) to its endpoint"
    pattern, _, _ = compile_path(f"{context.path}/{{rest:path}}" if is_mount else context.path)
    methods = context.methods or getattr(endpoint, "methods", ("GET", "POST", "DELETE"))
    return RouteEntry(context.path, frozenset(methods), policy, pattern)
