"""The HTTP API of OpenAI, as its clients use it: one file for each group of addresses."""

from fastapi import APIRouter

from genloom.server.openai import (
    chat,
    completions,
    embeddings,
    files,
    fine_tuning,
    images,
    models,
    outputs,
    responses,
    speech,
    unavailable,
)


def build_router() -> APIRouter:
    """Return the routes under /v1."""
    router = APIRouter()
    asked = (models, chat, completions, responses, embeddings, images, speech)
    for module in (*asked, files, fine_tuning, outputs, unavailable):
        router.include_router(module.router)
    return router
