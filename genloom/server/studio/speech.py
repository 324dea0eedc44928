"""`/api/voices`: who can speak. Speech is made by /v1/audio/speech, and written down by /v1/audio/transcriptions."""

from typing import Any

from fastapi import APIRouter

from genloom.api.voices import list_own_voices, list_pretrained_voices
from genloom.server.access import require_scope
from genloom.server.studio.services import CurrentWorkspace
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.speech import Voice

router = APIRouter()


@router.get("/api/voices", response_model=Page[Voice])
@require_scope("read")
def list_voices(workspace: CurrentWorkspace) -> Any:
    """List the voices: first those that were trained here, then those of pretrained models."""
    own = [{"name": name, "model": name, "note": "", "is_own": True} for name in list_own_voices(workspace)]
    others = [
        {"name": voice, "model": model, "note": note, "is_own": False}
        for model, voices in list_pretrained_voices(workspace).items()
        for voice, note in voices.items()
    ]
    return Page[Any](data=[*own, *others])
