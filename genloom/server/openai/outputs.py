"""Outputs by the id of their answer: their files, and their ratings, from which models learn."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from genloom.api.outputs import Output
from genloom.errors import GenloomError
from genloom.media.abilities import guess_mime
from genloom.server.access import build_unknown_id_error, require_scope
from genloom.server.files import build_file_response
from genloom.server.openai.models import to_timestamp
from genloom.server.openai.shapes import Shape
from genloom.server.signed_files import MANIFEST_TYPE, build_manifest, link_manifest, sign_stored

router = APIRouter()


class RatingRequest(Shape):
    """One of: a thumb, stars, or both; a note says why."""

    rating: Literal["up", "down"] | None = None
    stars: Annotated[int, Field(ge=1, le=5)] | None = None
    note: Annotated[str, Field(max_length=10_000)] = ""

    @model_validator(mode="after")
    def check_value(self) -> "RatingRequest":
        if self.rating is None and self.stars is None and not self.note:
            raise ValueError("give rating, stars or note")
        return self


def find_output(request: Request, id: str) -> Output:
    """Return an output of this user; APIError 404 for any other."""
    try:
        output = request.app.state.workspace.output(id) if id != "last" else None
    except GenloomError:
        output = None
    if output is None:
        raise build_unknown_id_error("output", id)
    request.state.user.check_owner(str(output.record.get("owner") or "local"), "output", id)
    return output


@router.get("/v1/outputs/{id}")
@require_scope("read")
def retrieve_output(request: Request, id: str) -> dict[str, Any]:
    """Return what an output was made of."""
    output = find_output(request, id)
    return {
        "id": output.id,
        "object": "output",
        "created_at": to_timestamp(str(output.record.get("created"))),
        "model": output.model,
        "medium": str(output.record.get("medium") or output.medium.kind),
        "prompt": output.prompt,
        "text": output.record.get("written"),
        "seed": output.nonce,
        "bytes": output.path.stat().st_size,
        "filename": output.path.name,
    }


@router.get("/v1/outputs/{id}/content")
@require_scope("read")
def download_output(request: Request, id: str) -> Response:
    """Return the file of an output."""
    output = find_output(request, id)
    response = build_file_response(sign_stored(output), guess_mime(output.medium), output.path.name)
    return link_manifest(response, output.path, str(request.url_for("download_manifest", id=id).path))


@router.get("/v1/outputs/{id}/manifest")
@require_scope("read")
def download_manifest(request: Request, id: str) -> Response:
    """Return the signed manifest of an output whose format holds none."""
    output = find_output(request, id)
    data = build_manifest(output.workspace, output.record, output.path)
    if data is None:
        raise build_unknown_id_error("manifest of output", id)
    return build_file_response(data, MANIFEST_TYPE, f"{output.path.name}.c2pa", is_download=True)


@router.post("/v1/outputs/{id}/rating")
@require_scope("rate")
def rate_output(request: Request, id: str, body: RatingRequest) -> dict[str, Any]:
    """Rate an output: any client becomes a seat of a rater."""
    output = find_output(request, id)
    is_up = None if body.rating is None else body.rating == "up"
    event = output.rate(up=is_up, stars=body.stars, note=body.note, rater=request.state.user.name)
    return {"id": event.id, "object": "output.rating", "output": output.id, "rater": request.state.user.name}
