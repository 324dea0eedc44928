"""Runs to resume: which one a name means, from which step, and with which plan."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from genloom.errors import GenloomError
from genloom.store import mirror
from genloom.store.run import Run
from genloom.store.workspace import Workspace
from genloom.text_format import format_count
from genloom.train import checkpoint
from genloom.train.job import Job, read_job
from genloom.train.request import TrainRequest


def find_resumable_run(workspace: Workspace, name_or_id: str) -> Run:
    """Return the newest run of this name (or with this id) that has a job; a run without one cannot be resumed.

    Finished rounds of learning have the name of the run before them, and are only returned if there is no such run.
    """
    run = workspace.get_run(name_or_id)
    resumable_runs = [
        r for r in workspace.list_runs() if name_or_id in (r.id, r.name) and (r.folder / "job.toml").exists()
    ]
    if not resumable_runs:
        # The name of the run is that of its data, unless the model has a name of its own.
        is_data = any(dataset.name == run.name for dataset in workspace.list_datasets())
        data = shlex.quote(run.name) if is_data else f"DATA --name {shlex.quote(run.name)}"
        raise GenloomError("train.nothing_to_resume", run=run.id, data=data)
    return next((r for r in reversed(resumable_runs) if not is_finished_round(r)), resumable_runs[-1])


def resume_restarted(workspace: Workspace, request: TrainRequest) -> TrainRequest:
    """Return a request to resume the run that `torchrun` restarts after a fault, in place of that for a new one."""
    if request.should_resume or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        return request
    name = request.name or request.data
    runs = [run for run in workspace.list_runs() if run.name == name and (run.folder / "job.toml").exists()]
    return replace(request, data=runs[-1].id, should_resume=True, steps=0) if runs and not runs[-1].model else request


def is_finished_round(run: Run) -> bool:
    """Return whether a run trained a model on ratings to its end; False if its job cannot be read."""
    try:
        return bool(run.model and read_job(run.folder / "job.toml").learning)
    except GenloomError:
        return False


def resume_job(run: Run, steps: int) -> tuple[Job, int | None, str]:
    """Return the job of a run to resume, the step to start it from, and a status message; change nothing.

    `steps` extend or shorten its plan; if they do not, or are 0, the step is None.
    """
    path = run.folder / "job.toml"
    job = read_job(path)
    done_path = run.folder / "done.json"
    model_ref = json.loads(done_path.read_text())["model"] if done_path.exists() else ""
    if steps in (0, job.plan.steps):
        if model_ref:
            raise GenloomError("train.run_finished", run=run.id, model=model_ref, steps=2 * job.plan.steps)
        return job, None, ""
    if job.plan.private.is_on and steps > job.plan.steps:
        promise = {"epsilon": job.plan.private.epsilon, "steps": job.plan.steps}
        raise GenloomError("train.private_extension", run=run.id, **promise)
    checkpoint_folder, plan = run.folder / "state", replace(job.plan, steps=steps, max_seconds=0.0, max_steps=0)
    newest_step = checkpoint.find_newest_step(checkpoint_folder, job.plan.steps)
    # Later states are from the cooldown, in which a run of the new length would not be at that step.
    start_step = checkpoint.find_newest_step(checkpoint_folder, job.plan.cooldown_start)
    if not start_step and newest_step:
        command = build_train_command(job, plan.steps)
        raise GenloomError("train.no_stable_checkpoint", run=run.id, steps=plan.steps, command=command)
    if start_step >= plan.steps:
        raise GenloomError("train.too_few_steps", run=run.id, step=start_step)
    if start_step > plan.cooldown_start:  # a run of the new length would be in its cooldown already; start it here
        plan = replace(plan, cooldown=(plan.steps - start_step) / plan.steps)
    old_steps = job.estimate.get("steps", job.plan.steps)  # more than in a plan that the time limit shortened
    job = replace(job, plan=plan, estimate=rescale_estimate(job.estimate, plan.steps / old_steps, plan.steps))
    note = f"Resuming from step {start_step:,} of {plan.steps:,}"
    if repeated_steps := newest_step - start_step:
        note += (
            f", the last at the full learning rate. The {format_count(repeated_steps, 'step')} after it, in which the "
            "rate fell towards the old end, are trained again at the rate of the longer run"
        )
        note += f"; {model_ref}, which learned in them, stays" if model_ref else ""
    return job, start_step, f"{note}."


def build_train_command(job: Job, steps: int) -> str:
    """Return the command that trains a new model as a run did, for another number of steps."""
    words = ["genloom", "train", job.data]
    if job.name != job.data:
        words += ["--name", job.name]
    if job.base:
        words += ["--from", str(job.base["ref"]), *([] if job.adapter else ["--method", "full"])]
    return shlex.join([*words, "--steps", str(steps)])


def change_plan(run: Run, job: Job, start_step: int) -> None:
    """Store the changed job of a run that continues at a step; checkpoints after it are deleted."""
    checkpoint_folder = run.folder / "state"
    checkpoint.delete_checkpoints_after(checkpoint_folder, start_step)
    checkpoint.pin_checkpoint(checkpoint_folder, start_step)
    mirror.remove_path(run.folder / "done.json")
    job.save(run.folder / "job.toml")


def rescale_estimate(estimate: Mapping[str, Any], ratio: float, steps: int) -> dict[str, Any]:
    """Rescale the estimate of a run to another number of steps, without its expected loss."""
    unchanged_entries = {key: value for key, value in estimate.items() if key != "bits_per_byte"}
    scaled_entries = {
        key: type(unchanged_entries[key])(unchanged_entries[key] * ratio)
        for key in ("tokens", "samples", "seconds")
        if key in unchanged_entries
    }
    return {**unchanged_entries, **scaled_entries, "steps": steps}
