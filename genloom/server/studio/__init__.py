"""`/api`: everything that the web studio needs, one file a resource."""

from fastapi import APIRouter


def build_router() -> APIRouter:
    """Return the routes of the studio."""
    from genloom.server.studio import (
        archives,
        arena,
        conversations,
        datasets,
        designs,
        events,
        forecasts,
        jobs,
        knowledge,
        models,
        output_files,
        outputs,
        prompts,
        provenance,
        search,
        speech,
        system,
        teach,
        trust,
        uploads,
    )

    router = APIRouter(tags=["studio"])
    for module in (
        system,
        events,
        jobs,
        uploads,
        forecasts,
        outputs,
        output_files,
        provenance,
        models,
        datasets,
        arena,
        teach,
        conversations,
        knowledge,
        prompts,
        designs,
        speech,
        search,
        trust,
        archives,
    ):
        router.include_router(module.router)
    return router
