"""The work of jobs about designs: parts from their goals, with their files and a report."""

import shutil
from collections.abc import Mapping
from typing import Any

from genloom.api.design import DesignProgress, MadeDesign, iter_designs, save_designs
from genloom.api.workspace import Workspace
from genloom.server.design import FOLDER
from genloom.server.jobs.progress import report_share
from genloom.server.jobs.reporter import Reporter


def make_designs(workspace: Workspace, job: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Design parts for the goals of a document, and write their files."""
    from genloom.media.design.document import parse_document

    params, folder = job["params"], workspace.folder / FOLDER / job["id"]
    goals, _ = parse_document(params["goals"])
    assert goals is not None, "goals are checked before they are queued"
    report, made = report_share(reporter, "Designing"), list[MadeDesign]()
    options = {name: params[name] for name in ("count", "model", "seed", "refine", "guide")}
    for event in iter_designs(workspace, goals, **options):
        if isinstance(event, DesignProgress):
            report(event.done, event.note)
        else:
            made.append(event)
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that died
    files = save_designs(workspace, goals, made, folder, note=reporter.note)
    designs = [
        {
            "name": name,
            "files": files[name],
            "origin": each.origin,
            "facts": dict(each.facts),
            "faults": list(each.faults),
            "distance": each.distance,
        }
        for name, each in zip(files, made, strict=True)
    ]
    return {"title": goals.title, "designs": designs}
