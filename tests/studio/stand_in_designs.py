"""The stand-in's answers about designs: goals that are read, and a job that ends at once."""

import base64
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom.server.studio.shapes import designs as shapes
from genloom.server.studio.shapes.jobs import Job, Progress
from tests.studio.stand_in_data import draw_picture
from tests.studio.stand_in_world import World, dump, make_page

AT = "2026-11-30T12:00:00+00:00"
DOCUMENT = 'title = "Bridge"\n'


def make_goals(words: str) -> shapes.DesignGoals:
    picture = base64.b64encode(draw_picture("goals", 64)).decode()
    meanings = [shapes.Meaning(words="bridge", meaning="a deck on two feet")] if words else []
    limits = [shapes.LimitOfGoals(name="material", value="at most 30 % of the domain")]
    return shapes.DesignGoals(
        document=DOCUMENT,
        title="Bridge",
        size=[200.0, 80.0],
        elements=[100, 40],
        state="plane stress",
        understood=meanings,
        limits=limits,
        picture=f"data:image/png;base64,{picture}",
    )


class Designs:
    """What the page shows; a test changes it."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.answers.append(self.answer)

    def make(self, params: dict[str, Any]) -> Job:
        """End a job with as many designs as are asked for, of which the last misses its goals."""
        designs = [
            {
                "name": f"design-{n}",
                "files": [f"design-{n}.{suffix}" for suffix in ("toml", "png", "stl")],
                "origin": "Topology optimization",
                "facts": {"mass, g": 38.9, "stress, MPa": 47.1, "holes": 3},
                "faults": ["The stress is 130 MPa, above 120 MPa."] if n == params["count"] > 1 else [],
                "distance": 0.22,
            }
            for n in range(1, params["count"] + 1)
        ]
        facts = {"kind": "design", "title": "Design parts", "state": "succeeded", "owner": "local", "created": AT}
        id = f"2026-11-30-d{len(self.world.jobs):05d}"
        result = {"title": "Bridge", "designs": designs}
        job = Job.model_validate({**facts, "id": id, "params": params, "progress": Progress(), "result": result})
        self.world.jobs[job.id] = job
        return job

    async def answer(self, request: Request, method: str, parts: list[str], body: Any) -> Response | None:
        match method, parts:
            case "GET", ["designs", "examples"]:
                return JSONResponse(make_page([dump(shapes.DesignExample(name="bridge", title="Bridge"))]))
            case "POST", ["designs", "goals"]:
                return JSONResponse(dump(make_goals(body.get("words", ""))))
            case "GET", ["designs", id, "files", name] if id in self.world.jobs and name.endswith(".png"):
                return Response(draw_picture(name, 64), media_type="image/png")
            case "DELETE", ["designs", id]:
                job = self.world.jobs[id]
                emptied = [{**each, "files": []} for each in (job.result or {})["designs"]]
                job.result = {**(job.result or {}), "designs": emptied}
                return JSONResponse(dump(job))
            case "POST", ["jobs"] if body["kind"] == "design":
                return JSONResponse(dump(self.make(body["params"])), 202)
        return None
