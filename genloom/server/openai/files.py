"""/v1/files: files that clients upload, to fine-tune models on."""

import json
import secrets
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from genloom.api.workspace import Workspace
from genloom.server.access import User, build_unknown_id_error, require_scope
from genloom.server.errors import APIError
from genloom.server.files import build_file_response
from genloom.server.openai.models import build_list
from genloom.store import manifest
from genloom.store.files import write_atomic

router = APIRouter()

PURPOSES = ("fine-tune", "batch", "assistants", "vision", "user_data", "evals")
MAX_FILE_BYTES = 512_000_000
_CHUNK_BYTES = 1 << 20


def get_folder(workspace: Workspace) -> Path:
    return workspace.folder / "server" / "files"


def read_file_record(workspace: Workspace, id: str, user: User) -> dict[str, Any]:
    """Return the record of a file of this user; APIError 404 for any other id."""
    is_id = id.startswith("file-") and id[5:].isalnum() and id.isascii()
    path = get_folder(workspace) / f"{id}.json"
    if not is_id or not path.is_file():
        raise build_unknown_id_error("file", id)
    record = manifest.read_json(path)
    user.check_owner(record["owner"], "file", id)
    return record


def find_content(workspace: Workspace, id: str, user: User) -> Path:
    """Return where the bytes of a file are."""
    read_file_record(workspace, id, user)
    return get_folder(workspace) / f"{id}.data"


def describe_file(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": record["id"],
        "object": "file",
        "bytes": record["bytes"],
        "created_at": record["created_at"],
        "expires_at": None,
        "filename": record["filename"],
        "purpose": record["purpose"],
        "status": "processed",
        "status_details": None,
    }


@router.post("/v1/files")
@require_scope("train", body="multipart", max_bytes=MAX_FILE_BYTES)
async def upload_file(request: Request) -> dict[str, Any]:
    """Store a file."""
    async with request.form(max_files=1, max_fields=20) as form:
        file, purpose = form.get("file"), form.get("purpose")
        if not isinstance(file, UploadFile):
            raise APIError("server.file_missing", param="file")
        if purpose not in PURPOSES:
            raise APIError("server.bad_purpose", param="purpose", known=", ".join(PURPOSES))
        id = f"file-{secrets.token_hex(12)}"
        folder = get_folder(request.app.state.workspace)
        size = await copy_upload(file, folder, id)
        record = {
            "id": id,
            "owner": request.state.user.id,
            "filename": Path(file.filename or "file").name[:200],
            "purpose": purpose,
            "bytes": size,
            "created_at": int(time.time()),
        }
        await run_in_threadpool(manifest.write_json, folder / f"{id}.json", record)
    return describe_file(record)


async def copy_upload(file: UploadFile, folder: Path, id: str) -> int:
    """Write an upload piece by piece, and return its size."""
    await run_in_threadpool(folder.mkdir, parents=True, exist_ok=True)
    size, path = 0, folder / f"{id}.data"
    with path.open("wb") as target:
        while piece := await file.read(_CHUNK_BYTES):
            await run_in_threadpool(target.write, piece)
            size += len(piece)
    return size


@router.get("/v1/files")
@require_scope("read")
def list_files(
    request: Request,
    purpose: Annotated[str | None, Query(max_length=50)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    after: Annotated[str | None, Query(max_length=100)] = None,
    order: Annotated[str, Query(pattern="^(asc|desc)$")] = "desc",
) -> dict[str, Any]:
    """List the files of this user."""
    folder, user = get_folder(request.app.state.workspace), request.state.user
    records = [manifest.read_json(path) for path in folder.glob("file-*.json")]
    records = [each for each in records if user.owns(each["owner"]) and purpose in (None, each["purpose"])]
    records.sort(key=lambda each: (each["created_at"], each["id"]), reverse=order == "desc")
    return cut_page([describe_file(each) for each in records], after, limit)


def cut_page(rows: list[dict[str, Any]], after: str | None, limit: int) -> dict[str, Any]:
    """Return the rows after an id as a page of a list."""
    ids = [row["id"] for row in rows]
    first = ids.index(after) + 1 if after in ids else 0
    return build_list(rows[first : first + limit], has_more=len(rows) > first + limit)


@router.get("/v1/files/{id}")
@require_scope("read")
def retrieve_file(request: Request, id: str) -> dict[str, Any]:
    """Return what is known of a file."""
    return describe_file(read_file_record(request.app.state.workspace, id, request.state.user))


@router.get("/v1/files/{id}/content")
@require_scope("read")
def download_file(request: Request, id: str) -> Response:
    """Return the bytes of a file."""
    workspace, user = request.app.state.workspace, request.state.user
    record = read_file_record(workspace, id, user)
    path = find_content(workspace, id, user)
    return build_file_response(path, "application/octet-stream", record["filename"], is_download=True)


@router.delete("/v1/files/{id}")
@require_scope("train")
def delete_file(request: Request, id: str) -> dict[str, Any]:
    """Remove a file; what was trained on it stays."""
    workspace = request.app.state.workspace
    path = find_content(workspace, id, request.state.user)
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return {"id": id, "object": "file", "deleted": True}


def write_result_file(workspace: Workspace, owner: str, filename: str, rows: list[dict[str, Any]]) -> str:
    """Store rows as a file of results, and return its id."""
    id, folder = f"file-{secrets.token_hex(12)}", get_folder(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    write_atomic(folder / f"{id}.data", data)
    record = {"id": id, "owner": owner, "filename": filename, "purpose": "fine-tune-results", "bytes": len(data)}
    manifest.write_json(folder / f"{id}.json", {**record, "created_at": int(time.time())})
    return id
