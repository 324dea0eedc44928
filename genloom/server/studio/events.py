"""`GET /api/events`: what happens, as server-sent events or as a list."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from genloom.server.access import CurrentUser, User, require_scope
from genloom.server.jobs.events import Events
from genloom.server.streams import ClosedStream

router = APIRouter()
_RETRY_MILLISECONDS = 1000


@router.get("/api/events")
@require_scope("read", is_stream=True)
async def follow_events(
    request: Request,
    user: CurrentUser,
    after: Annotated[int | None, Query(ge=0, lt=2**53)] = None,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
    accept: Annotated[str, Header(max_length=1000)] = "text/event-stream",
) -> Response:
    """Send the events after a number, or from now on; a browser that connects again continues where it was."""
    events: Events = request.app.state.events
    if last_event_id.isascii() and last_event_id.isdigit():
        after = int(last_event_id)
    if after is None:
        after = events.last
    if "application/json" in accept:
        data = [event.to_json() for event in events.read(user, after, 1000)]
        return JSONResponse({"object": "list", "data": data, "has_more": len(data) == 1000, "next": None})
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return ClosedStream(write_events(events, user, after), "text/event-stream", headers)


async def write_events(events: Events, user: User, after: int) -> AsyncGenerator[str]:
    """Yield the events of a user after a number, and comments as signs of life."""
    yield f"retry: {_RETRY_MILLISECONDS}\nid: {after}\nevent: hello\ndata: {{}}\n\n"
    async with aclosing(events.follow(user, after)) as following:
        async for event in following:
            if event is None:
                yield ": heartbeat\n\n"
            else:
                yield f"id: {event.number}\nevent: {event.type}\ndata: {json.dumps(event.to_json())}\n\n"
