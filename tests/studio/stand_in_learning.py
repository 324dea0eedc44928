"""The stand-in's answers for the pages that teach, train and keep: pairs, rounds, data, runs, models, the machine."""

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom.server.studio.shapes import datasets, jobs, models, teaching
from genloom.server.studio.shapes.shape import Problem
from tests.studio.stand_in import World, dump, make_page
from tests.studio.stand_in_data import draw_picture
from tests.studio.stand_in_facts import (
    AT,
    TEACHABLE,
    describe_system,
    list_health,
    make_forecast,
    make_model,
    make_receipt,
)


@dataclass
class Learning:
    """What these pages show; a test changes it."""

    world: World
    answered: int = 0
    total: int = 6
    missing: int = 3
    fresh: int = 4  # ratings since the last round
    rounds: list[str] = field(default_factory=list)  # "promoted" or "kept", the newest first
    active: int = 1  # the version of shakespeare in use
    consents: list[dict[str, Any]] = field(default_factory=list)  # to the data
    can_chat: bool = False  # whether the versions of shakespeare do
    adapters: list[str] = field(default_factory=list)  # on shakespeare/1
    is_paused: bool = False
    level: str = "sound"  # of the text that a training is expected to write
    keys: list[dict[str, Any]] = field(default_factory=list)
    bin: list[dict[str, Any]] = field(default_factory=list)
    exports: list[dict[str, Any]] = field(default_factory=list)
    data_names: list[str] = field(default_factory=lambda: ["holiday", "shakespeare"])
    captions: dict[str, str] = field(default_factory=dict)  # that wait for a new version
    applied_captions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world.answers.append(self.answer)

    def list_models(self) -> list[models.Model]:
        data = models.ModelData(name="shakespeare", digest="54288823")
        versions = range(1, max(2, self.active, *(2 if each == "promoted" else 3 for each in self.rounds)) + 1)
        found = [
            make_model("icons/1", "built_in", "image", can=["generate", "edit", "teach", "tune"]),
            make_model("tunes/1", "built_in", "music"),
            *(
                make_model(
                    f"shakespeare/{n}",
                    "trained" if n == 1 else "taught",
                    parent=None if n == 1 else "shakespeare/1",
                    data=data,
                    is_active=n == self.active,
                    receipt=None if n == 1 else "promoted",
                    can=["generate", "chat", "teach", "tune"] if self.can_chat else TEACHABLE,
                )
                for n in versions
            ),
            *(make_model(ref, "tuned", parent="shakespeare/1", is_adapter=True) for ref in self.adapters),
        ]
        return [model for model in found if not any(each["name"] == model.ref for each in self.bin)]

    def make_pair(self, model: str, n: int) -> dict[str, Any]:
        sides = {}
        for side in "ab":
            url = f"/api/arena/{model}/pairs/{n}/{side}/shown"
            text = f"Answer {side} to prompt {n}. " * 6 if model == "shakespeare" else None
            mime = "text/plain" if text else "image/png"
            sound = "/api/outputs/x/sound" if model == "tunes" else None
            sides[side] = {"medium": "text", "mime": mime, "url": url, "text": text, "thumbnail": url, "sound": sound}
        return {"id": f"pair{n}", "prompt": f"prompt {n}", "position": n, "count": self.total, **sides}

    def count(self) -> dict[str, Any]:
        return {"answered": self.answered, "total": self.total, "missing": self.missing}

    def describe_teach(self, model: str) -> dict[str, Any]:
        done = 44 - self.missing
        ratings: dict[str, Any] = {
            "total": done,
            "pairs": done,
            "unpaired": 0,
            "train": max(0, done - 11),
            "held_out": min(11, done),
        }
        ratings |= {"min_train": 33, "min_held_out": 11, "missing": self.missing, "can_try": done >= 20}
        ratings |= {"contradictions": 1}
        ratings |= {
            "since_last_round": done if not self.rounds else self.fresh,
            "unused": [{"reason": "a tie", "count": 2}],
        }
        rounds = [make_receipt(each, each == "promoted") for each in self.rounds]
        return dump(
            teaching.Teach(
                model=model,
                medium="text",
                active=f"{model}/{self.active}",
                previous=f"{model}/1" if self.active > 1 else None,
                ratings=ratings,
                is_enough=self.missing == 0,
                shortfall="",
                rounds=[
                    teaching.Round(
                        receipt=each["id"],
                        at=AT,
                        champion=each["receipt"]["champion"],
                        challenger=each["receipt"]["challenger"],
                        outcome=each["outcome"],
                        headline="",
                        win=teaching.WinRate(rate=0.69, low=0.58, high=0.78, name=""),
                        method="dpo",
                        seconds=60,
                    )
                    for each in rounds
                ]
                if model == "shakespeare"
                else [],
            )
        )

    def describe_data(self, name: str) -> dict[str, Any]:
        medium, licences = ("image", {"unknown": 36, "CC-BY-4.0": 4}) if name == "holiday" else ("text", {"MIT": 40})
        return {
            "name": name,
            "digest": "aa11",
            "medium": medium,
            "created": AT,
            "documents": 40,
            "bytes": 5_000_000,
        } | {
            "licences": licences,
            "used_by": ["shakespeare/1"] if name == "shakespeare" else [],
        }

    def add_job(self, kind: str, params: dict[str, Any], state: str = "queued", **fields: Any) -> jobs.Job:
        queued = sum(job.state == "queued" for job in self.world.jobs.values())
        job = jobs.Job(
            id=f"2026-11-30-t{len(self.world.jobs):04d}",
            kind=kind,  # ty: ignore[invalid-argument-type]
            title=f"{kind.title()} {params.get('name') or params.get('data') or params.get('model') or ''}",
            state=state,  # ty: ignore[invalid-argument-type]
            owner="local",
            params=params,
            created=self.world.now(),
            position=queued + 1 if state == "queued" else None,
            can_cancel=state in ("queued", "running"),
            can_retry=state in ("failed", "cancelled"),
            **fields,
        )
        self.world.jobs[job.id] = job
        self.world.emit(f"job.{state}", {"job": dump(job)})
        return job

    def end_job(self, job: jobs.Job, **result: Any) -> None:
        job.state, job.result, job.position, job.can_cancel, job.finished = "succeeded", result, None, False, AT
        self.world.emit("job.succeeded", {"job": dump(job)})

    def fail_job(self, job: jobs.Job, message: str, code: str) -> None:
        job.error = Problem(message=message, code=code)
        job.state, job.can_cancel, job.can_retry, job.finished = "failed", False, True, AT
        self.world.emit("job.failed", {"job": dump(job)})

    async def answer(self, request: Request, method: str, parts: list[str], body: Any) -> Response | None:
        """Answer what these pages ask for; None for everything else."""
        query = request.query_params
        match method, parts:
            # Models
            case "GET", ["models"]:
                return JSONResponse(make_page(self.list_models()))
            case "GET", ["models", "family"]:
                return JSONResponse(dump(models.Family(**self.draw_family())))
            case "GET", ["models", name, version]:
                model = next(each for each in self.list_models() if each.ref == f"{name}/{version}")
                fields = {"export_formats": ["gguf"], "card_text": f"# {model.ref}", "card": {}, **self.draw_family()}
                return JSONResponse(dump(models.ModelDetail(**dump(model), **fields)))
            case "POST", ["models", name, version, "promote"]:
                self.active = int(version)
                return self.answer_active(name)
            case "POST", ["models", name, "rollback"]:
                self.active = 1
                return self.answer_active(name)
            case "DELETE", ["models", name, version]:
                return self.move_to_bin("models", f"{name}/{version}")
            # Pairs and rounds
            case "GET", ["arena", model]:
                made = range(self.answered + 1, min(self.answered + int(query["count"]), self.total) + 1)
                pairs = [self.make_pair(model, n) for n in made]
                state = {"can_undo": self.answered > 0, "suggested_prompts": ["a boat", "a lion"]}
                return JSONResponse(dump(teaching.Arena(pairs=pairs, **self.count(), **state)))
            case "POST", ["arena", model, "choices"]:
                self.answered += 1
                self.missing -= body["winner"] in ("a", "b") and self.missing > 0
                return JSONResponse({"event": "e", "reveal": None, **self.count()})
            case "POST", ["arena", model, "undo"]:
                self.answered, self.missing = self.answered - 1, self.missing + 1
                return JSONResponse({"pair": self.make_pair(model, self.answered + 1), **self.count()})
            case "GET", ["arena", _, "pairs", pair, side, _]:
                return Response(draw_picture(pair + side), media_type="image/png")
            case "GET", ["teach", model]:
                return JSONResponse(self.describe_teach(model))
            case "GET", ["receipts", id]:
                return JSONResponse(dump(teaching.Receipt(**make_receipt(id, id == "promoted"))))
            # Data
            case "GET", ["datasets"]:
                return JSONResponse(
                    make_page([datasets.Dataset(**self.describe_data(name)) for name in self.data_names])
                )
            case "GET", ["datasets", name] if name in self.data_names:
                splits = {"train": {"documents": 36, "bytes": 9}, "val": {"documents": 2, "bytes": 1}}
                facts: dict[str, Any] = {
                    "read": 52,
                    "kept": 40,
                    "removed": [{"reason": "exact copy", "count": 12}],
                    "splits": splits,
                }
                facts |= {
                    "notes": [{"source": "IMG_9.png", "reason": "it is damaged"}],
                    "can_edit_captions": name == "holiday",
                }
                facts["edited_captions"] = len(self.captions)
                facts |= {"persons": ["face"] if self.consents else [], "consents": self.consents}
                return JSONResponse(dump(datasets.DatasetDetail(**self.describe_data(name), **facts)))
            case "GET", ["datasets", name, "samples"]:
                return JSONResponse(make_page([self.make_sample(name, n) for n in range(3)]))
            case "GET", ["datasets", _, "samples", id, "file"]:
                return Response(draw_picture(id), media_type="image/png")
            case "PATCH", ["datasets", name, "samples", id]:
                self.captions[id] = body["caption"]
                return Response(status_code=204)
            case "POST", ["datasets", name, "captions"]:
                self.applied_captions |= self.captions
                self.captions.clear()
                return JSONResponse(self.describe_data(name))
            case "POST", ["datasets", _, "withdrawals"]:
                self.consents = [
                    each | ({"state": "withdrawn"} if each["who"] == body["who"] else {}) for each in self.consents
                ]
                return JSONResponse(make_page(self.consents))
            case "DELETE", ["datasets", name]:
                self.data_names.remove(name)
                return self.move_to_bin("datasets", name)
            case "POST", ["uploads", *_]:
                async with request.form() as form:
                    names = [getattr(each, "filename", "") for each in form.getlist("files")]
                return JSONResponse({"id": "up1", "created": AT, "files": len(names), "bytes": 9, "names": names}, 201)
            case "DELETE", ["uploads", _]:
                return JSONResponse({})
            # Jobs
            case "POST", ["forecast"]:
                return JSONResponse(make_forecast(body["kind"], body["params"], self.level))
            case "POST", ["jobs"] if body["kind"] in ("train", "learn", "collect", "arena"):
                return JSONResponse(dump(self.add_job(body["kind"], body["params"])), 202)
            case "GET", ["jobs", id, "log"]:
                points = [
                    jobs.LogPoint(step=n, losses={"loss": 3 / (1 + n)}, measured={"bits_per_byte": 2}) for n in range(9)
                ]
                log = jobs.JobLog(points=points, samples=[jobs.LogSample(step=4, text="the king")], notes=[], next=9)
                return JSONResponse(
                    dump(log if query.get("after") == "0" else jobs.JobLog(points=[], samples=[], notes=[], next=9))
                )
            case "POST", ["jobs", id, "move"]:
                self.move(id, body["before"])
                return JSONResponse(dump(self.world.jobs[id]))
            case "POST", ["jobs", id, "cancel"] if id not in self.world.tasks:
                job = self.world.jobs[id]
                job.state, job.can_resume, job.can_retry, job.can_cancel = "cancelled", True, True, False
                self.world.emit("job.cancelled", {"job": dump(job)})
                return JSONResponse(dump(job))
            case "POST", ["jobs", id, "retry"]:
                job = self.world.jobs[id]
                job.state, job.position = "queued", 1
                self.world.emit("job.queued", {"job": dump(job)})
                return JSONResponse(dump(job))
            case "GET", ["jobs"] if not query.get("state"):
                order = {"queued": 0, "running": 1}
                rows = sorted(self.world.jobs.values(), key=lambda job: (order.get(job.state, 2), job.position or 0))
                return JSONResponse(make_page(rows))
            case _, ["queue"]:
                self.is_paused = body.get("paused", self.is_paused) if method == "POST" else self.is_paused
                return JSONResponse({"paused": self.is_paused, "running": 0, "queued": 0})
            # The machine
            case "GET", ["system"]:
                return JSONResponse(describe_system(self.is_paused))
            case "GET", ["system", "health"]:
                return JSONResponse(make_page(list_health()))
            case "GET", ["system", "storage"]:
                items = [
                    {"kind": "models", "bytes": 60_000_000, "count": 3},
                    {"kind": "runs", "bytes": 9_000_000, "count": 2},
                ]
                disk = {"free": 120 * 10**9, "total": 512 * 10**9}
                return JSONResponse(
                    {"items": items, "bin": self.bin, "exports": self.exports, "export_days": 30, "disk": disk}
                )
            case "DELETE", ["jobs", id, "download"]:
                self.exports = [each for each in self.exports if each["id"] != id]
                return JSONResponse({"bytes": 12_000_000})
            case "POST", ["bin", "empty"]:
                self.bin.clear()
                return JSONResponse({"bytes": 12_000_000})
            case "POST", ["bin", id, "restore"]:
                [item] = [each for each in self.bin if each["id"] == id]
                self.bin.remove(item)
                self.data_names += [item["name"]] * (item["kind"] == "datasets")
                self.world.emit(
                    "dataset.restored" if item["kind"] == "datasets" else "model.restored", {"name": item["name"]}
                )
                return JSONResponse(item)
            case "GET", ["keys"]:
                return JSONResponse(make_page(self.keys))
            case "POST", ["keys"]:
                key = {"id": "k1", "name": body["name"], "user": "local", "scopes": body["scopes"], "created": AT}
                self.keys.append(key | {"prefix": "gl-k1-", "last_used": None, "expires": None})
                return JSONResponse(self.keys[-1] | {"secret": "gl-k1-secret"}, 201)
            case "DELETE", ["keys", id]:
                self.keys = [key for key in self.keys if key["id"] != id]
                return JSONResponse({})
            case "GET", ["accounts"]:
                return JSONResponse(make_page([]))
        return None

    def answer_active(self, name: str) -> JSONResponse:
        self.world.emit("model.promoted", {"name": name, "active": f"{name}/{self.active}"})
        return JSONResponse({"name": name, "active": f"{name}/{self.active}", "previous": None})

    def move_to_bin(self, kind: str, name: str) -> JSONResponse:
        item = {"id": f"b{len(self.bin)}", "kind": kind, "name": name, "bytes": 12_000_000, "removed": AT}
        self.bin.append(item)
        self.world.emit("dataset.removed" if kind == "datasets" else "model.removed", {"name": name})
        return JSONResponse(item)

    def draw_family(self) -> dict[str, Any]:
        found = self.list_models()
        nodes: list[Any] = [{"id": model.ref, "kind": "model", "label": model.ref} for model in found]
        data = {"id": "shakespeare@54288823", "kind": "dataset", "label": "shakespeare"}
        nodes.append(data | {"is_here": "shakespeare" in self.data_names})
        nodes.append({"id": "shakespeare/1/outputs", "kind": "outputs", "label": "20", "detail": ""})
        edges = [
            {"source": "shakespeare@54288823", "target": model.ref, "how": "trained on"}
            for model in found
            if model.data
        ]
        edges += [{"source": model.parent, "target": model.ref, "how": "taught"} for model in found if model.parent]
        return {
            "nodes": nodes,
            "edges": [*edges, {"source": "shakespeare/1", "target": "shakespeare/1/outputs", "how": ""}],
        }

    def make_sample(self, name: str, n: int) -> datasets.Sample:
        id = f"s{n}"
        known = {"id": id, "split": "train", "source": f"folder/IMG_{n}.png", "licence": "unknown"}
        if name == "shakespeare":
            return datasets.Sample(**known, medium="text", text="To be, or not to be")
        url = f"/api/datasets/{name}/samples/{id}/file"
        return datasets.Sample(
            **known,
            medium="image",
            shown_mime="image/png",
            url=url,
            caption=({**self.applied_captions, **self.captions}).get(id, ""),
        )

    def move(self, id: str, before: str | None) -> None:
        queued = sorted(
            (job for job in self.world.jobs.values() if job.state == "queued"), key=lambda job: job.position or 0
        )
        ids = [job.id for job in queued if job.id != id]
        ids.insert(ids.index(before) if before else len(ids), id)
        for n, each in enumerate(ids):
            self.world.jobs[each].position = n + 1
        self.world.emit("job.moved", {"job": dump(self.world.jobs[id])})
