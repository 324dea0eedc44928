"""Outputs as pages show them: rows of the index with the person's ratings and marks, and what only one output shows."""

import asyncio
import json
import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genloom.media.abilities import get_ability
from genloom.plugins import find_part
from genloom.server.access import User, build_unknown_id_error
from genloom.server.index import MAX_EXCERPT_CHARS
from genloom.server.jobs.jobs import Jobs
from genloom.store.names import is_timed_id

MAX_TEXT_CHARS = 1_000_000
_MIME_TYPES = {
    ".mid": "audio/midi",
    ".musicxml": "application/vnd.recordare.musicxml+xml",
    ".abc": "text/vnd.abc",
    ".md": "text/markdown",
}


def find_row(jobs: Jobs, user: User, id: str) -> Mapping[str, Any]:
    """Return the row of an output, also of one in the bin; 404 for an unknown one or another's."""
    if not is_timed_id(id):
        raise build_unknown_id_error("output", id)
    row = jobs.index.get(id)
    if row is None or (row["removed"] is None) != jobs.workspace.store.has_output(id):
        jobs.index.sync()
        row = jobs.index.get(id)
    if row is None or not user.owns(row["owner"]):
        raise build_unknown_id_error("output", id)
    return row


async def build_outputs(jobs: Jobs, user: User, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of the index as pages show them, with the person's ratings and marks."""
    examples = {row["medium"]: row["id"] for row in reversed(rows)}
    displays = {medium: await describe_display(jobs, medium, id) for medium, id in examples.items()}
    ids = [row["id"] for row in rows]
    ratings, marks, conversations = await asyncio.to_thread(
        lambda: (
            jobs.index.get_ratings(ids, jobs.get_rater(user)),
            jobs.marks.get(ids),
            jobs.conversations.find_by_outputs(ids),
        )
    )
    return [
        build_output(row, ratings.get(row["id"]), marks.get(row["id"], {}), displays[row["medium"]])
        | {"conversation": conversations.get(row["id"])}
        for row in rows
    ]


def build_output(
    row: Mapping[str, Any], rating: Any, marks: Mapping[str, Any], display: Mapping[str, Any]
) -> dict[str, Any]:
    address = f"/api/outputs/{row['id']}"
    text = row["text"] if row["is_text"] else None
    return {
        "id": row["id"],
        "created": row["created"],
        "medium": row["medium"],
        "model": row["model"] or None,
        "prompt": row["prompt"],
        "given": json.loads(row["given"]),
        "seed": row["seed"],
        "text": None if text is None else text[:MAX_EXCERPT_CHARS],
        "is_cut": text is not None and len(text) > MAX_EXCERPT_CHARS,
        "mime": guess_mime(row["file"]),
        "bytes": row["bytes"],
        "url": f"{address}/file",
        "shown_mime": display["mime"],
        "shown": f"{address}/shown",
        "thumbnail": f"{address}/thumbnail" if display["mime"].startswith("image/") else None,
        "sound": f"{address}/sound" if display["has_sound"] else None,
        "rating": rating,
        "owner": row["owner"],
        "removed": row["removed"],
        "job": row["job"] or None,
        **marks,
    }


async def describe_display(jobs: Jobs, medium: str, example: str) -> dict[str, Any]:
    """Return what pages show of outputs of a medium: its MIME type, and whether it can be played."""
    displays: dict[str, dict[str, Any]] = jobs.displays
    if medium not in displays:
        found = await jobs.worker.ask("describe_display", output=example)
        displays[medium] = found
    return displays[medium]


def add_details(jobs: Jobs, user: User, row: Mapping[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    """Add what only one output shows: all of its text, its settings, formats, facts and neighbours."""
    record = read_output_record(jobs, row)
    request = record.get("request") or {}
    params = dict(request.get("params") or request.get("controls") or {})
    written = record.get("written")
    before, after = jobs.index.find_neighbours(row["id"], "" if user.is_local else user.id)
    shown = {**params, "stop": request.get("stop") or None, "precision": record.get("precision")}
    shown["adapters"] = list(record.get("adapters") or ()) or None
    job = jobs.store.get(row["job"]) if row["job"] else None
    again = {
        "model": record.get("model"),
        "prompt": record.get("prompt") or "",
        "given": record.get("given") or {},
        "stop": request.get("stop") or [],
        "adapters": list(record.get("adapters") or ()),
        "params": params,
    }
    if job is not None and job.kind == "generate":
        again = {**job.params, "prompt": record.get("prompt") or "", "prompts": []}
    return {
        **output,
        "text": written[:MAX_TEXT_CHARS] if isinstance(written, str) else None,
        "is_cut": isinstance(written, str) and len(written) > MAX_TEXT_CHARS,
        "settings": [{"name": name, "value": value} for name, value in shown.items() if value is not None],
        "again": again,
        "formats": list_formats(row),
        "model_digest": record.get("model_digest"),
        "sha256": record["sha256"],
        "messages": record.get("conversation") or [],
        "previous": before,
        "next": after,
    }


def read_output_record(jobs: Jobs, row: Mapping[str, Any]) -> Mapping[str, Any]:
    if row["removed"]:
        from genloom.store import manifest

        return manifest.read_json(jobs.workspace.folder / "bin" / row["bin"] / "0")
    return jobs.workspace.output(row["id"]).record


def get_path(jobs: Jobs, row: Mapping[str, Any]) -> Path:
    """Return the path of the file of an output, also of one in the bin."""
    if not row["removed"]:
        return jobs.workspace.output(row["id"]).path
    entry = next((entry for entry in jobs.workspace.bin if entry.id == row["bin"]), None)
    if entry is None:
        raise build_unknown_id_error("output", row["id"])
    number = next(n for n, path in enumerate(entry.paths) if Path(path).name == row["file"])
    return jobs.workspace.folder / "bin" / entry.id / str(number)


def list_formats(row: Mapping[str, Any]) -> list[str]:
    """Return the suffixes of the formats that an output can be sent in, its own first."""
    own = Path(row["file"]).suffix
    others = get_ability(find_part("medium", row["medium"]), "save_suffixes") if row["medium"] else ()
    return list(dict.fromkeys((own, *others)))


def guess_mime(name: str) -> str:
    """Return the MIME type of a file; systems disagree on some."""
    if (suffix := Path(name).suffix) in _MIME_TYPES:
        return _MIME_TYPES[suffix]
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
