"""The pages of the studio: the files of genloom/studio, which are public."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

import genloom
from genloom.server.access import Policy, require_scope

FOLDER = Path(genloom.__file__).parent / "studio"


class Pages(StaticFiles):
    """The files, which a browser keeps but asks for again, so that an upgrade shows at once."""

    policy = Policy(None)
    methods = ("GET", "HEAD")

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


def build_router() -> APIRouter:
    """Return the routes: index.html at `/`, and all files under `/studio`."""
    router, pages = APIRouter(), Pages(directory=FOLDER)

    @require_scope(None)
    async def show_index(request: Request) -> Response:
        return await pages.get_response("index.html", request.scope)

    router.add_route("/", show_index, include_in_schema=False)
    router.mount("/studio", pages)
    return router
