"""Training runs, from a data set to a stored model: started, resumed, extended."""

import json
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import torch

from genloom.errors import GenloomError
from genloom.model import (
    Model,
    best_device,
    build_conditioners,
    build_networks,
    build_objective,
    resolve_space,
    save_model,
    with_defaults,
)
from genloom.model.likelihood import HeldOutMetric, TextOrChat, measure_held_out, to_metric_key
from genloom.store import files
from genloom.store.dataset import Dataset
from genloom.store.files import write_atomic
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Run, Workspace
from genloom.train import checkpoint, finetune
from genloom.train.data.cache import discard_damaged
from genloom.train.data.source import BatchFn, DataSource, PretrainingSource, get_plural_name, prepare_source
from genloom.train.events import TOKENS, EvalMetrics, Event, RunResult, RunWarning, Status, StepMetrics, Unit
from genloom.train.job import Job, read_job
from genloom.train.log import ProgressLog, Throughput
from genloom.train.loop import StepResult, TrainConfig, TrainState, train
from genloom.train.planning import forecast
from genloom.train.planning.auto_config import Budget, plan_training
from genloom.train.planning.benchmark import find_compile_error
from genloom.train.planning.forecast import NUM_EVALS
from genloom.types import Batch

MAX_SAVE_FRACTION = 0.05  # of the time may be spent on checkpoints


@dataclass(frozen=True)
class TrainRequest:
    data: str  # a data set, or with `should_resume` the name or id of a run
    name: str = ""  # of the model; "": the data set's
    base: str = ""  # a model to fine-tune; "": train a new one
    method: str = "lora"  # of fine-tuning; or "full"
    budget: Budget = field(default_factory=Budget)
    overrides: Mapping[str, str] = field(default_factory=dict)
    should_resume: bool = False
    steps: int = 0  # 0: chosen from the budget, or as in the job
    threads: int = 0  # 0: torch's default
    save_seconds: float = 30.0
    save_steps: int = 0  # also save every so many steps; 0: by time only

    def __post_init__(self) -> None:
        budget = self.budget
        numbers = {
            "minutes": budget.minutes,
            "params": budget.params,
            "tokens": budget.tokens,
            "steps": self.steps,
            "threads": self.threads,
            "save-steps": self.save_steps,
            "seed": budget.seed,
        }
        for name, value in numbers.items():
            if not 0 <= value < 2**63:
                raise GenloomError("train.negative_option", name=name, value=value)


def train_model(workspace: Workspace, request: TrainRequest) -> Generator[Event]:
    """Train and yield events; closing the iterator saves a checkpoint and stops.

    Raises ValueError for an unknown name, too little data, a misspelt setting or a full disk.
    """
    if request.threads:
        torch.set_num_threads(request.threads)
    if request.should_resume:
        run = find_resumable_run(workspace, request.data)
        with lock_run(run):
            job, note = resume_job(run, request)
            if note:
                yield Status(note)
            yield from execute_run(workspace, run, job, request)
        return
    dataset = workspace.get_dataset(request.data)
    run = workspace.get_run(workspace.create_run(request.name or dataset.name).name)
    with lock_run(run):
        job = yield from create_job(workspace, run, dataset, request)
        yield from execute_run(workspace, run, job, request)


def create_job(workspace: Workspace, run: Run, dataset: Dataset, request: TrainRequest) -> Generator[Event, None, Job]:
    """Plan and store the job of a new run; on failure or interruption, remove the run."""
    try:
        budget = replace(request.budget, steps=request.steps or request.budget.steps)
        if request.base:
            base_and_method = request.base, request.method
            job = yield from finetune.plan_finetuning(
                run.folder, workspace, dataset, run.name, base_and_method, budget, request.overrides
            )
        else:
            job = yield from plan_training(run.folder, workspace, dataset, run.name, budget, request.overrides)
        job = replace(job, design=with_defaults(job.design))
        job.save(run.folder / "job.toml")
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return job


def lock_run(run: Run) -> AbstractContextManager[None]:
    """Lock the run against other processes, which would overwrite its checkpoints."""
    return files.lock_folder(run.folder, GenloomError("train.run_locked", run=run.id))


def find_resumable_run(workspace: Workspace, name_or_id: str) -> Run:
    """Return the newest run of this name (or with this id) that has a job; a run without one cannot be resumed."""
    run = workspace.get_run(name_or_id)
    resumable_runs = [
        r for r in workspace.list_runs() if name_or_id in (r.id, r.name) and (r.folder / "job.toml").exists()
    ]
    if not resumable_runs:
        raise GenloomError("train.nothing_to_resume", run=run.id, data=run.name)
    return resumable_runs[-1]


