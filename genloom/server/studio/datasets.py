"""`/api/datasets`: what was collected, left out and why, samples, and the bin."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from genloom.api.datasets import Dataset as WorkspaceDataset
from genloom.api.workspace import Workspace
from genloom.server.access import build_unknown_id_error, require_scope
from genloom.server.errors import APIError
from genloom.server.files import build_file_response
from genloom.server.jobs.jobs import Jobs
from genloom.server.studio.services import CurrentJobs, CurrentWorkspace, Limit, Words
from genloom.server.studio.shapes.datasets import (
    CaptionChange,
    Consent,
    Dataset,
    DatasetDetail,
    Sample,
    Withdrawal,
)
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.system import BinItem
from genloom.store.dataset import SPLITS
from genloom.store.dataset_removal import has_document, replace_captions

router = APIRouter()
Digest = Annotated[str, Query(pattern="^[0-9a-f]{0,64}$")]
_SECONDS = 120.0


@router.get("/api/datasets", response_model=Page[Dataset])
@require_scope("read")
def list_datasets(workspace: CurrentWorkspace) -> Any:
    """List the newest version of every data set."""
    used = find_uses(workspace)
    return Page[Any](data=[build_dataset(dataset, used) for dataset in workspace.datasets])


@router.get("/api/datasets/{name}", response_model=DatasetDetail)
@require_scope("read")
def get_dataset(name: str, jobs: CurrentJobs, digest: Digest = "") -> Any:
    """Return a data set with what was read, kept and left out, and its splits and versions."""
    workspace = jobs.workspace
    dataset = workspace.dataset(name, digest)
    report = {key: value for key, value in dataset.report.items() if key != "files"}
    card, counts = dataset.folder / "CARD.md", report.get("documents") or {}
    return {
        **build_dataset(dataset, find_uses(workspace)),
        "read": counts.get("read"),
        "kept": counts.get("kept"),
        "removed": [{"reason": reason, "count": count} for reason, count in (counts.get("removed") or {}).items()],
        "notes": list_notes(report),
        "splits": {
            split: {
                "documents": dataset.stored.count_documents(split),
                "bytes": dataset.stored.count_bytes(split),
            }
            for split in SPLITS
        },
        "versions": list_versions(workspace, dataset),
        "report": report,
        "card_text": card.read_text(encoding="utf-8", errors="replace") if card.is_file() else "",
        "can_edit_captions": has_captions(dataset),
        "edited_captions": len(jobs.marks.get_captions(dataset.digest)),
        "persons": list(dataset.stored.manifest.get("persons") or ()),
        "consents": list_consents(workspace, name),
    }


@router.get("/api/datasets/{name}/samples", response_model=Page[Sample])
@require_scope("read")
async def list_samples(
    name: str,
    jobs: CurrentJobs,
    digest: Digest = "",
    split: Literal["", "train", "val", "test"] = "",
    q: Words = "",
    cursor: Annotated[int, Query(ge=0, lt=2**53)] = 0,
    limit: Limit = 24,
) -> Any:
    """List the documents of a data set, with the words of `q` in their text or caption."""
    dataset = await asyncio.to_thread(jobs.workspace.dataset, name, digest)
    found = await jobs.slow_worker.ask(
        "list_samples",
        seconds=_SECONDS,
        name=name,
        digest=dataset.digest,
        split=split,
        q=q,
        start=cursor,
        limit=limit,
    )
    mime = await describe_samples(jobs, dataset, found["samples"])
    edited = await asyncio.to_thread(jobs.marks.get_captions, dataset.digest)
    samples = [build_sample(dataset, sample, mime, edited) for sample in found["samples"]]
    following = found["next"]
    return Page[Any](data=samples, has_more=following is not None, next=None if following is None else str(following))


@router.get("/api/datasets/{name}/samples/{id}/file")
@require_scope("read")
async def get_sample_file(
    name: str, id: str, jobs: CurrentJobs, digest: Digest = "", thumbnail: bool = False
) -> Response:
    """Send what a page shows of a document, or a small picture of it."""
    dataset = await asyncio.to_thread(jobs.workspace.dataset, name, digest)
    found = await jobs.slow_worker.ask(
        "show_sample", seconds=_SECONDS, name=name, digest=dataset.digest, id=id[:128], is_thumbnail=thumbnail
    )
    if found is None:
        raise build_unknown_id_error("picture of document", id)
    path = Path(found["path"])
    return build_file_response(path, found["mime"], path.name)


@router.patch("/api/datasets/{name}/samples/{id}", status_code=204)
@require_scope("train")
def change_caption(name: str, id: str, body: CaptionChange, jobs: CurrentJobs, digest: Digest = "") -> Response:
    """Edit a caption; a new version has it once the edits are applied, since versions never change."""
    dataset = jobs.workspace.dataset(name, digest)
    if not has_captions(dataset):
        raise APIError("studio.no_captions", status=409, data=name)
    if not has_document(dataset.stored, id):
        raise build_unknown_id_error("document", id)
    jobs.marks.set_caption(dataset.digest, id, body.caption)
    return Response(status_code=204)


@router.post("/api/datasets/{name}/captions", response_model=Dataset)
@require_scope("train")
def apply_captions(name: str, jobs: CurrentJobs, digest: Digest = "") -> Any:
    """Make a version of the data set with all captions that were edited."""
    dataset = jobs.workspace.dataset(name, digest)
    captions = jobs.marks.get_captions(dataset.digest)
    if captions:
        changed = replace_captions(jobs.workspace.store, dataset.stored, captions)
        jobs.marks.remove_captions(dataset.digest)
        jobs.events.publish("dataset.created", {"name": name})
        dataset = jobs.workspace.dataset(name, changed.digest)
    return build_dataset(dataset, find_uses(jobs.workspace))


@router.post("/api/datasets/{name}/withdrawals", response_model=Page[Consent])
@require_scope("train")
def withdraw_consent(name: str, body: Withdrawal, jobs: CurrentJobs) -> Any:
    """Record that a person has withdrawn the consent to a data set; it holds for all its versions."""
    jobs.workspace.withdraw_consent(name, body.who)
    return Page[Any](data=list_consents(jobs.workspace, name))


@router.delete("/api/datasets/{name}", response_model=BinItem)
@require_scope("train")
def remove_dataset(name: str, jobs: CurrentJobs, digest: Digest = "", force: bool = False) -> Any:
    """Move a data set, or one version of it, to the bin; refused while models need it, unless forced."""
    entry = jobs.workspace.remove("data", f"{name}/{digest}" if digest else name, force=force)
    jobs.events.publish("dataset.removed", {"name": name})
    return entry.to_record()


@router.post("/api/datasets/{name}/restore", response_model=Dataset)
@require_scope("train")
def restore_dataset(name: str, jobs: CurrentJobs) -> Any:
    jobs.workspace.restore(name)
    jobs.events.publish("dataset.restored", {"name": name})
    return build_dataset(jobs.workspace.dataset(name), find_uses(jobs.workspace))


def build_dataset(dataset: WorkspaceDataset, used: Mapping[str, list[str]]) -> dict[str, Any]:
    record = dataset.to_record()
    names = ("name", "digest", "medium", "created", "documents", "bytes", "licences")
    return {**{name: record[name] for name in names}, "used_by": used.get(dataset.digest, [])}


def list_consents(workspace: Workspace, data: str) -> list[dict[str, Any]]:
    """List the consents to a data set with their state today."""
    return [row for row in workspace.list_consents() if row["data"] == data]


async def describe_samples(jobs: Jobs, dataset: WorkspaceDataset, samples: list[dict[str, Any]]) -> str:
    """Return the MIME type of what pages show of the documents; "" for text, which they have already."""
    if not samples or samples[0]["caption"] is None:
        return ""
    key = f"documents of {dataset.medium}"
    if key not in jobs.displays:
        jobs.displays[key] = await jobs.slow_worker.ask(
            "show_sample", name=dataset.name, digest=dataset.digest, id=samples[0]["id"], is_thumbnail=False
        )
    return str(jobs.displays[key]["mime"])


def build_sample(
    dataset: WorkspaceDataset, sample: Mapping[str, Any], mime: str, edited: Mapping[str, str]
) -> dict[str, Any]:
    address = f"/api/datasets/{dataset.name}/samples/{sample['id']}/file?digest={dataset.digest}"
    return {
        **sample,
        "caption": edited.get(sample["id"], sample["caption"]),
        "is_edited": sample["id"] in edited,
        "medium": dataset.medium,
        "url": address if mime else None,
        "shown_mime": mime or None,
        "thumbnail": f"{address}&thumbnail=true" if mime.startswith("image/") else None,
    }


def has_captions(dataset: WorkspaceDataset) -> bool:
    """Return whether the documents are values with captions, and not texts."""
    import pyarrow.parquet as pq

    part = next(iter(sorted(dataset.folder.glob("part-*.parquet"))), None)
    return part is not None and "content" in pq.read_schema(part).names


def find_uses(workspace: Workspace) -> dict[str, list[str]]:
    """Return the versions that were trained on each data set, by its digest."""
    uses: dict[str, list[str]] = {}
    for model in workspace.models:
        if digest := (model.card.get("data") or {}).get("digest"):
            uses.setdefault(digest, []).append(model.ref)
    return uses


def list_versions(workspace: Workspace, dataset: WorkspaceDataset) -> list[dict[str, Any]]:
    folders = [folder for folder in dataset.folder.parent.iterdir() if (folder / "manifest.json").is_file()]
    versions = [workspace.dataset(dataset.name, folder.name) for folder in folders]
    rows = [{"digest": v.digest, "created": v.stored.created, "documents": len(v)} for v in versions]
    return sorted(rows, key=lambda row: row["created"], reverse=True)


def list_notes(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what the collection noted of files, a thousand at most."""
    notes = [note if isinstance(note, Mapping) else {"reason": note} for note in report.get("notes") or ()]
    return [
        {"source": str(note.get("source") or note.get("file") or ""), "reason": str(note.get("reason") or "")}
        for note in notes[:1000]
    ]
