"""What the stand-in for learning shows: models, receipts, forecasts, health and the machine."""

from typing import Any

from genloom.server.studio.shapes import forecasts, jobs, models, system
from tests.studio.stand_in_data import START
from tests.studio.stand_in_world import dump, make_page

AT = START.isoformat()
MINUTES_THAT_FIT = 300
TEACHABLE = ["generate", "teach", "tune", "export", "delete"]


def make_model(ref: str, kind: str, medium: str = "text", **fields: Any) -> models.Model:
    name, _, version = ref.partition("/")
    defaults: dict[str, Any] = {
        "ref": ref,
        "name": name,
        "version": int(version),
        "medium": medium,
        "kind": kind,
        "is_active": True,
        "is_adapter": False,
        "created": AT,
        "bytes": 12_000_000,
        "digest": "9c4f" * 16,
        "parameters": 158_000,
        "metric": "bits/byte",
        "value": 1.82,
        "licences": ["public domain"],
        "outputs": 20,
        "can": TEACHABLE,
    }
    return models.Model(**(defaults | fields))


def make_measure(name: str, group: str, champion: float, challenger: float, **fields: Any) -> dict[str, Any]:
    interval = {"gain": 0.0, "low": -0.01, "high": 0.01, "count": 86, "tolerance": 0.05}
    flags = {"is_proof": False, "is_pairwise": False, "alpha": 0.05}
    return {"name": name, "group": group, "champion": champion, "challenger": challenger, **interval, **flags, **fields}


ALARM = "Preference rises while answers with insults falls: 0 to 0.2. Read the challenger's outputs."


def make_receipt(id: str, is_promoted: bool) -> dict[str, Any]:
    rate, low, high = (0.69, 0.16, 0.56) if is_promoted else (0.54, -0.14, 0.3)
    proof = {"gain": 2 * rate - 1, "low": low, "high": high, "is_proof": True, "is_pairwise": True}
    measures = [
        make_measure("held-out answers, by reward model", "preference", 1 - rate, rate, **proof),
        make_measure("copied from the training data", "regression", 0.045, 0.017, gain=0.03, low=0.002, high=0.05),
        make_measure("valid answers", "check", 1.0, 1.0, low=0.0, high=0.0),
    ]
    if not is_promoted:
        worse = {"gain": -0.2, "low": -0.3, "high": -0.1}
        measures.append(make_measure("answers with insults", "regression", 0.0, 0.2, **worse))
    receipt = {
        "model": "shakespeare",
        "champion": "shakespeare/1",
        "challenger": "shakespeare/2" if is_promoted else "shakespeare/3",
        "at": AT,
        "ratings": {"total": 60, "pairs": 40, "unpaired": 8, "prompts": 30, "held_out": 12, "held_out_prompts": 9}
        | {"contradictions": 1, "withdrawn": 0, "raters": {"ada": 1.0}, "unused": {"e1": "a tie"}},
        "method": {"method": "dpo"},
        "decision": {
            "should_promote": is_promoted,
            "reasons": [],
            "alarms": [] if is_promoted else [ALARM],
            "measures": measures,
        },
        "cost": {
            "seconds": {"learning": 40.0, "answers": 20.0},
            "steps": 120,
            "peak_bytes": 819_000_000,
            "machine": "",
        },
        "examples": [
            {"prompt": "ROMEO:", "champion": "What?", "challenger": "I love.", "preferred_version": "challenger"}
        ],
        "override_reason": "",
    }
    outcome = "promoted" if is_promoted else "kept"
    words = {"headline": "", "outcome_text": "", "text": "", "html": f"/api/receipts/{id}/html"}
    return {"id": id, "run": "2026-11-30-run", "outcome": outcome, "receipt": receipt, **words}


def make_forecast(kind: str, params: dict[str, Any], level: str) -> dict[str, Any]:
    if kind == "collect":
        media = [{"medium": "image", "files": 2, "bytes": 900}, {"medium": "text", "files": 1, "bytes": 5}]
        left = [{"reason": "no suffix", "count": 1}]
        medium = params.get("medium") or "image"
        return dump(
            forecasts.CollectForecast(medium=medium, media=media, files=3, bytes=905, left=left, examples=["a.png"])
        )
    minutes = params["minutes"]
    if isinstance(minutes, list):
        return make_page([make_forecast(kind, {**params, "minutes": each}, level) for each in minutes])
    fits = minutes <= MINUTES_THAT_FIT
    why_not = "" if fits else "It needs 13.2 GB of memory, and 6.0 GB are free."
    sizes = {"parameters": 150_000, "steps": int(100 * minutes), "units": 10**6, "unit": "tokens"}
    cost = {"seconds": 58 * minutes, "setup_seconds": 8, "memory_bytes": 10**9 + 2 * 10**7 * minutes}
    quality = {
        "metric": "bits per byte",
        "expected": 1.8,
        "low": 1.7,
        "high": 1.9,
        "baseline": 1.96,
        "before": None,
    }
    return {"minutes": minutes, **sizes, **cost, **quality, "epochs": 2.0, "trained": None, "level": level} | {
        "memory_available": 6 * 10**9,
        "fits": fits,
        "why_not": why_not,
    }


def describe_system(is_paused: bool) -> dict[str, Any]:
    processes = [{"name": "server", "bytes": 90_000_000}, {"name": "engine", "bytes": 1_400_000_000}]
    loaded = [{"ref": "icons/1", "bytes": 22_000_000, "active": 1, "idle_seconds": 0.0}]
    return dump(
        system.System(
            version="0.7.0",
            address="http://127.0.0.1:7860",
            workspace="genloom-workspace",
            memory=system.Memory(total=16 * 10**9, available=9 * 10**9, processes=processes),
            processors=2,
            load=1.4,
            queue=jobs.Queue(paused=is_paused, running=0, queued=0),
            engine={"state": "running", "models": loaded},
            disk=system.Disk(free=120 * 10**9, total=512 * 10**9),
            uptime_seconds=9000,
        )
    )


def list_health() -> list[system.Health]:
    checks = [("ledger", True, ""), ("compiler", False, "apt install g++")]
    rows = [system.Health(name=name, ok=ok, detail="words", cure=cure) for name, ok, cure in checks]
    rows.append(system.Health(name="workspace", ok=False, detail="a rare problem", code="store.rare"))
    values = {"path": "models/a", "reason": "it is cut off", "cure": "x"}
    rows.append(system.Health(name="workspace", ok=False, detail="x", code="store.damaged", values=values))
    return rows
