"""The work of a job's process, for each kind of job. A job that died is run again: nothing is made twice."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genloom.api.progress import describe_counts
from genloom.api.workspace import Workspace
from genloom.server.jobs.design import make_designs
from genloom.server.jobs.knowledge_work import read_documents
from genloom.server.jobs.progress import EvaluationProgress, Rate, check_cancelled, report_share, report_training
from genloom.server.jobs.reporter import Reporter
from genloom.server.jobs.trust_work import find_copies, measure_bias, measure_privacy, verify
from genloom.text_format import format_bytes

Job = Mapping[str, Any]
_NUM_SAMPLES = 8  # texts that a new model writes on the way


def collect(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    params = job["params"]
    sources = [params["builtin"]] if params["builtin"] else job["paths"]["upload"]
    name = params["name"] or (Path(sources[0]).stem if len(sources) > 1 else "")
    names = ("medium", "licence", "column", "near_duplicates", "val", "test")
    options = {name: params[name] for name in names if params[name] not in ("", None)}
    options |= {"consent": job["paths"].get("consent", ""), "persons": params.get("persons", [])}
    events: Any = workspace.iter_collect(
        sources, name=name, keep=params["keep"], seed=params["seed"], **options, **params["options"]
    )
    rate, report = Rate(), None
    with closing(events):
        for step in events:
            check_cancelled(reporter)
            report = step.report
            if rate.is_due() or report is not None:
                reporter.progress(
                    share=step.bytes_done / max(step.total_bytes, 1),
                    stage="Collecting",
                    note=f"{format_bytes(step.bytes_done)} of {format_bytes(step.total_bytes)}, "
                    f"{describe_counts(step)}, {step.files_skipped:,} files left out",
                )
    assert report is not None, "a collection ends with its report"
    return {"dataset": report.name, "digest": report.digest}


def train(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    params, run = job["params"], find_run(workspace, job)
    if run is not None and run.stored.model:  # it died after the end
        return {"model": run.stored.model, "run": run.id}
    if run is not None and (run.stored.folder / "job.toml").exists():
        events = workspace.iter_train(run.id, resume=True, num_samples=_NUM_SAMPLES)
    else:
        if run is not None:
            shutil.rmtree(run.stored.folder, ignore_errors=True)
        events = workspace.iter_train(
            params["data"],
            minutes=params["minutes"],
            params=params["params"],
            tokens=params["tokens"],
            steps=params["steps"],
            name=params["name"],
            from_=params["from"],
            method=params["method"],
            overrides=params["overrides"],
            seed=params["seed"],
            private=params.get("private", False),
            epsilon=params.get("epsilon") if params.get("private") else None,
            num_samples=_NUM_SAMPLES,
        )
    result = report_training(events, reporter, "Training")
    return {"model": result.ref, **result.to_record()}


def learn(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    model = workspace.model(job["params"]["model"])
    if (run := job["notes"].get("run")) is not None:
        for entry in workspace.ledger.iter_entries(["round"]):
            if entry.body["run"] == run:  # it died after the end
                body = entry.body
                return {"receipt": body["receipt"], "promoted": body["promote"], "challenger": body["challenger"]}
    options = {name: value for name, value in job["params"].items() if name != "model"}
    receipt = model.to_receipt(report_training(model.iter_learn(**options), reporter, "Learning"))
    return {"receipt": receipt.digest, "promoted": receipt.is_promoted, "challenger": receipt.content.challenger}


def evaluate(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    params = job["params"]
    result = workspace.model(params["model"]).evaluate(**read_evaluation(params, reporter))
    folder = result.save()
    return {"lines": list(result.lines), "folder": folder.name, "charts": list(result.files)}


def compare(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    params = job["params"]
    model = workspace.model(params["model"])
    result = model.compare(params["other"], **read_evaluation(params, reporter))
    chart = result.save().name if result.chart else None
    return {"lines": list(result.lines), "report": result.to_json(), "verdict": result.verdict, "chart": chart}


def forget(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    params = job["params"]
    for entry in workspace.ledger.iter_entries(["forgetting"]):
        if job["attempts"] > 1 and entry.seq > job["notes"].get("ledger", 0) and entry.body["model"] == params["model"]:
            return {name: entry.body[name] for name in ("new_version", "tainted_versions", "proof")}
    if "ledger" not in job["notes"]:
        head = workspace.ledger.get_head()
        reporter.remember(ledger=head.seq if head else 0)
    events = workspace.model(params["model"]).iter_forget(rater=params["rater"], item=params["item"])
    return asdict(report_training(events, reporter, "Forgetting"))


def import_model(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    params = job["params"]
    name = params["name"] or params["source"]
    if job["attempts"] > 1:
        for model in workspace.models:  # it died after the end
            if model.name == name and model.folder.created >= job["created"] and not model.folder.parent_ref:
                return {"model": model.ref}
    entries = job["paths"].get("upload") or [params["source"]]
    source = entries[0] if len(entries) == 1 else str(Path(entries[0]).parent)
    model = workspace.import_model(source, name=name, base=params["base"], progress=report_share(reporter, "Importing"))
    return {"model": model.ref}


def export_model(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    params, folder = job["params"], workspace.folder / "exports" / job["id"]
    shutil.rmtree(folder, ignore_errors=True)
    model = workspace.model(params["model"])
    out = folder / f"{model.name}-{model.version}{'.gguf' if params['to'] == 'gguf' else ''}"
    folder.mkdir(parents=True)
    result = model.export(
        out, to=params["to"], precision=params["precision"], progress=report_share(reporter, "Exporting")
    )
    if out.is_dir():
        archive = Path(shutil.make_archive(str(out), "zip", folder, out.name))
        shutil.rmtree(out)
        out = archive
    address = f"/api/jobs/{job['id']}/download"
    return {"file": out.name, "bytes": out.stat().st_size, "download": address, "report": str(result)}


def test_prompt(workspace: Workspace, job: Job, reporter: Reporter) -> dict[str, Any]:
    """Answer the tests of a prompt of the library, and check the answers, which are outputs."""
    params = job["params"]
    reporter.progress(share=None, stage="Answering the tests")
    report = workspace.prompts.test(params["prompt"], model=params["model"], seed=params["seed"])
    return {"report": report.to_record()}


WORK: dict[str, Callable[[Workspace, Job, Reporter], dict[str, Any]]] = {
    "collect": collect,
    "train": train,
    "learn": learn,
    "evaluate": evaluate,
    "compare": compare,
    "forget": forget,
    "import": import_model,
    "export": export_model,
    "knowledge": read_documents,
    "verify": verify,
    "copies": find_copies,
    "bias": measure_bias,
    "privacy": measure_privacy,
    "test_prompt": test_prompt,
    "design": make_designs,
}


def find_run(workspace: Workspace, job: Job) -> Any:
    """Return the run that an earlier attempt began; None if there is none."""
    id = job["notes"].get("run")
    return next((run for run in workspace.runs if run.id == id), None) if id else None


def read_evaluation(params: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Return the keywords of `Model.evaluate` and `Model.compare`."""
    names = ("data", "split", "battery", "tasks", "limit")
    return {**{name: params[name] for name in names}, **params["options"], "progress": EvaluationProgress(reporter)}
