"""GET /v1/models: what can be asked for by name."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from genloom.api.models import Model
from genloom.errors import GenloomError
from genloom.server.access import require_scope
from genloom.server.openai.generating import build_model_error, find_medium, resolve_model

router = APIRouter()

TEXT_ENCODER = "minilm"  # embeds texts, and is no model of the workspace


@router.get("/v1/models")
@router.get("/models", include_in_schema=False)
@require_scope("read")
def list_models(request: Request) -> dict[str, Any]:
    """List the models by name, which means the active version, and every version."""
    workspace = request.app.state.workspace
    models = [*workspace.models, *workspace.built_in_models]
    active = {model.name: model for model in models if model.is_active}
    data = [describe_model(name, model) for name, model in active.items()]
    data += [describe_model(model.ref, model) for model in models]
    data.append({"id": TEXT_ENCODER, "object": "model", "created": 0, "owned_by": "genloom"})
    return build_list(data)


@router.get("/v1/models/{id:path}")
@require_scope("read")
def retrieve_model(request: Request, id: str) -> dict[str, Any]:
    """Return one model; a slash in its name may be written as %2F."""
    if id == TEXT_ENCODER:
        return {"id": id, "object": "model", "created": 0, "owned_by": "genloom"}
    workspace = request.app.state.workspace
    try:
        return describe_model(id, workspace.model(resolve_model(request, id)))
    except GenloomError:
        raise build_model_error(workspace, id, param="model") from None


@router.delete("/v1/models/{id:path}")
@require_scope("train")
def delete_model(request: Request, id: str) -> dict[str, Any]:
    """Move a version to the bin of the workspace, from which it can be restored."""
    workspace = request.app.state.workspace
    try:
        model = workspace.model(id)
    except GenloomError:
        raise build_model_error(workspace, id, param="model") from None
    workspace.remove("models", model.ref)
    return {"id": id, "object": "model", "deleted": True}


def describe_model(id: str, model: Model) -> dict[str, Any]:
    """Return a model as clients list it; `version` and `medium` are ours."""
    return {
        "id": id,
        "object": "model",
        "created": to_timestamp(str(model.card.get("created") or "")),
        "owned_by": "genloom",
        "version": model.ref,
        "medium": find_medium(model),
    }


def to_timestamp(moment: str) -> int:
    """Return a time of a record in seconds; 0 if it is unknown."""
    try:
        return int(datetime.fromisoformat(moment).timestamp())
    except ValueError:
        return 0


def build_list(data: list[dict[str, Any]], has_more: bool = False) -> dict[str, Any]:
    """Return a page of a list: clients ask for further pages until `has_more` is false."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "has_more": has_more, "first_id": first, "last_id": last}
