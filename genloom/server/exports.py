"""Exported models: files in `exports/<job>/` that wait for their download. They can be made again, so old ones go."""

import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.server.access import User, build_unknown_id_error
from genloom.store.clock import get_now

if TYPE_CHECKING:
    from genloom.server.jobs.jobs import Jobs
    from genloom.server.jobs.store import Job

KEPT_DAYS = 30
_MAX_LISTED = 500
_FILE_FIELDS = ("file", "bytes", "download")  # of the result of a job whose file is still there


def get_folder(jobs: "Jobs") -> Path:
    return jobs.workspace.folder / "exports"


def list_exports(jobs: "Jobs", user: User) -> list[dict[str, Any]]:
    """List the exported models of a user that can be downloaded, newest first."""
    found = jobs.store.find(
        owner=None if user.is_local else user.id, states=["succeeded"], kinds=["export"], limit=_MAX_LISTED
    )
    return [
        {
            "id": job.id,
            "model": job.params["model"],
            "file": path.name,
            "bytes": path.stat().st_size,
            "created": job.finished or job.created,
            "url": f"/api/jobs/{job.id}/download",
        }
        for job in found
        if (path := find_file(jobs, job)) is not None
    ]


def find_file(jobs: "Jobs", job: "Job") -> Path | None:
    """Return the file of an export; None if the job has none, or it was removed."""
    name = (job.result or {}).get("file")
    if job.kind != "export" or not name:
        return None
    path = get_folder(jobs) / job.id / name
    return path if path.is_file() else None


def get_file(jobs: "Jobs", id: str, user: User) -> Path:
    """Return the file of an export; 404 for another's, and for one that was removed."""
    path = find_file(jobs, jobs.get(id, user))
    if path is None:
        raise build_unknown_id_error("export", id)
    return path


def remove_export(jobs: "Jobs", id: str, user: User) -> int:
    """Delete the file of an export, and return its size; the job stays in the history."""
    size = get_file(jobs, id, user).stat().st_size
    _remove(jobs, [id])
    return size


def remove_old_exports(jobs: "Jobs") -> None:
    """Delete the files of exports of more than `KEPT_DAYS` days ago, and what jobs left that did not succeed."""
    oldest = (get_now() - timedelta(days=KEPT_DAYS)).isoformat()
    folder, stale = get_folder(jobs), []
    for path in folder.iterdir() if folder.is_dir() else ():
        job = jobs.store.get(path.name)
        if job is None or (job.is_ended and (job.state != "succeeded" or (job.finished or job.created) < oldest)):
            stale.append(path.name)
    _remove(jobs, stale)


def _remove(jobs: "Jobs", ids: Sequence[str]) -> None:
    for id in ids:
        job = jobs.store.get(id)
        if job is not None and job.result is not None:
            rest = {name: value for name, value in job.result.items() if name not in _FILE_FIELDS}
            jobs.store.write_result(id, rest)
        shutil.rmtree(get_folder(jobs) / id, ignore_errors=True)
