"""`/api/models`: the family of models, cards, options of generation, promotion, rollback and the bin."""

import asyncio
import json
import tomllib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from typing import Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from genloom.api.models import Model as WorkspaceModel
from genloom.api.voices import can_speak_itself
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.media.abilities import get_ability
from genloom.old_names import upgrade_part
from genloom.plugins import find_part, get_package
from genloom.rate.promotion import find_previous_version
from genloom.server.access import CurrentUser, User, build_unknown_id_error, require_scope
from genloom.server.files import build_file_response
from genloom.server.jobs.jobs import Jobs
from genloom.server.jobs.pairs import suggest_prompts
from genloom.server.studio.services import CurrentJobs, CurrentWorkspace
from genloom.server.studio.shapes.models import Active, Additions, Family, Model, ModelDetail, Option, Promotion
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.system import BinItem
from genloom.store import built_in, manifest
from genloom.trust.bias import find_report

router = APIRouter()
EXPORT_FORMATS = {"hf": "Hugging Face folder", "gguf": "GGUF file", "peft": "PEFT adapter"}
_METRICS = {"held_out_bits_per_byte": "bits/byte", "bits_per_byte": "bits/byte", "held_out_loss": "held-out loss"}
# What is shown before the other knobs are unfolded, by the names of the options.
_BASIC_OPTIONS = frozenset(("max_tokens", "temperature", "steps", "bars", "key", "meter", "tempo", "instruments"))


@router.get("/api/models", response_model=Page[Model])
@require_scope("read")
def list_models(user: CurrentUser, jobs: CurrentJobs) -> Any:
    """List every version of every model, with its family."""
    return Page[Any](data=list(build_models(jobs, user).values()))


