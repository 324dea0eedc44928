"""Facts about a server for other programs: `/healthz`, `/metrics` and `/openapi.json`."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse

from genloom.server.access import require_scope


def build_router() -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["monitoring"])

    @router.get("/healthz")
    @require_scope(None)
    async def report_health() -> dict[str, str]:
        """Answer as long as the server answers anything."""
        return {"status": "ok"}

    @router.get("/metrics", response_class=PlainTextResponse)
    @require_scope("read")
    async def export_metrics(request: Request) -> PlainTextResponse:
        """Return the counters in the format of Prometheus; give its scraper a key with the scope read."""
        return PlainTextResponse(request.app.state.metrics.export(), media_type="text/plain; version=0.0.4")

    @router.get("/openapi.json", include_in_schema=False)
    @require_scope(None)
    def describe_api(request: Request) -> dict[str, Any]:
        """Return the description of the whole API."""
        return request.app.openapi()

    return router
