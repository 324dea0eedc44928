"""`/api/session`, `/api/system` and `/api/bin`: who asks, what runs, what is stored, and whether all is well."""

import os
import time
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

import genloom
from genloom.server import exports
from genloom.server.access import CurrentUser, User, build_unknown_id_error, require_scope
from genloom.server.config import OLLAMA_PORT
from genloom.server.jobs.jobs import Jobs
from genloom.server.knowledge import owns_removed
from genloom.server.studio import conversations, outputs
from genloom.server.studio.services import CurrentJobs, CurrentWorkspace
from genloom.server.studio.shapes.session import Session
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.system import BinItem, Freed, Health, Storage, System
from genloom.store.files import get_free_bytes
from genloom.store.recycle_bin import count_bytes

router = APIRouter()
_STARTED = time.monotonic()
_KINDS = {
    "models": ("models", "*/[!.]*/card.json"),
    "datasets": ("data", "*/[!.]*/manifest.json"),
    "outputs": ("outputs", "*/*.json"),
    "runs": ("runs", "*/run.json"),
    "conversations": ("conversations", "*.json"),
    "uploads": ("uploads", "*/upload.json"),
    "designs": ("designs", "*"),
    "exports": ("exports", "*"),
    "reports": ("reports", "*"),
    "cache": ("cache", "*/*"),
    "bin": ("bin", "*/entry.json"),
}
_SNIPPETS = {
    ("Python", "python"): (
        "from openai import OpenAI\n\n"
        'client = OpenAI(base_url="{address}/v1", api_key="$GENLOOM_KEY")\n'
        "print(client.models.list().data[0].id)"
    ),
    ("curl", "sh"): 'curl {address}/v1/models -H "Authorization: Bearer $GENLOOM_KEY"',
    ("llm", "sh"): "OPENAI_API_KEY=$GENLOOM_KEY llm openai models --base-url {address}/v1",
    ("Continue", "yaml"): (
        "models:\n  - name: Genloom\n    provider: openai\n    model: MODEL\n"
        "    apiBase: {address}/v1\n    apiKey: $GENLOOM_KEY"
    ),
    ("Claude Code", "sh"): "ANTHROPIC_BASE_URL={address} ANTHROPIC_AUTH_TOKEN=$GENLOOM_KEY claude",
    ("Codex", "toml"): (
        '[model_providers.genloom]\nname = "Genloom"\nbase_url = "{address}/v1"\nenv_key = "GENLOOM_KEY"'
    ),
    ("Ollama clients", "sh"): f"genloom serve --ollama\nOLLAMA_HOST=127.0.0.1:{OLLAMA_PORT}",
    ("Open WebUI", "sh"): "OPENAI_API_BASE_URL={address}/v1 OPENAI_API_KEY=$GENLOOM_KEY open-webui serve",
    ("n8n", "text"): "Credential OpenAI: API Key $GENLOOM_KEY, Base URL {address}/v1",
}


@router.get("/api/session", response_model=Session)
@require_scope("read")
def get_session(request: Request, user: CurrentUser, workspace: CurrentWorkspace) -> Any:
    """Return who asks, what they may do, and how other programs connect."""
    address = str(request.base_url).rstrip("/")
    is_empty = not any((workspace.folder / kind).is_dir() for kind in ("models", "data", "outputs"))
    snippets = [
        {"client": client, "language": language, "text": text.replace("{address}", address)}
        for (client, language), text in _SNIPPETS.items()
    ]
    return {
        "user": {"name": user.name or workspace.get_rater(), "is_local": user.is_local},
        "scopes": sorted(user.scopes),
        "version": genloom.__version__,
        "address": address,
        "workspace": workspace.folder.name,
        "is_empty": is_empty,
        "snippets": snippets,
    }


@router.get("/api/system", response_model=System)
@require_scope("read")
def get_system(request: Request, jobs: CurrentJobs) -> Any:
    """Return memory, processes, queue and engine."""
    from genloom.memory import measure_memory
    from genloom.processors import count_processors

    memory, folder = measure_memory(), jobs.workspace.folder
    return {
        "version": genloom.__version__,
        "address": str(request.base_url).rstrip("/"),
        "workspace": folder.name,
        "memory": {"total": memory.total, "available": memory.available, "processes": list_processes()},
        "processors": count_processors(),
        "load": os.getloadavg()[0],
        "accelerator": None,
        "queue": jobs.describe_queue(),
        "engine": jobs.engine.state() if jobs.engine is not None else {},
        "disk": measure_disk(folder),
        "uptime_seconds": time.monotonic() - _STARTED,
    }