@router.get("/api/models/family", response_model=Family)
@require_scope("read")
def get_family(user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Return the tree of all models, from data to outputs."""
    nodes, edges = build_family(build_models(jobs, user), list_data_names(jobs))
    return {"nodes": nodes, "edges": edges}


@router.get("/api/models/{name}/{version}", response_model=ModelDetail)
@require_scope("read")
def get_model(name: str, version: int, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Return a version with its card, its lineage and its evaluations."""
    model = jobs.workspace.model(f"{name}/{version}")
    models = build_models(jobs, user)
    card_path = model.folder.folder / "CARD.md"
    nodes, edges = build_family(models, list_data_names(jobs), model.ref)
    row = models[model.ref]
    return {
        **row,
        "card": model.card,
        "card_text": card_path.read_text(encoding="utf-8", errors="replace") if card_path.is_file() else "",
        "nodes": nodes,
        "edges": edges,
        "evaluations": list_evaluations(jobs.workspace, model),
        "bias": find_report(jobs.workspace.folder, model.ref, model.digest),
        "privacy": read_privacy_report(jobs.workspace, model),
        "export_formats": list(EXPORT_FORMATS) if "chat" in row["can"] or row["has_written_prompts"] else [],
        "prompts": suggest_prompts(jobs.workspace, jobs.index, model, user),
    }


@router.get("/api/models/{name}/{version}/options", response_model=Page[Option])
@require_scope("read")
async def list_options(name: str, version: int, jobs: CurrentJobs) -> Any:
    """List what a generation can be told, each option with its type, default and one plain sentence."""
    model = await asyncio.to_thread(jobs.workspace.model, f"{name}/{version}")
    if model.digest not in jobs.options:
        jobs.options[model.digest] = (await jobs.engine.describe(model.ref))["options"]
    options = [each for each in jobs.options[model.digest] if (each["group"], each["name"]) != ("condition", "prompt")]
    return Page[Any](data=[build_option(each) for each in options])


@router.get("/api/models/{name}/{version}/additions", response_model=Additions)
@require_scope("read")
async def list_additions(name: str, version: int, jobs: CurrentJobs) -> Any:
    """List what can be added to a generation: presets of prompt and settings, and adapters of the same base."""

    def describe() -> tuple[str, list[str]]:
        model = jobs.workspace.model(f"{name}/{version}")
        base = model.folder.parent_ref if model.folder.is_adapter else model.ref
        folders = [each.folder for each in jobs.workspace.models]
        adapters = [each.ref for each in folders if each.is_adapter and each.parent_ref == base]
        return str(read_job_table(model).get("medium") or "text"), [ref for ref in adapters if ref != model.ref]

    medium, adapters = await asyncio.to_thread(describe)
    return {"presets": await jobs.slow_worker.ask("list_presets", medium=medium), "adapters": adapters}


@router.get("/api/models/{name}/{version}/charts/{report}/{file}")
@require_scope("read")
def get_chart(name: str, version: int, report: str, file: str, workspace: CurrentWorkspace) -> Response:
    """Send a chart of an evaluation."""
    for folder, _ in iter_reports(workspace, workspace.model(f"{name}/{version}")):
        for path in folder.glob("*.png"):
            if (folder.name, path.name) == (report, file):
                return build_file_response(path, "image/png", file)
    raise build_unknown_id_error("chart", file)


@router.post("/api/models/{name}/{version}/promote", response_model=Active)
@require_scope("train")
def promote_model(name: str, version: int, body: Promotion, request: Request, jobs: CurrentJobs) -> Any:
    """Make a version the one that the model's name means."""
    jobs.workspace.promote(name, version, body.reason, allow_withdrawn=body.allow_withdrawn)
    return tell_active(jobs, name)


@router.post("/api/models/{name}/rollback", response_model=Active)
@require_scope("train")
def roll_back_model(name: str, body: Promotion, jobs: CurrentJobs) -> Any:
    """Return to the version that was active before the last promotion."""
    jobs.workspace.rollback(name, body.reason)
    return tell_active(jobs, name)


@router.delete("/api/models/{name}", response_model=BinItem)
@require_scope("train")
def remove_model(name: str, jobs: CurrentJobs, force: bool = False) -> Any:
    """Move all versions of a model to the bin; refused while others depend on it, unless forced."""
    return _remove(jobs, name, force)


@router.delete("/api/models/{name}/{version}", response_model=BinItem)
@require_scope("train")
def remove_version(name: str, version: int, jobs: CurrentJobs, force: bool = False) -> Any:
    """Move a version to the bin; refused while others depend on it, unless forced."""
    return _remove(jobs, f"{name}/{version}", force)


@router.post("/api/models/{name}/restore", response_model=Page[Model])
@require_scope("train")
def restore_model(name: str, user: CurrentUser, jobs: CurrentJobs, version: int | None = Query(None, ge=1)) -> Any:
    """Move a model, or a version of it, back from the bin."""
    entry = jobs.workspace.restore(name if version is None else f"{name}/{version}")
    jobs.events.publish("model.restored", {"name": entry.name})
    return Page[Any](data=[row for row in build_models(jobs, user).values() if row["name"] == name])


def build_models(jobs: Jobs, user: User) -> dict[str, dict[str, Any]]:
    """Return every version as pages show it, by its ref, with the number of the outputs that the user sees."""
    workspace = jobs.workspace
    jobs.index.sync(waits=False)
    models = {model.ref: model for model in chain(workspace.built_in_models, workspace.models)}
    receipts = {
        entry.body["challenger"]: entry.body["receipt"]
        for entry in workspace.ledger.iter_entries(["round"])
        if entry.body["challenger"] != entry.body["champion"]
    }
    counts, active = (
        jobs.index.count_by_model("" if user.is_local else user.id),
        {folder.ref for folder in workspace.store.list_active_models()},
    )
    rows = {ref: build_model(model, receipts.get(ref), ref in active) for ref, model in models.items()}
    for ref, row in rows.items():
        row["outputs"] = counts.get(ref, 0)
        if (parent := rows.get(row["parent"] or "")) is not None:
            parent["children"].append(ref)
    return rows


def build_model(model: WorkspaceModel, receipt: str | None, is_active: bool) -> dict[str, Any]:
    card, folder, job = model.card, model.folder, read_job_table(model)
    is_built_in = folder.folder.is_relative_to(built_in.FOLDER)
    medium = str(job.get("medium") or "text")
    kind = (
        "built_in" if is_built_in
        else "imported" if card.get("source")
        else "taught" if receipt
        else "tuned" if folder.parent_ref
        else "trained"
    )  # fmt: skip
    metric, value = find_metric(card)
    is_written = get_ability(find_part("medium", medium), "parse") is not None
    is_sequential = is_autoregressive(str((job.get("objective") or {}).get("name")))
    data = card.get("data") or {}
    if folder.runtime:
        can = [str(card["runtime"]["verb"])]  # speak or transcribe
    else:
        can = ["generate", "teach", "tune", *(["chat"] if is_written and folder.has_learned_roles else [])]
        can += ["speak"] if can_speak_itself(folder) else []
    return {
        "ref": model.ref,
        "name": model.name,
        "version": model.version,
        "medium": medium,
        "kind": kind,
        "parent": folder.parent_ref or None,
        "children": [],
        "data": {"name": data["name"], "digest": data["digest"]} if data.get("digest") else None,
        "is_active": is_active,
        "is_adapter": folder.is_adapter,
        "created": folder.created,
        "bytes": sum(entry["bytes"] for entry in card["files"].values()),
        "digest": model.digest,
        "parameters": card.get("parameters"),
        "metric": metric,
        "value": value,
        "licences": sorted(map(str, data.get("licences") or {})) or sorted(filter(None, [_get_licence(card)])),
        "receipt": receipt,
        "has_prompt": is_sequential or any(name in job for name in ("text_encoder", "prompts")),
        "has_written_prompts": is_written,
        "can": can + ([] if is_built_in else ["delete"]) + (["export"] if is_written else []),
    }


@cache
def is_autoregressive(objective: str) -> bool:
    """Return whether an objective is Autoregressive or derived from it.

    Only a plug-in's class is imported to see that: the server runs without torch, which all objectives import.
    """
    objective = upgrade_part("objective", objective)
    if not get_package("objective", objective):
        return objective == "autoregressive"
    from genloom.model.design import get_objective_class
    from genloom.objectives.autoregressive import Autoregressive

    try:
        return issubclass(get_objective_class(objective), Autoregressive)
    except GenloomError:
        return False  # a broken plug-in, which `genloom doctor` reports


def read_job_table(model: WorkspaceModel) -> Mapping[str, Any]:
    try:
        return tomllib.loads((model.folder.folder / "job.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # damaged, which `genloom doctor` reports


def find_metric(card: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """Return what was measured on held-out data, by its plain name."""
    for facts in (card.get("fact") or {}, card):
        for key, name in _METRICS.items():
            if isinstance(facts.get(key), int | float):
                return name, float(facts[key])
    return None, None


def list_data_names(jobs: Jobs) -> set[str]:
    return {dataset.name for dataset in jobs.workspace.datasets}


def build_family(
    models: Mapping[str, Mapping[str, Any]], data_names: Collection[str], ref: str = ""
) -> tuple[list[Any], list[Any]]:
    """Return nodes and edges from data to outputs: of all models, or of the relatives of one."""
    chosen = set(models) if not ref else find_relatives(models, ref)
    nodes: dict[str, dict[str, Any]] = {}
    edges = []
    for each in sorted(chosen):
        row = models[each]
        detail = f"{row['value']:.3f} {row['metric']}" if row["value"] is not None else ""
        nodes[each] = {"id": each, "kind": "model", "label": each, "detail": detail}
        if row["data"]:
            id = f"{row['data']['name']}@{row['data']['digest'][:12]}"
            nodes[id] = {
                "id": id,
                "kind": "dataset",
                "label": row["data"]["name"],
                "detail": row["data"]["digest"][:12],
                "is_here": row["data"]["name"] in data_names,
            }
            edges.append({"source": id, "target": each, "how": "trained on"})
        if row["parent"] in chosen:
            how = "taught" if row["kind"] == "taught" else "tuned from"
            edges.append({"source": row["parent"], "target": each, "how": how})
        if row["outputs"]:
            id = f"{each}/outputs"
            nodes[id] = {"id": id, "kind": "outputs", "label": str(row["outputs"]), "detail": ""}
            edges.append({"source": each, "target": id, "how": "generated"})
    return list(nodes.values()), edges


def find_relatives(models: Mapping[str, Mapping[str, Any]], ref: str) -> set[str]:
    """Return a version with its ancestors, and with all that come from any of them."""
    root = ref
    while (parent := models[root]["parent"]) in models and parent is not None:
        root = parent
    found, waiting = set[str](), [root]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += models[each]["children"]
    return found


def iter_reports(workspace: Workspace, model: WorkspaceModel) -> Any:
    """Yield the folders of the evaluations of a version, each with the name of its file."""
    prefix = model.ref.replace("/", "-")
    for folder in sorted((workspace.folder / "reports").glob("*")):
        if folder.name == prefix or folder.name.startswith(f"{prefix}-on-"):
            for name in ("evaluation.json", "battery.json"):
                if (folder / name).is_file():
                    yield folder, name


def list_evaluations(workspace: Workspace, model: WorkspaceModel) -> list[dict[str, Any]]:
    evaluations = []
    for folder, name in iter_reports(workspace, model):
        try:
            report = manifest.read_record(folder / name)
        except GenloomError:
            continue  # damaged
        base = f"/api/models/{model.ref}/charts/{folder.name}"
        evaluations.append(
            {
                "data": str(report.get("dataset") or report.get("data") or "battery"),
                "at": _format_time((folder / name).stat().st_mtime),
                "lines": list(map(str, report.get("lines") or ())),
                "report": json.loads(json.dumps(report)),
                "charts": [f"{base}/{path.name}" for path in sorted(folder.glob("*.png"))],
            }
        )
    return evaluations


def read_privacy_report(workspace: Workspace, model: WorkspaceModel) -> dict[str, Any] | None:
    """Return the stored report on the privacy of a version; None if there is none that can be read."""
    path = workspace.folder / "reports" / f"{model.ref.replace('/', '-')}-privacy" / "privacy.json"
    try:
        report = manifest.read_record(path)
    except (OSError, GenloomError):
        return None
    # A report that is older than the version is on a removed one, which had the name before.
    is_newer = path.stat().st_mtime >= datetime.fromisoformat(model.folder.created).timestamp()
    return report if report.get("model") == model.ref and is_newer else None


def build_option(option: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": option["name"],
        "type": option["type"],
        "default": option.get("default"),
        "minimum": option.get("minimum"),
        "maximum": option.get("maximum"),
        "choices": list(option.get("choices") or ()),
        "requirement": option.get("requirement") or "",
        "help": option["help"],
        "group": option["group"],
        "is_basic": option["name"] in _BASIC_OPTIONS,
    }


def describe_active(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return the active version of a model, and the one that a rollback makes active."""
    previous = find_previous_version(workspace.ledger, name)
    return {"name": name, "active": workspace.model(name).ref, "previous": previous and f"{name}/{previous}"}


def tell_active(jobs: Jobs, name: str) -> dict[str, Any]:
    active = describe_active(jobs.workspace, name)
    jobs.events.publish("model.promoted", active)
    return active


def _remove(jobs: Jobs, name: str, force: bool) -> dict[str, Any]:
    entry = jobs.workspace.remove("models", name, force=force)
    jobs.events.publish("model.removed", {"name": name})
    return entry.to_record()


def _get_licence(card: Mapping[str, Any]) -> str:
    return str((card.get("source") or {}).get("licence") or "")


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
