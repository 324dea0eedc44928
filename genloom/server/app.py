"""The application: the guard around the routes of the studio, of OpenAI's API and of the others, and the pages."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import genloom
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server import login, monitoring, openai, others, pages, studio
from genloom.server.config import OLLAMA_PORT, Config
from genloom.server.engine import Engine
from genloom.server.errors import APIError, build_bug_error, build_error_response, build_validation_error
from genloom.server.guard import Guard
from genloom.server.jobs.events import Events
from genloom.server.jobs.jobs import Jobs
from genloom.server.metrics import Metrics
from genloom.server.others import ollama
from genloom.server.routes import RouteTable
from genloom.server.sessions import open_access


def build_app(workspace: Workspace, config: Config) -> Guard:
    """Return the application of a server; its services start with its lifespan."""
    routers = [part.build_router() for part in (login, monitoring, studio, openai, others, pages)]
    return build_guarded_app(workspace, config, routers, _run_services)


def build_ollama_app(main: Guard) -> Guard:
    """Return the application that answers as Ollama does, on its own port, with the services of the main one.

    Programs that know only Ollama send no key, so those on this machine need none.
    """
    place = {"host": "127.0.0.1", "is_lan": False, "public_url": "", "port": OLLAMA_PORT}
    config = replace(main.config, **place, keyless_prefix="/api/")
    guard = build_guarded_app(main.app.state.workspace, config, [ollama.router], build_error=ollama.build_text_error)
    guard.app.state = main.app.state
    return guard


def build_guarded_app(
    workspace: Workspace,
    config: Config,
    routers: Iterable[APIRouter],
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    build_error: Callable[[GenloomError], Response] = build_error_response,
) -> Guard:
    """Return an application of these routers, behind the guard; its errors have the shape that clients read."""
    keys, sessions = open_access(workspace, config)
    metrics = Metrics()
    app = FastAPI(
        title="Genloom",
        version=genloom.__version__,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    state = {"workspace": workspace, "config": config, "keys": keys, "sessions": sessions, "metrics": metrics}
    for name, value in state.items():
        setattr(app.state, name, value)
    for router in routers:
        app.include_router(router)
    for kind in (GenloomError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, partial(_answer_error, build_error))
    return Guard(app, RouteTable(app), config, keys, sessions, metrics, build_error)


def build_engine(workspace: Workspace, config: Config) -> Engine:
    """Return the engine of a server: a process of this machine, or replicas on the cluster that is connected."""
    if not config.num_replicas:
        return Engine(workspace, config)
    from genloom.server.engine.replicas import ReplicatedEngine

    return ReplicatedEngine(workspace, config, config.num_replicas)


@asynccontextmanager
async def _run_services(app: FastAPI) -> AsyncGenerator[None]:
    """Start the channel of events, the engine and the jobs, and stop them in reverse order."""
    workspace, config = app.state.workspace, app.state.config
    async with AsyncExitStack() as stack:
        events = app.state.events = Events(workspace, config)
        engine = app.state.engine = build_engine(workspace, config)
        jobs = app.state.jobs = Jobs(workspace, config, events, engine)
        for service in (events, engine, jobs):
            await service.start()
            stack.push_async_callback(service.stop)
        await stack.enter_async_context(others.run_mcp(app))
        yield


async def _answer_error(
    build_error: Callable[[GenloomError], Response], request: Request, error: Exception
) -> Response:
    """Return the error object for whatever a route raised."""
    cause = error.__cause__
    if isinstance(error, HTTPException) and isinstance(cause, GenloomError):  # raised while the body was read
        error = cause
    if isinstance(error, RequestValidationError):
        error = build_validation_error(error)
    elif isinstance(error, HTTPException):
        error = APIError("server.refused", status=error.status_code, reason=error.detail)
    elif not isinstance(error, GenloomError):
        error = build_bug_error(error)
    return build_error(error)