def resume_job(run: Run, request: TrainRequest) -> tuple[Job, str]:
    """Return the job of a run to resume and a status message; `request.steps` extends or shortens its plan."""
    path = run.folder / "job.toml"
    job = read_job(path)
    done_path = run.folder / "done.json"
    if request.steps in (0, job.plan.steps):
        if done_path.exists():
            model_ref = json.loads(done_path.read_text())["model"]
            raise GenloomError("train.run_finished", run=run.id, model=model_ref, steps=2 * job.plan.steps)
        return job, ""
    checkpoint_folder, plan = run.folder / "state", replace(job.plan, steps=request.steps)
    # Later states are from the cooldown, in which a run of the new length would not be at that step.
    start_step = checkpoint.find_newest_step(checkpoint_folder, job.plan.cooldown_start)
    if not start_step and checkpoint.find_newest_step(checkpoint_folder, job.plan.steps):
        raise GenloomError("train.no_stable_checkpoint", run=run.id, data=job.data, steps=plan.steps)
    if start_step >= plan.steps:
        raise GenloomError("train.too_few_steps", run=run.id, step=start_step)
    if start_step > plan.cooldown_start:  # a run of the new length would be in its cooldown already; start it here
        plan = replace(plan, cooldown=(plan.steps - start_step) / plan.steps)
    checkpoint.delete_checkpoints_after(checkpoint_folder, start_step)
    checkpoint.pin_checkpoint(checkpoint_folder, start_step)
    done_path.unlink(missing_ok=True)
    job = replace(job, plan=plan, estimate=rescale_estimate(job.estimate, plan.steps / job.plan.steps, plan.steps))
    job.save(path)
    origin = "the last step before its cooldown" if start_step else "its beginning"
    return job, f"Resuming from step {start_step:,} of {plan.steps:,}, {origin}"


def rescale_estimate(estimate: Mapping[str, Any], ratio: float, steps: int) -> dict[str, Any]:
    """Rescale the estimate of a run to another number of steps, without its expected loss."""
    unchanged_entries = {key: value for key, value in estimate.items() if key != "bits_per_byte"}
    scaled_entries = {
        key: type(unchanged_entries[key])(unchanged_entries[key] * ratio)
        for key in ("tokens", "samples", "seconds")
        if key in unchanged_entries
    }
    return {**unchanged_entries, **scaled_entries, "steps": steps}


def execute_run(workspace: Workspace, run: Run, job: Job, request: TrainRequest) -> Iterator[Event]:
    """Train the remaining steps of a job, then evaluate, store and report."""
    dataset = workspace.get_dataset(job.data, job.digest)
    if job.plan.torch_compile and (compile_error := find_compile_error()):
        yield RunWarning(f"torch.compile does not work here; training without it: {compile_error}")
        job = replace(job, plan=replace(job.plan, torch_compile=False))
    if damage_report := discard_damaged(run.folder):
        yield RunWarning(damage_report)
    source: DataSource
    if job.base:
        base = finetune.load_finetuning_base(workspace, job)
        source = yield from finetune.prepare_finetuning_source(run.folder, dataset, base)
        model, batches, state = finetune.initialize_finetuning(source, base, job)
    else:
        source = yield from prepare_source(run.folder, workspace, dataset, job.design)
        model, batches, state = initialize_training(source, job)
    held_out = source.load_held_out(source.eval_size)
    load_result = checkpoint.load(state, run.folder / "state", job.design.network)
    if load_result is not None:
        yield from (RunWarning(text) for text in load_result.warnings)
    log = ProgressLog(run.folder / "progress.jsonl", state.step)
    yield Status(f"Training {job.name} from step {state.step:,} to {job.plan.steps:,}")
    yield from run_steps(run.folder / "state", log, model, batches, job, state, request, held_out, source.unit)
    yield Status(f"Evaluating on held-out {get_plural_name(dataset.medium)} and storing the model")
    trained_model = replace(model, parts=state.eval_parts.eval())
    eval_started_at = time.perf_counter()
    held_out_metric = evaluate_held_out(trained_model, source)
    log.seconds += time.perf_counter() - eval_started_at
    actual = {
        "seconds": round(log.seconds, 1),
        "memory_bytes": log.peak_memory_bytes,
        to_metric_key(source.metric): None if held_out_metric is None else held_out_metric.value,
        **(finetune.evaluate_general_knowledge(workspace, trained_model, job) if job.base else {}),
        f"{source.unit.key}_per_second": round(state.step * job.units_per_step / max(log.seconds, 1e-9)),
        "steps": state.step,
        "skipped_steps": state.skipped_steps,
    }
    model_folder = find_stored_model(workspace, job, run, state.step)
    if model_folder is None:
        staged_folder = workspace.create_model(job.name)
        with staged_folder as folder:
            card = build_training_card(dataset, job, run, actual, trained_model)
            if job.base:
                finetune.write_finetuned_model(workspace, trained_model, folder, job, card)
            else:
                save_model(trained_model, folder, job.to_tables(), card)
        model_folder = staged_folder.result
    write_atomic(run.folder / "done.json", json.dumps({"model": model_folder.ref}))
    yield RunResult(model_folder.ref, run.id, held_out_metric, log.seconds, job.estimate, actual)


def find_stored_model(workspace: Workspace, job: Job, run: Run, step: int) -> ModelFolder | None:
    """Return the model that this run stored at this step before it was killed, if it did."""
    for model_folder in workspace.list_models():
        actual = model_folder.card.get("fact", {})
        if model_folder.name == job.name and model_folder.card.get("run") == run.id and actual.get("steps") == step:
            return model_folder
    return None


