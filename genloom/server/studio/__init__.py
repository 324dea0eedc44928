"""`/api`: everything that the web studio needs, one file a resource."""

from fastapi import APIRouter


def build_router() -> APIRouter:
    """Return the routes of the studio."""
    from genloom.server.studio import (
        arena,
        conversations,
        datasets,
        events,
        forecasts,
        jobs,
        models,
        output_files,
        outputs,
        provenance,
        search,
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
        search,
        trust,
    ):
        router.include_router(module.router)
    return router
