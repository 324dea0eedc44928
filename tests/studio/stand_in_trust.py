"""The stand-in's answers about trust: the line of an output, verifications and copies as jobs, keys, rules, cards."""

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from genloom.server.studio.shapes import trust
from genloom.server.studio.shapes.jobs import Job, Progress
from tests.studio.stand_in_world import World, dump, make_page

AT = "2026-11-30T12:00:00+00:00"
INTERVAL = {"mean": 0.31, "low": 0.12, "high": 0.5, "count": 32}
BIAS = {
    "measured": True,
    "language": "en",
    "likelihood": {
        each: {"gap": INTERVAL, "share": INTERVAL, "num_sentences": 512} for each in ("gender", "age", "overall")
    },
    "limits": ["This measures prejudices that these sentences name."],
}
PRIVACY = {
    "leaking": True,
    "membership": {"auc": {**INTERVAL, "mean": 0.71, "low": 0.62, "high": 0.8}, "found": INTERVAL},
    "calibrated": None,
    "extraction": None,
    "exposure": None,
    "personal_data": None,
    "notes": ["canaries were not measured: the data hold none"],
}
COPIES = {
    "beyond_chance": True,
    "unit": "",
    "matches": [
        {"source": "icons/fox.svg", "licence": "OFL-1.1", "caption": "a fox", "length": None, "similarity": 0.97}
        | {"is_identical": False, "excerpt": ""}
    ],
    "chance": {"median": 0.6, "limit": 0.9, "count": 100},
    "not_searched": [],
}


def make_line(id: str) -> trust.Provenance:
    nodes = [
        trust.TraceNode(id=f"output:{id}", kind="output", name=id, state="intact"),
        trust.TraceNode(id="prompt", kind="prompt", name='"a fox"', facts={"prompt": "a fox"}),
        trust.TraceNode(id="model", kind="model", name="icons/1", state="intact", facts={"built_in": True}),
        trust.TraceNode(id="data", kind="data", name="icons@5c57", state="missing", facts={"licences": {"MIT": 1203}}),
        trust.TraceNode(
            id="documents", kind="documents", name="", facts={"source": "icons/", "licence": "MIT", "documents": 1203}
        ),
    ]
    steps = [
        (f"output:{id}", "prompt", "prompted_by"),
        (f"output:{id}", "model", "generated_by"),
        ("model", "data", "trained_on"),
        ("data", "documents", "made_of"),
    ]
    return trust.Provenance(
        root=f"output:{id}",
        nodes=nodes,
        edges=[trust.TraceEdge(source=a, target=b, relation=relation) for a, b, relation in steps],
        is_intact=True,
        signature=trust.Signature(state="signed", signer="Mia's studio", is_embedded=True),
        mark=trust.Mark(is_marked=True, key="k1"),
    )


def make_finding(name: str, **facts: Any) -> dict[str, Any]:
    manifest = {"authority": "workspace", "signer": "Mia's studio", "ingredients": []}
    mark = {"found": True, "p_value": 3e-21}
    finding = {"file": name, "signature": "unchanged", "manifest": manifest, "mark": mark, "mark_problem": ""}
    return finding | {"problem": "", "output": None, "stored": False, "facts": {"model": "icons/1"}, **facts}


STRANGER = {"authority": "unknown", "signer": "Somebody", "ingredients": []}
FINDINGS = {
    "own.png": make_finding("own.png"),
    "changed.png": make_finding("changed.png", signature="changed"),
    "foreign.jpg": make_finding("foreign.jpg", manifest=STRANGER, mark={"found": False, "p_value": 0.4}, facts={}),
    "bare.txt": make_finding("bare.txt", signature="none", manifest=None, mark=None, facts={}),
}


