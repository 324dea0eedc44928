"""A stand-in for the server: the studio's pages over made-up models, outputs and conversations, in the real shapes.

It answers at sizes and speeds that a test wants (100,000 outputs, 1,000 tokens a second) without a model.
`python -m tests.studio.stand_in` serves it to look at.
"""

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import uvicorn
from PIL import Image, UnidentifiedImageError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from genloom.server.answer import CONTENT_SECURITY_POLICY
from genloom.server.studio.shapes.conversations import ConversationDetail, Imported, Turn
from genloom.server.studio.shapes.models import Additions, ModelDetail, Preset
from genloom.server.studio.shapes.outputs import Facets, Output, OutputDetail, Preference, Rating, Setting
from genloom.server.studio.shapes.session import Session, User
from genloom.server.studio.shapes.system import Hit
from tests.studio.stand_in_data import (
    MODELS,
    PROMPTS,
    draw_picture,
    make_models,
    make_options,
)
from tests.studio.stand_in_files import read_file
from tests.studio.stand_in_trust import make_line
from tests.studio.stand_in_world import World, dump, make_page, pass_gate, start_job


def build_app(world: World) -> Starlette:
    """Return the application; its routes are named as those of the server."""

    def refuse(status: int, code: str, message: str) -> JSONResponse:
        return JSONResponse(
            {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}, status
        )

    sorted_outputs: list[Output] = []

    def filter_outputs(query: Any) -> list[Output]:
        if len(sorted_outputs) != len(world.outputs):
            sorted_outputs[:] = sorted(world.outputs.values(), key=lambda row: row.created, reverse=True)
        rows = sorted_outputs
        words = query.get("q", "").lower().split()
        wants_removed = query.get("deleted") in ("true", "1", "only")
        found = []
        for row in rows:
            if bool(row.removed) is not wants_removed:
                continue
            if any(word not in f"{row.prompt} {row.text or ''}".lower() for word in words):
                continue
            if query.get("medium") and row.medium != query["medium"]:
                continue
            if query.get("model") and (row.model or "").split("/")[0] != query["model"] and row.model != query["model"]:
                continue
            if query.get("starred") in ("true", "1") and not row.is_starred:
                continue
            if query.get("tag") and query["tag"] not in row.tags:
                continue
            rating = query.get("rating")
            if (rating == "up" and not (row.rating and row.rating.up)) or (
                rating == "down" and not (row.rating and row.rating.up is False)
            ):
                continue
            if rating == "none" and row.rating:
                continue
            found.append(row)
        return found

    async def answer(request: Request) -> Response:
        path, method, query = request.path_params["path"], request.method, request.query_params
        body: Any = {}
        if method not in {"GET", "DELETE"} and request.headers.get("content-type", "").startswith("application/json"):
            body = json.loads(await request.body() or b"{}")
        world.requests.append((method, path, body or dict(query)))
        if path in world.fault:
            status, error = world.fault[path]
            return JSONResponse({"error": error}, status)
        if path == "login" and method == "GET":
            return JSONResponse({"provider": world.provider})
        if path == "login/provider":
            return JSONResponse({"url": world.provider_address})
        if path == "login":
            world.is_signed_in = "good" in (body.get("token"), body.get("password"), body.get("code"))
            return (
                JSONResponse({})
                if world.is_signed_in
                else refuse(401, "wrong_password", "The name or the password is wrong.")
            )
        if not world.is_signed_in:
            return refuse(401, "not_signed_in", "Sign in first.")
        parts = path.split("/")
        for each in world.answers:
            if (found := await each(request, method, parts, body)) is not None:
                return found
        match method, parts:
            case "GET", ["session"]:
                return JSONResponse(
                    dump(
                        Session(
                            user=User(name="ada", is_local=True),
                            scopes=["generate", "read", "rate", "train", "admin"],
                            version="0.7.0",
                            address="http://127.0.0.1:7860",
                            workspace="genloom-workspace",
                            is_empty=not world.outputs,
                            snippets=[],
                        )
                    )
                )
            case "GET", ["models"]:
                return JSONResponse(make_page(make_models()))
            case "GET", ["models", name, _]:
                model = next(each for each in make_models() if each.name == name)
                return JSONResponse(
                    dump(ModelDetail(**dump(model), card={}, card_text="", prompts=PROMPTS[model.medium]))
                )
            case "GET", ["models", name, _, "options"]:
                return JSONResponse(make_page(make_options(dict(MODELS)[name])))
            case "GET", ["models", name, _, "additions"]:
                presets = [Preset(name="watercolour", help="As a watercolour.")] if name == "icons" else []
                return JSONResponse(dump(Additions(presets=presets, adapters=[])))
            case "POST", ["outputs", _, "prefer"]:
                return JSONResponse(dump(Preference(event="e1", at=world.now())))
            case "GET", ["jobs"]:
                rows = [job for job in world.jobs.values() if not query.get("state") or job.state == query["state"]]
                return JSONResponse(make_page(rows[::-1]))
            case "GET", ["queue"]:
                return JSONResponse({"paused": False, "running": 0, "queued": 0})
            case "POST", ["jobs"]:
                return JSONResponse(dump(start_job(world, body["kind"], body["params"])), 202)
            case "GET", ["jobs", id] if id in world.jobs:
                return JSONResponse(dump(world.jobs[id]))
            case "POST", ["jobs", id, "cancel"] if id in world.jobs:
                world.tasks[id].cancel()
                with suppress(asyncio.CancelledError):
                    await world.tasks[id]
                return JSONResponse(dump(world.jobs[id]))
            case "GET", ["outputs"]:
                rows = filter_outputs(query)
                start = query.get("offset") or query.get("cursor")
                light = [
                    row.model_copy(update={"text": row.text[:300], "is_cut": len(row.text) > 300} if row.text else {})
                    for row in rows[int(start or 0) : int(start or 0) + int(query.get("limit", 100))]
                ]
                page = make_page(rows, start, int(query.get("limit", 100)))
                return JSONResponse({**page, "data": [dump(row) for row in light]})
            case "GET", ["outputs", "facets"]:
                live = [row for row in world.outputs.values() if not row.removed]
                facets = Facets(
                    models=Counter((row.model or "").split("/")[0] for row in live),
                    versions=Counter(row.model or "" for row in live),
                    media=Counter(row.medium for row in live),
                    tags=Counter(tag for row in live for tag in row.tags),
                )
                return JSONResponse(dump(facets))
            case "POST", ["outputs", ("remove" | "restore") as act]:
                for id in body["ids"]:
                    world.outputs[id].removed = world.now() if act == "remove" else None
                return JSONResponse(make_page([]))
            case "GET", ["outputs", id] if id in world.outputs:
                row = world.outputs[id]
                ids = [each.id for each in filter_outputs({})]
                at = ids.index(id) if id in ids else 0
                again = {
                    "model": row.model,
                    "prompt": row.prompt,
                    "n": 1,
                    "seed": row.seed,
                    "params": {"temperature": 0.8} if row.medium == "text" else {"steps": 20, "guidance_scale": 4.5},
                }
                settings = [Setting(name="temperature", value=0.8), Setting(name="seed", value=row.seed)]
                detail = {
                    **dump(row),
                    "text": row.text and row.text[:1_000_000],
                    "is_cut": len(row.text or "") > 1_000_000,
                    "settings": settings,
                    "again": world.again.get(id, again),
                    "formats": {"image": [".png", ".jpg"], "music": [".mid", ".wav"], "text": [".txt"]}[row.medium],
                    "sha256": "ab" * 32,
                    "next": ids[at + 1] if at + 1 < len(ids) else None,
                    "previous": ids[at - 1] if at else None,
                }
                return JSONResponse(dump(OutputDetail.model_validate(detail)))
            case "GET", ["outputs", id, "thumbnail" | "file"]:
                row = world.outputs[id]
                if row.medium == "text":
                    return Response(
                        row.text or "", media_type="text/plain", headers={"x-content-type-options": "nosniff"}
                    )
                return Response(draw_picture(id), media_type="image/png", headers={"cache-control": "max-age=86400"})
            case "GET", ["outputs", _, "sound"]:
                import wave

                data = io.BytesIO()
                with wave.open(data, "wb") as sound:
                    sound.setparams((1, 1, 8000, 0, "NONE", ""))
                    sound.writeframes(bytes([128]) * 8000 * 120)  # two minutes: it plays for as long as a test looks
                return Response(data.getvalue(), media_type="audio/wav")
            case "POST", ["outputs", id, "rating"]:
                world.outputs[id].rating = Rating(
                    up=body.get("up"), stars=body.get("stars"), note=body.get("note", ""), event="e", at=world.now()
                )
                world.emit("rating.created", {"output": id, "event": "e"})
                return JSONResponse(dump(world.outputs[id].rating))
            case "DELETE", ["outputs", id, "rating"]:
                world.outputs[id].rating = None
                return JSONResponse({})
            case "PATCH", ["outputs", id]:
                for key, value in body.items():
                    setattr(world.outputs[id], key, value)
                return JSONResponse(dump(world.outputs[id]))
            case "DELETE", ["outputs", id]:
                world.outputs[id].removed = world.now()
                return JSONResponse({"id": id, "kind": "output", "name": id, "bytes": 1, "removed": world.now()})
            case "POST", ["outputs", id, "restore"]:
                world.outputs[id].removed = None
                return JSONResponse(dump(world.outputs[id]))
            case "POST", ["uploads"]:
                id = f"u{world.count}"
                async with request.form() as form:
                    files: list[Any] = form.getlist("files")
                    name = files[0].filename
                    with suppress(UnidentifiedImageError):
                        world.uploads[id] = Image.open(io.BytesIO(await files[0].read()))
                upload = {"id": id, "created": world.now(), "files": 1, "bytes": 1, "names": [name]}
                return JSONResponse(upload, 201)
            case "GET", ["outputs", id, "provenance"]:
                return JSONResponse(dump(make_line(id)))
            case "GET", ["search"]:
                hits = [
                    Hit(
                        kind="output",
                        id=row.id,
                        title=row.prompt,
                        at=row.created,
                        medium=row.medium,
                        thumbnail=row.thumbnail,
                    )
                    for row in filter_outputs(query)[:12]
                ]
                return JSONResponse(make_page(hits))
            case (("GET" | "POST" | "PATCH" | "DELETE"), ["conversations", *rest]):
                return await answer_conversations(request, rest, body)
        return refuse(404, "not_found", f"There is no {method} /api/{path}.")

    async def answer_conversations(request: Request, rest: list[str], body: Any) -> Response:
        known = world.conversations
        match request.method, rest:
            case "GET", []:
                words, folder = request.query_params.get("q", "").lower(), request.query_params.get("folder")
                rows = [
                    each
                    for each in known.values()
                    if not each.removed
                    and (folder is None or each.folder == folder)
                    and (words in each.title.lower() or any(words in turn.content.lower() for turn in each.tree))
                ]
                return JSONResponse(
                    make_page(
                        [
                            {**dump(each), "tree": []}
                            for each in sorted(rows, key=lambda each: each.changed, reverse=True)
                        ]
                    )
                )
            case "POST", []:
                id = f"2026-11-30-c{len(known):04d}"
                known[id] = ConversationDetail(
                    id=id,
                    title=body.get("title", ""),
                    model=body.get("model"),
                    system=body.get("system", ""),
                    created=world.now(),
                    changed=world.now(),
                    turns=0,
                    folder=body.get("folder", ""),
                    knowledge=body.get("knowledge", ""),
                )
                return JSONResponse(dump(known[id]), 201)
            case "POST", ["import"]:
                return JSONResponse(dump(Imported(conversations=[])))
            case "POST", [id, "turns", _, "prefer"] if id in known:
                return JSONResponse(dump(known[id]))
            case "GET", [id] if id in known:
                return JSONResponse(dump(known[id]))
            case "PATCH", [id] if id in known:
                known[id] = known[id].model_copy(
                    update={key: value for key, value in body.items() if value is not None}
                )
                world.emit("conversation.changed", {"id": id})
                return JSONResponse(dump(known[id]))
            case "DELETE", [id] if id in known:
                known[id].removed = world.now()
                return JSONResponse(
                    {"id": id, "kind": "conversation", "name": known[id].title, "bytes": 1, "removed": world.now()}
                )
            case "POST", [id, "restore"] if id in known:
                known[id].removed = None
                return JSONResponse(dump(known[id]))
            case "POST", [id, "turns"] if id in known:
                tree = known[id].tree
                if body.get("content") is None:
                    question = next(turn for turn in tree if turn.id == body["parent"])
                else:
                    question = Turn(
                        id=f"turn{world.count}",
                        parent=body.get("parent"),
                        role="user",
                        content=body["content"],
                        created=world.now(),
                    )
                    tree.append(question)
                    known[id].title = known[id].title or body["content"][:50]
                known[id].leaf, known[id].changed, known[id].turns = question.id, world.now(), len(tree)
                job = start_job(
                    world,
                    "chat",
                    {
                        "model": body.get("model") or known[id].model,
                        "prompt": question.content,
                        "conversation": id,
                        "question": question.id,
                        "params": body.get("params", {}),
                    },
                )
                return JSONResponse({"question": dump(question), "job": dump(job)}, 202)
        return refuse(404, "not_found", "There is no such conversation.")

    async def stream_events(request: Request) -> Response:
        if not world.is_signed_in:
            return refuse(401, "not_signed_in", "Sign in first.")
        if world.breaks_events:
            return refuse(503, "stopping", "The server stops.")
        await pass_gate(lambda: world.holds_events)
        after = int(request.query_params.get("after", len(world.events)))

        async def send() -> AsyncIterator[str]:
            nonlocal after
            flag = asyncio.Event()
            world.waiting.add(flag)
            try:
                yield ": hello\n\n"
                while not world.breaks_events:
                    for event in world.events[after:]:
                        yield f"id: {event['id']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"
                    after = len(world.events)
                    flag.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(flag.wait(), 1)
            finally:
                world.waiting.discard(flag)

        return StreamingResponse(send(), media_type="text/event-stream")

    async def index(_: Request) -> Response:
        return read_file("index.html") or refuse(404, "not_found", "There is no such page.")

    async def send_file(request: Request) -> Response:
        return read_file(request.path_params["path"]) or refuse(404, "not_found", "There is no such file.")

    class Headers:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def send_with_policy(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [
                        *message["headers"],
                        (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
                    ]
                await send(message)

            await self.app(scope, receive, send_with_policy)

    routes = [
        Route("/", index),
        Route("/api/events", stream_events),
        Route("/api/{path:path}", answer, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        Route("/studio/{path:path}", send_file),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Headers)])


if __name__ == "__main__":
    uvicorn.run(build_app(World()), port=7861)
