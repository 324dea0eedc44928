"""Addresses whose models are not there: moderation; and the refusal of models that do something else."""

from typing import Any

from fastapi import APIRouter
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.access import Body, require_scope
from genloom.server.errors import APIError
from genloom.server.multipart import PartBegin, iter_parts
from genloom.server.openai.generating import OTHER_ROUTE, ROUTES, build_model_error, find_medium, resolve_model

router = APIRouter()
_MAX_NAME_BYTES = 1000


async def read_model_name(request: Request, is_form: bool) -> str:
    """Return the model that a request names; "" if it names none."""
    if not is_form:
        content = await request.body()
        table = from_json(content) if content else None
        name = table.get("model") if isinstance(table, dict) else None
        return name if isinstance(name, str) else ""
    field, value = "", b""
    async for event in iter_parts(request):
        if isinstance(event, PartBegin):
            field = event.name
        elif isinstance(event, bytes) and field == "model" and len(value) < _MAX_NAME_BYTES:
            value += event
    return value.decode("utf-8", "replace")


def build_refusal(workspace: Workspace, name: str) -> APIError:
    """Return the 404 for a model that is not there, or does something else, as clients expect it."""
    shared: dict[str, Any] = {"status": 404, "param": "model", "public_code": "model_not_found"}
    if not name:
        return APIError("server.no_model_for_route", **shared)
    try:
        medium = find_medium(workspace.model(name))
    except GenloomError:
        return build_model_error(workspace, name)
    route = ROUTES.get(medium, OTHER_ROUTE)
    return APIError("server.no_such_model_kind", **shared, model=name[:200], medium=medium, route=route)


def add_route(path: str, body: Body) -> None:
    """Add an address that answers 404: no model does this."""

    @router.post(path)
    @require_scope("generate", body=body)
    async def refuse_model(request: Request) -> None:
        """Answer 404: no model does this."""
        name = resolve_model(request, await read_model_name(request, body == "multipart"))
        raise await run_in_threadpool(build_refusal, request.app.state.workspace, name)


add_route("/v1/moderations", "json")
