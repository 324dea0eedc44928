"""From a request to the engine and back: errors as clients know them, clients that leave, and streams of events."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from genloom.api.models import Model
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.engine import EngineEvent, Finished, GenerationRequest, Started, Stored, Text, TokenLogprob
from genloom.server.errors import APIError, annotate_error, build_bug_error, build_error_body
from genloom.server.studio.models import read_job_table

OUTPUT_HEADER = "x-genloom-output-id"
PING_SECONDS = 15.0  # of silence in a stream, after which a comment keeps the connection alive
CLOSED_REQUEST = 499  # the status in the log for a client that left

MEDIUM = "text"  # of the answers of all routes but those of images
# Where models of a medium are asked, by medium.
OTHER_ROUTE = 'POST /api/jobs with {"kind": "generate"}'
ROUTES = {
    "text": "POST /v1/chat/completions or /v1/completions",
    "image": "POST /v1/images/generations",
    "audio": f"POST /v1/audio/speech or {OTHER_ROUTE}",
}

Result = TypeVar("Result")

_UNKNOWN_MODEL_CODES = (
    "store.unknown_name",
    "store.unknown_name_near",
    "store.nothing_known",
    "store.no_such_version",
    "store.in_bin",
    "store.empty_name",
    "store.name_too_long",
    "store.bad_name_chars",
    "store.bad_name_ends",
    "store.bad_model_ref",
    "store.invalid_unicode_name",
    "api.not_imported",
)
_PARAMS = {  # the field of the request that an error is about
    "generate.bad_grammar": "response_format",
    "generate.grammar_too_long": "response_format",
    "generate.grammar_package_missing": "response_format",
    "generate.no_grammar_support": "response_format",
    "generate.bad_logit_bias": "logit_bias",
    "generate.cannot_chat": "model",
    "generate.cannot_chat_kind": "model",
    "generate.cannot_chat_template": "model",
    "server.no_logprobs": "logprobs",
    "server.no_embeddings": "model",
    "server.empty_input": "input",
}


def list_model_ids(workspace: Workspace) -> list[str]:
    """List what `model` may name: every model by its name, and every version."""
    folders = [*workspace.models, *workspace.built_in_models]
    return list(dict.fromkeys([model.name for model in folders] + [model.ref for model in folders]))


def resolve_model(request: Request, name: str) -> str:
    """Return the model that a name means: an alias of the configuration, or the name itself."""
    return getattr(request.app.state.config, "aliases", {}).get(name, name)


def build_model_error(workspace: Workspace, name: str, param: str | None = "model") -> APIError:
    """Return the 404 for a model that is not there, which lists those that are."""
    known = ", ".join(list_model_ids(workspace)[:20]) or "none"
    return APIError(
        "server.model_not_found", status=404, param=param, public_code="model_not_found", model=name[:200], known=known
    )


def find_medium(model: Model) -> str:
    """Return the medium of a model, which its job names."""
    return str(read_job_table(model).get("medium") or "text")


def find_other_medium(workspace: Workspace, name: str, medium: str) -> str | None:
    """Return the medium of a model if it is another one; None also for a name that the engine has to judge."""
    try:
        found = find_medium(workspace.model(name))
    except GenloomError:
        return None
    return None if found == medium else found


def check_text_model(workspace: Workspace, name: str) -> None:
    """Raise APIError if a model writes no text, with the route that it is for."""
    if (medium := find_other_medium(workspace, name, MEDIUM)) is not None:
        route = ROUTES.get(medium, OTHER_ROUTE)
        raise APIError("server.no_text_model", param="model", model=name, medium=medium, route=route)


def translate_error(workspace: Workspace, error: GenloomError, model: str, prompt_param: str) -> GenloomError:
    """Return an error of the engine with the field it is about, and the code that clients know."""
    if isinstance(error, APIError):
        return error
    if error.code in _UNKNOWN_MODEL_CODES:
        return build_model_error(workspace, model)
    if error.code == "generate.prompt_too_long":
        extra = {"n_prompt_tokens": error.fields["num_tokens"], "n_ctx": error.fields["context_length"]}
        return annotate_error(error, prompt_param, "context_length_exceeded", extra)
    if error.code == "trust.content_policy":
        return annotate_error(error, prompt_param, "content_policy")
    if error.code in _PARAMS:
        return annotate_error(error, _PARAMS[error.code])
    return error


@dataclass
class Choice:
    """An output as far as it is written."""

    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    stored: Stored | None = None


@dataclass
class Generation:
    """The events of a request that has started."""

    started: Started
    events: AsyncGenerator[EngineEvent]
    source: AsyncGenerator[EngineEvent]  # that `events` come from; closing it cancels the request
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def id(self) -> str:
        """The id of the answer: that of its first output in the ledger."""
        return self.started.output_ids[0]

    @property
    def headers(self) -> dict[str, str]:
        return {OUTPUT_HEADER: ",".join(self.started.output_ids)}

    async def close(self) -> None:
        """End the request if it is not done."""
        await self.events.aclose()
        await self.source.aclose()

    async def collect(self, choices: Mapping[int, Choice]) -> Finished:
        """Read all events into the choices, and return the last event."""
        async for event in self.events:
            match event:
                case Text():
                    choices[event.index].text += event.text
                    choices[event.index].logprobs += event.logprobs
                case Stored():
                    choices[event.index].stored = event
                case Finished():
                    return event
        raise AssertionError("the last event is Finished")


async def start_generation(
    request: Request,
    generation: GenerationRequest,
    prompt_param: str,
    check_model: Callable[[Workspace, str], None] = check_text_model,
) -> Generation:
    """Submit a request, and wait until it is known to be valid and has begun; cancel it if the client leaves before."""
    workspace = request.app.state.workspace
    await run_in_threadpool(check_model, workspace, generation.model)
    events = request.app.state.engine.submit(generation)
    try:
        started = await wait_unless_left(request, anext(events))
    except GenloomError as error:
        await events.aclose()
        raise translate_error(workspace, error, generation.model, prompt_param) from None
    except BaseException:
        await events.aclose()
        raise
    assert isinstance(started, Started)
    return Generation(started, _announce_outputs(request, started, generation.owner, events), events)


async def _announce_outputs(
    request: Request, started: Started, owner: str, events: AsyncGenerator[EngineEvent]
) -> AsyncGenerator[EngineEvent]:
    """Yield the events, and tell the studio of every output."""
    channel = getattr(request.app.state, "events", None)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Stored) and not event.is_withheld and hasattr(channel, "publish"):
                facts = {"id": event.output_id, "model": started.model, "medium": started.medium}
                channel.publish("output.created", facts, owner=owner)
            yield event


async def collect(request: Request, generation: Generation, count: int) -> tuple[list[Choice], Finished]:
    """Return all outputs; cancel the request if the client leaves."""
    choices = {index: Choice() for index in range(count)}
    try:
        finished = await wait_unless_left(request, generation.collect(choices))
    finally:
        await generation.close()
    return list(choices.values()), finished


class ClientLeft(APIError):
    """The client closed the connection; nobody reads this."""


async def wait_unless_left(request: Request, work: Awaitable[Result]) -> Result:
    """Return the result of some work; cancel it if the client closes the connection."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.create_task(wait_for_leaving(request.receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft("server.client_left", status=CLOSED_REQUEST)
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def wait_for_leaving(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def get_owner(request: Request) -> str:
    """Return who owns what this request makes, as records say it: "" is the person at the machine."""
    user = request.state.user
    return "" if user.is_local else user.id


def to_event_data(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


class EventStream(Response):
    """Server-sent events; a client that leaves ends their source at once, also while nothing is sent.

    An error in the source becomes an event `error`, and the stream ends as it should.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[str],
        generation: Generation,
        last: str = "data: [DONE]\n\n",
        describe_error: Callable[[GenloomError], str] | None = None,
    ):
        self.events, self.generation, self.last = events, generation, last
        self.status_code, self.background = 200, None
        self.describe_error = describe_error or (lambda error: f"data: {to_event_data(build_error_body(error))}\n\n")
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no", **generation.headers})
        del self.headers["content-length"]

    @property
    def body(self) -> bytes:  # type: ignore[override]
        return b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(wait_for_leaving(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending
            await self.generation.close()

    async def _send(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        sent_at = loop.time()

        async def write(text: str) -> None:
            nonlocal sent_at
            sent_at = loop.time()
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        async def keep_alive() -> None:
            while True:
                await asyncio.sleep(PING_SECONDS)
                if loop.time() - sent_at >= PING_SECONDS:
                    await write(": still here\n\n")

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        pinging = asyncio.create_task(keep_alive())
        try:
            async with aclosing(self._iter_events()) as events:
                async for text in events:
                    await write(text)
            await send({"type": "http.response.body", "body": self.last.encode(), "more_body": False})
        finally:
            pinging.cancel()

    async def _iter_events(self) -> AsyncGenerator[str]:
        """Yield the events, and an error of their source as the last."""
        try:
            async with aclosing(self.events) as events:
                async for text in events:
                    yield text
        except Exception as error:
            known = error if isinstance(error, GenloomError) else build_bug_error(error)
            yield self.describe_error(known)
