"""The stand-in's answers about the prompt library: the prompts of the package, in versions."""

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom.assistant.prompts.library import list_built_in_names, load_built_in
from genloom.assistant.prompts.prompt import Prompt, Variable
from genloom.assistant.prompts.template import parse_template
from genloom.server.prompts import describe_prompt
from genloom.server.studio.shapes import prompts as shapes
from genloom.server.studio.shapes.jobs import Job, Progress
from tests.studio.stand_in_world import World, dump, make_page

AT = "2026-11-30T12:00:00+00:00"


class PromptLibrary:
    """What the page shows; a test changes it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.versions: dict[str, list[Prompt]] = {name: [load_built_in(name)] for name in list_built_in_names()}
        self.removed: dict[str, list[Prompt]] = {}
        world.answers.append(self.answer)

    def show(self, name: str) -> shapes.PromptDetail:
        versions = self.versions[name]
        newest = versions[-1]
        history = [
            {"version": each.version, "created": AT, "owner": each.owner, "note": each.note, "up": 0, "down": 0}
            for each in versions[::-1]
        ]
        history[0] |= {"up": 3, "down": 1}
        texts = {"system": newest.system, "prompt": newest.prompt, "history": history}
        return shapes.PromptDetail.model_validate(describe_prompt(newest, len(versions)) | texts)

    def save(self, name: str, body: dict[str, Any]) -> shapes.PromptDetail:
        known = self.versions.setdefault(name, [])
        base = known[-1] if known else Prompt(prompt="x")
        texts = {key: body[key] for key in ("prompt", "system", "description") if body.get(key) is not None}
        found = {each: Variable() for each in parse_template(texts.get("prompt", base.prompt)).variables}
        facts = {"name": name, "version": base.version + 1, "owner": "ada", "note": body.get("note", "")}
        known.append(replace(base, **texts, variables=found | dict(base.variables), **facts))
        self.world.emit("prompt.changed", {"name": name})
        return self.show(name)

    def test(self, params: dict[str, Any]) -> Job:
        """End a job that answers the tests at once: the first passes."""
        tests = self.versions[params["prompt"].split("/")[0]][-1].tests
        failure = {"check": "contains", "reason": "The word Saturday is missing."}
        rows = [
            {"given": dict(each.given), "output": "o", "answer": "Subject: x", "failures": [failure] if n else []}
            for n, each in enumerate(tests)
        ]
        report = {"prompt": params["prompt"], "model": params["model"], "passed": 1, "tests": rows}
        facts = {"kind": "test_prompt", "title": "Test", "state": "succeeded", "owner": "local", "created": AT}
        id = f"2026-11-30-p{len(self.world.jobs):05d}"
        result = {"report": report}
        job = Job.model_validate({**facts, "id": id, "params": params, "progress": Progress(), "result": result})
        self.world.jobs[job.id] = job
        return job

    async def answer(self, request: Request, method: str, parts: list[str], body: Any) -> Response | None:
        match method, parts:
            case "GET", ["prompts"]:
                rows = [describe_prompt(each[-1], len(each)) for _, each in sorted(self.versions.items())]
                return JSONResponse(make_page([dump(shapes.Prompt.model_validate(row)) for row in rows]))
            case "GET", ["prompts", name] if name in self.versions:
                return JSONResponse(dump(self.show(name)))
            case "PUT", ["prompts", name]:
                return JSONResponse(dump(self.save(name, body)))
            case "DELETE", ["prompts", name]:
                self.removed[name] = self.versions[name]
                self.versions[name] = [each for each in self.versions[name] if each.version == 0]
                if not self.versions[name]:
                    del self.versions[name]
                self.world.emit("prompt.changed", {"name": name})
                return JSONResponse({"id": name, "kind": "prompts", "name": name, "bytes": 1, "removed": AT})
            case "POST", ["bin", name, "restore"] if name in self.removed:
                self.versions[name] = self.removed.pop(name)
                self.world.emit("prompt.changed", {"name": name})
                return JSONResponse({"id": name, "kind": "prompts", "name": name, "bytes": 1, "removed": AT})
            case "POST", ["jobs"] if body["kind"] == "test_prompt":
                return JSONResponse(dump(self.test(body["params"])), 202)
        return None