@dataclass
class Trust:
    """What these pages show; a test changes it."""

    world: World
    keys: list[trust.TrustKey] = field(default_factory=list)
    rules_text: str = ""
    decisions: list[trust.Decision] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world.answers.append(self.answer)
        if not self.keys:
            self.keys = [self.make_key("marking"), self.make_key("signing", name="Mia's studio")]

    def make_key(self, kind: Any, name: str = "") -> trust.TrustKey:
        number = len(self.keys) + 1
        expires = AT if kind == "signing" else ""
        return trust.TrustKey(id=f"key{number}", kind=kind, name=name, created=AT, expires=expires, is_active=True)

    def describe_rules(self) -> trust.Rules:
        fixed = trust.Rule(
            name="sexual-minors", action="refuse", reason="r", on=["prompt", "output"], is_fixed=True, is_own=False
        )
        own = trust.Rule(name="crow", action="log", reason="crows", on=["prompt"], is_fixed=False, is_own=True)
        rules = [fixed, *([own] if "crow" in self.rules_text else [])]
        return trust.Rules(rules=rules, log_text=False, text=self.rules_text, example="# an example\n")

    def run_job(self, kind: str, params: dict[str, Any]) -> Job:
        """End a job at once with its result."""
        results = {
            "verify": lambda: {
                "files": [FINDINGS.get(name, make_finding(name)) for name in self.uploaded or ["own.png"]]
            },
            "copies": lambda: {"copies": COPIES},
            "bias": lambda: {"report": BIAS},
            "privacy": lambda: {"report": PRIVACY},
        }
        job = Job.model_validate(
            {
                "id": f"2026-11-30-t{len(self.world.jobs):05d}",
                "kind": kind,
                "title": kind,
                "state": "succeeded",
                "owner": "local",
                "params": params,
                "created": AT,
                "progress": Progress(),
                "result": results[kind](),
            }
        )
        self.world.jobs[job.id] = job
        return job

    async def answer(self, request: Request, method: str, parts: list[str], body: Any) -> Response | None:
        match method, parts:
            case "POST", ["jobs"] if body["kind"] in ("verify", "copies", "bias", "privacy"):
                return JSONResponse(dump(self.run_job(body["kind"], body["params"])), 202)
            case "POST", ["uploads"]:
                async with request.form() as form:
                    self.uploaded = [str(getattr(each, "filename", "")) for each in form.getlist("files")]
                upload = {"id": "up1", "owner": "local", "created": AT, "names": self.uploaded, "files": 1, "bytes": 9}
                return JSONResponse(upload, 201)
            case "DELETE", ["uploads", _]:
                return Response(status_code=204)
            case "GET", ["models", _, _, "card"]:
                return PlainTextResponse("---\nlicense: mit\n---\n\n# A card\n\nWith a text.\n")
            case "GET", ["trust", "keys"]:
                return JSONResponse(dump(trust.TrustKeys(keys=self.keys, can_sign=True)))
            case "POST", ["trust", "keys"]:
                for key in self.keys:
                    key.is_active = key.is_active and key.kind != body["kind"]
                made = self.make_key(
                    body["kind"], body.get("name") or ("Mia's studio" if body["kind"] == "signing" else "")
                )
                self.keys.append(made)
                return JSONResponse(dump(made), 201)
            case "GET", ["trust", "policy"]:
                return JSONResponse(dump(self.describe_rules()))
            case "PUT", ["trust", "policy"]:
                if "[rules" not in body["text"] and body["text"]:
                    error = {
                        "message": "policy.toml cannot be read.",
                        "type": "x",
                        "param": None,
                        "code": "trust.bad_policy",
                    }
                    return JSONResponse({"error": error}, 400)
                self.rules_text = body["text"]
                return JSONResponse(dump(self.describe_rules()))
            case "POST", ["trust", "policy", "check"]:
                found = trust.RuleMatch(rule="crow", action="log", reason="crows", words=["crow"])
                return JSONResponse(make_page([found] if "crow" in body["text"] else []))
            case "GET", ["trust", "decisions"]:
                return JSONResponse(make_page(self.decisions))
        return None
