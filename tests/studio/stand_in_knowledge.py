"""The stand-in's answers about documents: knowledge, the job that reads it, and what an answer was given from."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom.server.studio.shapes import conversations as shapes
from genloom.server.studio.shapes.jobs import Job, Progress
from tests.studio.stand_in_world import World, dump, make_page

AT = "2026-11-30T12:00:00+00:00"
PASSAGE = "The lighthouse of Norden was built in 1874 and is 42 metres tall. Its lamp turns once in nine seconds."
REPLY = "The **lighthouse** of Norden was built in 1874. It is made of cheese."


def make_knowledge(name: str, files: int = 3) -> shapes.Knowledge:
    return shapes.Knowledge(name=name, files=files, passages=12 * files, bytes=40_000, changed=AT, can_grow=True)


def make_context(name: str) -> shapes.Context:
    """Return what the answer `REPLY` was given from: its first sentence is supported."""
    quote = "The lighthouse of Norden was built in 1874 and is 42 metres tall."
    return shapes.Context(
        knowledge=shapes.KnowledgeContext(
            name=name,
            is_supported=True,
            quotes=[shapes.Quote(text=quote, source=1)],
            sources=[
                shapes.Source(number=1, title=f"{name}/handbook.pdf, page 3 · Lighthouse", text=PASSAGE, is_read=True),
                shapes.Source(
                    number=2, title=f"{name}/ferry.md, line 4", text="The ferry leaves at seven.", is_read=True
                ),
            ],
            sentences=[
                shapes.Sentence(text="The **lighthouse** of Norden was built in 1874.", source=1, quote=quote),
                shapes.Sentence(text="It is made of cheese.", reason="words"),
            ],
        ),
        attachments=[shapes.Excerpt(name="letter.txt", tokens=300, of=1200)],
    )


class Documents:
    """What these pages show; a test changes it."""

    def __init__(self, world: World, *names: str) -> None:
        self.world, self.rows = world, [make_knowledge(name) for name in names]
        self.removed: list[shapes.Knowledge] = []
        world.answers.append(self.answer)
        world.reply = lambda _: REPLY
        world.find_context = lambda conversation: (
            make_context(conversation.knowledge) if conversation.knowledge else None
        )

    def read(self, params: dict[str, Any]) -> Job:
        """End a job that reads documents at once."""
        self.rows = [row for row in self.rows if row.name != params["name"]] + [make_knowledge(params["name"], 1)]
        result = {"knowledge": params["name"], "files": 1, "passages": 12, "notes": []}
        facts = {"kind": "knowledge", "title": "Read", "state": "succeeded", "owner": "local", "created": AT}
        id = f"2026-11-30-k{len(self.world.jobs):05d}"
        job = Job.model_validate({**facts, "id": id, "params": params, "progress": Progress(), "result": result})
        self.world.jobs[job.id] = job
        return job

    async def answer(self, request: Request, method: str, parts: list[str], body: Any) -> Response | None:
        match method, parts:
            case "POST", ["jobs"] if body["kind"] == "knowledge":
                return JSONResponse(dump(self.read(body["params"])), 202)
            case "GET", ["knowledge"]:
                return JSONResponse(make_page(self.rows))
            case "DELETE", ["knowledge", name]:
                self.removed = [row for row in self.rows if row.name == name]
                self.rows = [row for row in self.rows if row.name != name]
                return JSONResponse({"id": name, "kind": "knowledge", "name": name, "bytes": 1, "removed": AT})
            case "POST", ["knowledge", _, "restore"]:
                self.rows += self.removed
                return JSONResponse({})
        return None
