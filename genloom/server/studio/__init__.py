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
        outputs,
        search,
        system,
        teach,
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
        models,
        datasets,
        arena,
        teach,
        conversations,
        search,
    ):
        router.include_router(module.router)
    return router
