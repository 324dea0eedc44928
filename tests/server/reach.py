"""A small application behind the guard, and how clients reach it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, UploadFile
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse
from starlette.testclient import TestClient

from genloom.server.access import SCOPES, CurrentUser, build_unknown_id_error, require_scope
from genloom.server.files import build_file_response
from genloom.server.guard import Guard

LAN_ADDRESS = "192.168.7.20"


class Thing(BaseModel):
    """A value with bounds, as routes take them."""

    name: str = Field(max_length=100)
    count: int = Field(1, ge=1, le=1000)
    share: float = Field(0.5, ge=0, le=1)


def build_toy_router(done: list[str]) -> APIRouter:
    """Routes of every kind; those that do something append to `done`."""
    router = APIRouter()
    things = {"a1": ("anna", "hers"), "b1": ("ben", "his"), "l1": ("local", "mine")}

    @router.get("/api/things/{id}")
    @require_scope("read")
    def show_thing(id: str, user: CurrentUser) -> dict[str, str]:
        if id not in things:
            raise build_unknown_id_error("thing", id)
        owner, text = things[id]
        user.check_owner(owner, "thing", id)
        return {"text": text}

    @router.post("/api/things")
    @require_scope("generate")
    def make_thing(thing: Thing) -> Thing:
        done.append(thing.name)
        return thing

    @router.delete("/api/things/{id}")
    @require_scope("train")
    def delete_thing(id: str, user: CurrentUser) -> dict[str, str]:
        show_thing(id, user)
        done.append(f"delete {id}")
        return {"id": id}

    @router.post("/api/upload")
    @require_scope("generate", body="multipart", max_bytes=100_000)
    async def upload(file: UploadFile) -> dict[str, int]:
        done.append(str(file.filename))
        return {"bytes": len(await file.read())}

    @router.get("/api/stream")
    @require_scope("read", is_stream=True)
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            await asyncio.sleep(600)

        return StreamingResponse(pieces(), media_type="text/event-stream")

    @router.get("/api/broken-stream")
    @require_scope("read")
    async def break_stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            raise RuntimeError("secret prompt")

        return StreamingResponse(pieces(), media_type="text/event-stream")

    @router.get("/api/flood")
    @require_scope("read")
    async def flood() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                done.append("piece")
                yield b"x" * 100_000

        return StreamingResponse(pieces(), media_type="text/plain")

    @router.get("/api/bug")
    @require_scope("read")
    def make_mistake(request: Request) -> None:
        raise RuntimeError(f"secret prompt in {Path.home()} {id(request):#x}")

    @router.get("/api/file/{kind}")
    @require_scope("read")
    def send_file(kind: str) -> Response:
        types = {"svg": "image/svg+xml", "html": "text/html", "xml": "text/xml", "pdf": "application/pdf"}
        types |= {"png": "image/png"}
        return build_file_response(b"<script>alert(1)</script>", types[kind], f"a.{kind}", is_report=kind == "report")

    @router.post("/v1/chat/completions")
    @require_scope("generate")
    def answer_chat(thing: Thing, user: CurrentUser) -> dict[str, Any]:
        done.append(f"chat {user.id}")
        return {"object": "chat.completion"}

    return router


@dataclass
class Reach:
    """A guarded application, as clients reach it."""

    guard: Guard
    base_url: str
    done: list[str]
    """What routes did."""

    def get_client(self, key: str = "", **headers: str) -> TestClient:
        """Return a client, with a key if one is given."""
        client = TestClient(self.guard, base_url=self.base_url, follow_redirects=False, headers=headers or None)
        if key:
            client.headers["authorization"] = f"Bearer {key}"
        return client

    def create_key(self, user: str = "local", scopes: Any = SCOPES, **options: Any) -> str:
        return self.guard.keys.create_key("test", user, scopes, **options)[1]

    def sign_in(self, user: str = "local", scopes: Any = SCOPES) -> TestClient:
        """Return a client with the cookie of a session, as a browser has it after the link."""
        client = self.get_client()
        token = self.guard.sessions.create_link(user, scopes)
        assert client.post("/api/login", json={"token": token}).status_code == 200
        return client
