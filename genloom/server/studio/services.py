"""Parts that the studio's routes share: the services of the running server, and pages of lists."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request

from genloom.api.workspace import Workspace
from genloom.server.jobs.jobs import Jobs
from genloom.server.studio.shapes.shape import Page

T = TypeVar("T")
Row = TypeVar("Row")

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str, Query(max_length=200)]
Words = Annotated[str, Query(max_length=1000)]
Name = Annotated[str, Query(max_length=200)]


def get_jobs(request: Request) -> Jobs:
    return request.app.state.jobs


def get_workspace(request: Request) -> Workspace:
    return request.app.state.workspace


CurrentJobs = Annotated[Jobs, Depends(get_jobs)]
CurrentWorkspace = Annotated[Workspace, Depends(get_workspace)]


def build_page(rows: Sequence[Row], limit: int, build: Callable[[Row], T], get_cursor: Callable[[Row], str]) -> Page[T]:
    """Return a page of at most `limit` rows; one more was asked for, to know whether there are more."""
    shown = rows[:limit]
    has_more = len(rows) > limit
    return Page[Any](
        data=[build(row) for row in shown], has_more=has_more, next=get_cursor(shown[-1]) if has_more else None
    )
