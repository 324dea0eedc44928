"""An MCP server: assistants generate, rate and search outputs here, and read them as resources."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.transport_security import TransportSecuritySettings
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from genloom.api.outputs import Output
from genloom.errors import GenloomError
from genloom.media.abilities import guess_mime
from genloom.server.access import Policy, User, build_unknown_id_error
from genloom.server.engine import GenerationRequest, Stored
from genloom.server.openai.generating import translate_error
from genloom.server.signed_files import MANIFEST_TYPE, build_manifest, sign_stored

MAX_OUTPUTS, MAX_FOUND = 8, 50


class McpApp:
    """The ASGI application at /mcp; it answers once `run_mcp` has started it."""

    policy = Policy("generate", body="json")

    def __init__(self) -> None:
        self.handle: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.handle is None:
            raise build_unknown_id_error("address", "mcp")
        await self.handle(scope, receive, send)


def build_route() -> Route:
    return Route("/mcp", McpApp(), methods=["POST"], name="mcp", include_in_schema=False)


@asynccontextmanager
async def run_mcp(app: FastAPI) -> AsyncGenerator[None]:
    """Answer MCP while the block runs. Host and Origin are checked by the guard, and once more by the library."""
    config = app.state.config
    hosts = [name if ":" in name and not name.endswith("]") else f"{name}:*" for name in config.list_hosts()]
    origins = [*config.list_own_origins(), *config.origins]
    settings = TransportSecuritySettings(allowed_hosts=[*hosts, *config.list_hosts()], allowed_origins=origins)
    server = build_server(app)
    endpoints = (context.endpoint for context in iter_route_contexts(app.routes))
    mounted = next(endpoint for endpoint in endpoints if isinstance(endpoint, McpApp))
    handle = server.streamable_http_app(json_response=True, stateless_http=True, transport_security=settings)
    async with server.session_manager.run():
        mounted.handle = handle
        try:
            yield
        finally:
            mounted.handle = None


def build_server(app: FastAPI) -> MCPServer:
    """Return the server with its tools and resources."""
    server = MCPServer("genloom", instructions="Generate texts, pictures and tunes, rate them, and find earlier ones.")

    @server.tool()
    async def generate(
        context: Context, model: str, prompt: str = "", count: int = 1, seed: int | None = None
    ) -> list[dict[str, Any]]:
        """Generate outputs of a model; texts are returned, other outputs are resources by their ids."""
        user = get_user(context)
        user.check_scope("generate")
        request = GenerationRequest(
            model,
            prompts=(prompt,),
            n=max(1, min(count, MAX_OUTPUTS)),
            seed=seed,
            owner="" if user.is_local else user.id,
        )
        found = []
        try:
            async with aclosing(app.state.engine.submit(request)) as events:
                async for event in events:
                    if isinstance(event, Stored):
                        found.append(event.output_id)
        except GenloomError as error:
            raise translate_error(app.state.workspace, error, model, "prompt") from None
        return [describe_output(find_output(app, user, id)) for id in found]

    @server.tool()
    async def rate(context: Context, output: str, rating: Literal["up", "down"], note: str = "") -> dict[str, Any]:
        """Rate an output with a thumb; models learn from ratings."""
        user = get_user(context)
        user.check_scope("rate")
        found = find_output(app, user, output)
        event = await run_in_threadpool(found.rate, up=rating == "up", note=note, rater=user.name, is_machine=True)
        return {"rating": event.id, "output": found.id}

    @server.tool()
    async def search_outputs(
        context: Context, words: str = "", model: str = "", limit: int = 10
    ) -> list[dict[str, Any]]:
        """Find outputs by words of their prompts or texts, newest first."""
        user = get_user(context)
        user.check_scope("read")
        return await run_in_threadpool(find_matching_outputs, app, user, words, model, max(1, min(limit, MAX_FOUND)))

    @server.resource("output://{id}", mime_type="application/octet-stream")
    async def read_output(id: str, context: Context) -> bytes | str:
        """Read the file of an output."""
        user = get_user(context)
        user.check_scope("read")
        found = find_output(app, user, id)
        if found.record.get("written") is not None:
            return str(found.value)
        return await run_in_threadpool(lambda: sign_stored(found).read_bytes())

    @server.resource("manifest://{id}", mime_type=MANIFEST_TYPE)
    async def read_output_manifest(id: str, context: Context) -> bytes:
        """Read the signed manifest of an output whose format holds none."""
        user = get_user(context)
        user.check_scope("read")
        found = find_output(app, user, id)
        data = await run_in_threadpool(build_manifest, found.workspace, found.record, found.path)
        if data is None:
            raise build_unknown_id_error("manifest of output", id)
        return data

    return server


def get_user(context: Context) -> User:
    """Return whose key the request came with; the guard has checked it."""
    request: Any = context.request_context.request
    return request.state.user


def find_output(app: FastAPI, user: User, id: str) -> Output:
    """Return an output of this user; raise APIError for any other."""
    try:
        found = app.state.workspace.output(id) if id != "last" else None
    except GenloomError:
        found = None
    if found is None or not user.owns(str(found.record.get("owner") or "local")):
        raise build_unknown_id_error("output", id)
    return found


def describe_output(output: Output) -> dict[str, Any]:
    """Return what an assistant is told of an output."""
    table: dict[str, Any] = {"id": output.id, "model": output.model, "prompt": output.prompt}
    if output.record.get("written") is not None:
        return {**table, "text": output.continuation}
    return {**table, "mime": guess_mime(output.medium), "resource": f"output://{output.id}"}


def find_matching_outputs(app: FastAPI, user: User, words: str, model: str, limit: int) -> list[dict[str, Any]]:
    wanted, found = words.lower().split(), []
    for output in reversed(app.state.workspace.outputs):
        text = f"{output.prompt} {output.record.get('written') or ''}".lower()
        is_named = not model or model in (output.model, output.model.partition("/")[0])
        if is_named and all(word in text for word in wanted) and user.owns(str(output.record.get("owner") or "local")):
            found.append(describe_output(output))
            if len(found) == limit:
                break
    return found