@router.get("/api/system/storage", response_model=Storage)
@require_scope("read")
def get_storage(user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Return what takes how much of the disk, and what this user can restore from the bin."""
    workspace = jobs.workspace
    items = []
    for kind, (name, pattern) in _KINDS.items():
        folder = workspace.folder / name
        if folder.is_dir():
            count = sum(1 for _ in folder.glob(pattern))
            items.append({"kind": kind, "bytes": count_bytes(folder), "count": count})
    databases = list(workspace.folder.glob("*.sqlite*"))
    items.append({"kind": "databases", "bytes": sum(map(count_bytes, databases)), "count": len(databases)})
    entries = [entry.to_record() for entry in find_in_bin(user, jobs)]
    return {
        "items": items,
        "bin": entries,
        "exports": exports.list_exports(jobs, user),
        "export_days": exports.KEPT_DAYS,
        "disk": measure_disk(workspace.folder),
    }


@router.get("/api/system/health", response_model=Page[Health])
@require_scope("admin")
async def get_health(jobs: CurrentJobs) -> Any:
    """Check the workspace and the machine."""
    problems = await jobs.slow_worker.ask("find_problems", seconds=120.0)
    rows: list[dict[str, Any]] = [
        {"name": "workspace", "ok": False, "code": each["code"], "values": each["values"], "detail": each["text"]}
        for each in problems
    ]
    if not problems:
        rows = [{"name": "workspace", "ok": True, "code": "no_problems", "detail": "No problems found."}]
    engine = jobs.engine.state() if jobs.engine is not None else {"state": "stopped"}
    state = str(engine["state"])
    rows.append({"name": "engine", "ok": state == "running", "code": f"engine_{state}", "detail": state})
    return Page[Any](data=rows)


@router.get("/api/bin", response_model=Page[BinItem])
@require_scope("read")
def list_bin(user: CurrentUser, jobs: CurrentJobs) -> Any:
    """List what was removed and can be restored, newest first."""
    return Page[Any](data=[entry.to_record() for entry in find_in_bin(user, jobs)[::-1]])


@router.post("/api/bin/{id}/restore", response_model=BinItem)
@require_scope("train")
def restore_from_bin(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Move something back from the bin, by the id of its entry."""
    jobs.index.sync_bin()
    entry = next((each for each in jobs.workspace.bin if each.id == id), None)
    if entry is None or not (user.is_local or is_shared(jobs, user, entry)):
        raise build_unknown_id_error("entry of the bin", id)
    if entry.kind == "outputs":
        outputs.move_back(jobs, user, entry.name)
    elif entry.kind == "conversations":
        jobs.conversations.restore(entry.name)
        conversations.publish_change(jobs, user, entry.name)
    else:
        jobs.workspace.restore(id)
        event = {"models": "model.restored", "data": "dataset.restored", "prompts": "prompt.changed"}.get(entry.kind)
        if event:
            jobs.events.publish(event, {"name": entry.name})
    return entry.to_record()


@router.post("/api/bin/empty", response_model=Freed)
@require_scope("admin")
def empty_bin(jobs: CurrentJobs) -> Any:
    """Delete everything in the bin for good."""
    freed = jobs.workspace.empty_bin()
    jobs.index.sync_bin()
    jobs.conversations.purge()
    return {"bytes": freed}


def find_in_bin(user: User, jobs: Jobs) -> list[Any]:
    """Return the entries of the bin that a user may see, oldest first."""
    entries = list(jobs.workspace.bin)
    if user.is_local:
        return entries
    jobs.index.sync_bin()
    return [entry for entry in entries if is_shared(jobs, user, entry)]


def is_shared(jobs: Jobs, user: User, entry: Any) -> bool:
    """Return whether something in the bin is everybody's, or this user's."""
    if entry.kind == "outputs":
        row = jobs.index.get(entry.name)
        return row is not None and user.owns(row["owner"])
    if entry.kind == "knowledge":
        return owns_removed(jobs.workspace, entry, user)
    return entry.kind in ("models", "data", "prompts")


def list_processes() -> list[dict[str, Any]]:
    """Return the memory of the server and of the processes that it has started."""
    import psutil

    own = psutil.Process()
    rows = [{"name": "server", "bytes": own.memory_info().rss}]
    for child in own.children(recursive=True):
        try:
            words = child.cmdline()
            module = next((word for word in words if word.startswith("genloom.server.")), "")
            name = module.split(".")[2] if module else child.name()
            rows.append({"name": name, "bytes": child.memory_info().rss})
        except psutil.Error:
            continue  # it has ended
    return rows


def measure_disk(folder: Path) -> dict[str, int]:
    import shutil

    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return {"free": get_free_bytes(folder), "total": shutil.disk_usage(existing).total}