def initialize_training(source: PretrainingSource, job: Job) -> tuple[Model, BatchFn, TrainState]:
    """Return the model at step 0, its batches and its state, as functions of the job."""
    objective = build_objective(job.design, resolve_space(job.design, source.codec))
    torch.manual_seed(job.plan.seed)
    parts = build_networks(job.design, objective)
    conditioners = build_conditioners(job.design)
    model = Model(job.name, source.codec, objective, parts, job.design, conditioners=conditioners)
    batches = source.build_batches(job, model)
    num_parameters = sum(p.numel() for p in parts.parameters())
    for part in parts.values():
        source.fit_counts(part)
    forecast.check_memory(
        job.plan, num_parameters, source.activation_bytes(job, model) * job.batch_size, psutil.virtual_memory().total
    )
    parts.to(best_device())
    return model, batches, TrainState.from_parts(parts, objective, job.plan)


def run_steps(
    checkpoint_folder: Path,
    log: ProgressLog,
    model: Model,
    batches: Callable[[int], Batch],
    job: Job,
    state: TrainState,
    request: TrainRequest,
    held_out: Sequence[TextOrChat] | Batch,
    unit: Unit = TOKENS,
) -> Iterator[Event]:
    """Train, log, evaluate on held-out data now and then, and save so that a kill loses little."""
    plan, previous_seconds, started_at = job.plan, log.seconds, time.perf_counter()
    eval_steps = (
        {max(round(plan.steps * (i + 1) / (NUM_EVALS + 1)), 1) for i in range(NUM_EVALS)} if len(held_out) else set()
    )
    throughput = Throughput(job.units_per_step)
    last_save_at, save_duration = time.perf_counter(), 0.0
    try:
        for step_result in train(model.objective, batches, plan, state):
            throughput.tick()
            log.seconds = previous_seconds + time.perf_counter() - started_at
            if step_result.is_skipped:
                yield RunWarning(f"Step {step_result.step} was skipped: its loss or gradient is not finite.")
            step_metrics = build_step_metrics(step_result, plan, throughput, log.seconds, unit)
            is_cooldown_start = step_result.step == plan.cooldown_start
            is_step_due = bool(request.save_steps) and step_result.step % request.save_steps == 0
            is_time_due = time.perf_counter() - last_save_at > max(
                request.save_seconds, save_duration / MAX_SAVE_FRACTION
            )
            should_save = is_cooldown_start or is_step_due or is_time_due
            if should_save or step_result.step % 10 == 0 or step_result.step == plan.steps:
                log.write_event(step_metrics)
            eval_metrics = (
                evaluate_at_step(step_result.step, replace(model, parts=state.eval_parts), held_out)
                if step_result.step in eval_steps
                else None
            )
            if eval_metrics:
                log.write_event(eval_metrics)
            if should_save:  # after the log, of which a resumed run rewrites only the rows after the saved step
                save_started_at = time.perf_counter()
                checkpoint.save(state, checkpoint_folder, should_keep=is_cooldown_start)
                last_save_at = time.perf_counter()
                save_duration = last_save_at - save_started_at
            yield step_metrics
            if eval_metrics:
                yield eval_metrics
                throughput.reset()
    except GeneratorExit:
        checkpoint.save(state, checkpoint_folder)
        raise
    checkpoint.save(state, checkpoint_folder)
    log.seconds = previous_seconds + time.perf_counter() - started_at


def evaluate_held_out(model: Model, source: DataSource) -> HeldOutMetric | None:
    """Evaluate the model on held-out data; None if there are none."""
    held_out = source.load_held_out(source.final_eval_size)
    return measure_held_out(model, held_out) if len(held_out) else None


def evaluate_at_step(step: int, model: Model, held_out: Sequence[TextOrChat] | Batch) -> EvalMetrics:
    """Evaluate during training, with the networks in evaluation mode meanwhile."""
    training_parts = [part for part in model.parts.values() if part.training]
    model.parts.eval()
    held_out_metric = measure_held_out(model, held_out)
    for part in training_parts:
        part.train()
    return EvalMetrics(step, held_out_metric)


def build_step_metrics(
    step_result: StepResult, plan: TrainConfig, throughput: Throughput, seconds: float, unit: Unit
) -> StepMetrics:
    seconds_left = (plan.steps - step_result.step) * throughput.step_seconds
    return StepMetrics(
        step_result.step,
        plan.steps,
        step_result.losses,
        step_result.metrics,
        round(throughput.units_per_second),
        seconds_left,
        round(seconds, 3),
        unit,
    )


def build_training_card(
    dataset: Dataset, job: Job, run: Run, actual: Mapping[str, Any], model: Model
) -> dict[str, Any]:
    """Return the card of a trained model: its size, origin, forecast and measurements."""
    return {
        "data": {"name": dataset.name, "digest": dataset.digest, "licences": dataset.manifest.get("licences", {})},
        "run": run.id,
        "parameters": sum(p.numel() for p in model.parts.parameters()),
        "forecast": dict(job.estimate),
        "fact": dict(actual),
        "machine": checkpoint.describe_machine(),
    }
