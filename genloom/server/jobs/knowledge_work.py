"""The work of a job of kind knowledge: documents of an upload are read, so that questions are answered from them."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from genloom.api.workspace import Workspace
from genloom.server.jobs.progress import report_share
from genloom.server.jobs.reporter import Reporter
from genloom.server.knowledge import describe_knowledge, get_documents_folder


def read_documents(workspace: Workspace, job: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Move the files of an upload to their knowledge, and read those that are new."""
    name = job["params"]["name"]
    folder = get_documents_folder(workspace, name)
    move_files(map(Path, job["paths"]["upload"]), folder)
    with workspace.open_knowledge(folder, name=name, progress=report_share(reporter, "Reading")) as knowledge:
        if job["owner"]:
            knowledge.index.write_facts(owner=job["owner"])
        row = describe_knowledge(workspace, knowledge)
        return {"knowledge": name, "files": row["files"], "passages": row["passages"], "notes": knowledge.notes}


def move_files(paths: Iterable[Path], folder: Path) -> None:
    """Move files and folders into a folder; one of the same name takes the place of what was there."""
    if folder.is_file():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        target = folder / path.name
        if path.is_dir():
            move_files(sorted(path.iterdir()), target)
        else:
            shutil.rmtree(target, ignore_errors=True)
            path.replace(target)
