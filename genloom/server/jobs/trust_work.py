"""The work of jobs about trust: verification, copies, and reports on bias and privacy."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genloom.api.verification import Verification
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.jobs.progress import EvaluationProgress, check_cancelled
from genloom.server.jobs.reporter import Reporter

Job = Mapping[str, Any]
MAX_VERIFIED = 1000  # files of one job, whose findings are one answer


def verify(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    """Verify the files of an upload, or an output as it leaves this workspace."""
    params = job["params"]
    if params["output"]:
        reporter.progress(share=None, stage="Verifying")
        with tempfile.TemporaryDirectory() as folder:
            output = workspace.output(params["output"])
            # What cannot be signed is verified as it is: the answer then says that nothing signed it.
            path = output.save(Path(folder) / output.path.name, note=lambda problem: None)
            return {"files": [describe_verification(workspace.verify(path, marks=params["marks"]), path.name)]}
    from genloom.api.verified_files import list_files

    paths = list(dict.fromkeys(each.path for each in list_files(job["paths"]["upload"])))  # a file and its manifest
    found = []
    for number, path in enumerate(paths[:MAX_VERIFIED]):
        check_cancelled(reporter)
        reporter.progress(share=number / len(paths), stage="Verifying", note=path.name)
        verification = workspace.verify(path, marks=params["marks"])
        is_own = is_visible(workspace, verification.output, job["owner"])
        found.append(describe_verification(verification, path.name, is_own=is_own))
    return {"files": found, "left_out": max(0, len(paths) - MAX_VERIFIED)}


def is_visible(workspace: Workspace, output: str, owner: str) -> bool:
    """Return whether a user may know of an output: "" is the person at the machine, who may know of all."""
    if not owner or not output:
        return True
    try:
        return workspace.output(output).record.get("owner") == owner
    except GenloomError:
        return False


def describe_verification(found: Verification, name: str, *, is_own: bool = True) -> dict[str, Any]:
    """Return what a verification found; of another user's output only that this workspace made it."""
    from genloom.server.errors import hide_folders

    content = {**found.to_json(), "file": name, "is_workspace": bool(found.output)}
    for field, text in (("problem", found.problem), ("mark_problem", found.mark_problem)):
        content[field] = hide_folders(text.replace(str(found.path), name))
    if not is_own:
        content |= {"output": None, "facts": {}}
    return content


def find_copies(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    """Find what an output, or the file of an upload, shares with training data."""
    params = job["params"]
    reporter.progress(share=None, stage="Searching the training data")
    if params["output"]:
        output = workspace.output(params["output"])
        report = output.copies(data=params["data"])
    else:
        path = Path(job["paths"]["upload"][0])
        report = workspace.copies(path, params["model"], data=params["data"])
    return {"copies": report.to_json(), "output": params["output"] or None}


def measure_bias(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    """Measure the bias of a model, and store the report where its card finds it."""
    params = job["params"]
    reporter.progress(share=None, stage="Reading sentences")
    model = workspace.model(params["model"])
    bias = model.bias(
        against=params["against"] or None,
        language=params["language"],
        continuations=params["continuations"],
        seed=params["seed"],
    )
    if not params["against"]:
        bias.save()
    return {"model": model.ref, "report": bias.to_json()}


def measure_privacy(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    """Measure what a model reveals of its training data; the report is stored beside its evaluations."""
    params = job["params"]
    model = workspace.model(params["model"])
    report = model.privacy(documents=params["documents"], progress=EvaluationProgress(reporter))
    return {"model": model.ref, "report": report.to_json()}
