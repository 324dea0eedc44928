"""Designs of parts as the server keeps them: goals that are checked before they are queued, and the files of a job."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.errors import GenloomError
from genloom.server.access import User, build_unknown_id_error

if TYPE_CHECKING:
    from genloom.server.jobs.jobs import Jobs

FOLDER = "designs"  # in the workspace: the files of each job
SIGNATURE = ".c2pa"  # of the file beside one that has no place for it
SHARED_FILES = ("report.html", "sheet.png")  # of all designs of a job


def check_goals(text: str) -> None:
    """Raise GenloomError for a document without goals, with the entry and what to write instead."""
    from genloom.media.design.document import parse_document

    goals, _ = parse_document(text)
    if goals is None:
        raise GenloomError("design.empty_document")


def find_file(jobs: "Jobs", id: str, name: str, user: User) -> Path:
    """Return a file of a job of kind design; 404 for another's, and for what is none of its files."""
    job = jobs.get(id, user)
    if job.kind != "design" or name.removesuffix(SIGNATURE) not in list_design_files(job.result or {}):
        raise build_unknown_id_error("design", name)
    path = jobs.workspace.folder / FOLDER / job.id / name
    if not path.is_file():
        raise build_unknown_id_error("design", name)
    return path


def list_design_files(result: Mapping[str, Any]) -> list[str]:
    """Return the names of all files of a result."""
    found = [name for design in result.get("designs", ()) for name in design["files"]]
    return [*found, *(SHARED_FILES if found else ())]


def remove_designs(jobs: "Jobs", id: str, user: User) -> None:
    """Delete the files of a job of kind design; its goals and its seed stay, so that they can be made again."""
    job = jobs.get(id, user)
    if job.kind != "design" or not list_design_files(job.result or {}):
        raise build_unknown_id_error("design", id)
    designs = [{**each, "files": []} for each in (job.result or {})["designs"]]
    jobs.store.write_result(id, {**(job.result or {}), "designs": designs})
    shutil.rmtree(jobs.workspace.folder / FOLDER / id, ignore_errors=True)
