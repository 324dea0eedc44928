"""Addresses whose models are not there: speech, transcription and moderation."""

from fastapi import APIRouter
from starlette.requests import Request

from genloom.server.access import require_scope
from genloom.server.openai.generating import build_model_error

router = APIRouter()


async def refuse(request: Request) -> None:
    """Answer that there is no such model, as clients expect it."""
    raise build_model_error(request.app.state.workspace, request.url.path.rsplit("/", 1)[-1])


for path, body in (
    ("/v1/audio/speech", "json"),
    ("/v1/audio/transcriptions", "multipart"),
    ("/v1/audio/translations", "multipart"),
    ("/v1/moderations", "json"),
):

    @router.post(path)
    @require_scope("generate", body=body)  # type: ignore[arg-type]
    async def refuse_model(request: Request) -> None:
        """Answer 404: no model does this."""
        await refuse(request)
