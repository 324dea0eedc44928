"""Training runs, from data to a stored model: started, resumed, extended.

Pretraining, fine-tuning and preference training are one sequence, `train_model`; they differ only in their stage
(pretraining.py, finetune.py, preference/stage.py):

1. Choose the stage: of the request, or of the job of a stopped run.
2. Plan a new run: measure this machine, choose sizes and steps, and store them as the job (`create_job`). Or resume a
   stopped run: read its job (`resume_job` of resume.py).
3. Initialize: encode the data in the run's folder, build the model at step 0, and load the newest checkpoint over it.
   Everything is a function of the job, so that a killed run ends in the same bits.
4. Train (`run_steps` of steps.py around the loop of loop.py): log, evaluate on held-out data, save checkpoints.
5. Evaluate on all held-out data, and store the model with its card.
"""

from collections.abc import Generator, Mapping, Sized
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, cast

import torch

from genloom.errors import GenloomError, format_message
from genloom.model import Model, with_defaults
from genloom.model.likelihood import BITS_PER_BYTE, HeldOutMetric, measure_held_out, to_metric_key
from genloom.processors import count_allowed_processors
from genloom.running_time import read_running_seconds
from genloom.store import built_in, files, mirror
from genloom.store.model_folder import ModelFolder
from genloom.store.run import Run, finish_run
from genloom.store.workspace import Workspace
from genloom.train import checkpoint
from genloom.train.data.cache import discard_damaged
from genloom.train.data.private_batches import PoissonBatches
from genloom.train.data.source import DataSource, load_held_out
from genloom.train.events import Event, RunResult, RunStart, RunWarning, Status
from genloom.train.finetune import Finetuning
from genloom.train.job import Job, read_job
from genloom.train.log import ProgressLog
from genloom.train.loop import TrainState
from genloom.train.parallel.config import DDP, check_devices
from genloom.train.parallel.group import ProcessGroup, join_group
from genloom.train.parallel.launch import WAIT_FACTOR, supervise_ranks
from genloom.train.parallel.strategy import build_parallel
from genloom.train.parallel.worker import Assignment
from genloom.train.planning import forecast
from genloom.train.planning.benchmark import find_compile_error
from genloom.train.planning.devices import load_prices
from genloom.train.post_hoc_ema import choose_average, delete_snapshots_after
from genloom.train.preference.stage import ROLLOUTS_PER_STEP, PreferenceTraining
from genloom.train.pretraining import Pretraining
from genloom.train.privacy import NoiseKey, load_noise_key
from genloom.train.request import TrainRequest
from genloom.train.resume import change_plan, find_resumable_run, resume_job, resume_restarted
from genloom.train.stage import TrainingStage
from genloom.train.steps import run_steps
from genloom.train.utilization import measure_utilization
from genloom.waiting import watch_processors

BITS_PER_BYTE_KEY = to_metric_key(BITS_PER_BYTE)
MAX_THREADS_PER_PROCESSOR = 4  # more spend their time on waiting for each other


def train_model(workspace: Workspace, request: TrainRequest) -> Generator[Event]:
    """Train and yield events; closing the iterator saves a checkpoint and stops.

    Raises ValueError for an unknown name, too little data, a misspelt setting or a full disk.
    """
    if request.threads > (limit := MAX_THREADS_PER_PROCESSOR * count_allowed_processors()):
        raise GenloomError("train.too_many_threads", threads=request.threads, limit=limit)
    if request.threads:
        torch.set_num_threads(request.threads)
    watch_processors()
    with join_group() as group:
        if not group.is_main:  # another process plans
            run_id, job, start_step = cast(tuple[str, Job, int | None], group.broadcast(None))
            run = workspace.get_run(run_id)
            yield RunStart(run.id)
            yield from execute_run(workspace, run, restore_stage(workspace, job), job, request, start_step, group)
            return
        request = resume_restarted(workspace, request)
        if request.should_resume:
            run = find_resumable_run(workspace, request.data)
            with lock_run(run):
                stage = restore_stage(workspace, read_job(run.folder / "job.toml"))
                job, start_step, note = resume_job(run, request.steps)
                yield RunStart(run.id)
                if note:
                    yield Status(note)
                yield from execute_job(workspace, run, stage, job, request, start_step, group)
            return
        stage = choose_stage(workspace, request)
        unfinished_run = find_unfinished_run(stage, request)
        if unfinished_run is not None:
            with lock_run(unfinished_run):
                yield RunStart(unfinished_run.id)
                yield Status(f"Resuming {unfinished_run.id}")
                job = read_job(unfinished_run.folder / "job.toml")
                yield from execute_job(workspace, unfinished_run, stage, job, request, None, group)
            return
        run = workspace.get_run(workspace.create_run(request.name or request.data).name)
        with lock_run(run):
            job = yield from create_job(run, stage, request, group)
            yield from execute_job(workspace, run, stage, job, request, None, group)


def execute_job(
    workspace: Workspace,
    run: Run,
    stage: TrainingStage,
    job: Job,
    request: TrainRequest,
    start_step: int | None,
    group: ProcessGroup,
) -> Generator[Event]:
    """Execute a job in this process and those of its group, or start a process for each of its devices."""
    job = with_devices(job, request, group)
    group.broadcast((run.id, job, start_step))
    if group.world_size > 1 or job.parallel.devices == 1:
        yield from execute_run(workspace, run, stage, job, request, start_step, group)
        return
    assignment = Assignment(
        workspace=workspace.root,
        run=run.id,
        request=request,
        job=job,
        start_step=start_step,
        devices=job.parallel.devices,
        threads=max((request.threads or torch.get_num_threads()) // job.parallel.devices, 1),
        ping_seconds=min(job.parallel.timeout / 4, 5.0),
    )
    yield from supervise_ranks(execute_rank, assignment, job.parallel, run.folder)


def execute_rank(assignment: Assignment, group: ProcessGroup) -> Generator[Event]:
    """Execute a run as one of its processes on this machine."""
    watch_processors()
    workspace = Workspace.from_option(str(assignment.workspace))  # also of a storage, which its folder mirrors
    run = workspace.get_run(assignment.run)
    job = assignment.job or with_devices(read_job(run.folder / "job.toml"), assignment.request, group)
    request = assignment.request
    stage = restore_stage(workspace, job) if request.preferences is None else choose_stage(workspace, request)
    yield from execute_run(workspace, run, stage, job, request, assignment.start_step, group)


def with_devices(job: Job, request: TrainRequest, group: ProcessGroup) -> Job:
    """Return the job for the processes that a launcher started, or else for the devices that are asked for.

    Raise GenloomError if a device would have no row, or if there are not as many.
    """
    devices = group.world_size if group.world_size > 1 else request.devices or job.parallel.devices
    job = replace(job, parallel=replace(job.parallel, devices=devices))
    check_devices(job.parallel, job.batch_size, is_local=group.world_size == 1)
    if devices > 1 and job.learning:
        if group.world_size > 1:
            raise GenloomError("train.learning_by_launcher", model=job.name, devices=devices)
        if (method := job.learning.get("method")) in ROLLOUTS_PER_STEP:
            raise GenloomError("train.rollouts_on_devices", method=method, devices=devices)
    if devices > 1 and job.parallel.strategy != DDP and (job.adapter or job.plan.private.is_on):
        raise GenloomError("train.not_sharded", strategy=job.parallel.strategy)
    return job


def choose_stage(workspace: Workspace, request: TrainRequest) -> TrainingStage:
    """Return the stage of a new run. Raises ValueError for data that are unknown, or not as they were collected."""
    if request.preferences is not None:
        return PreferenceTraining(workspace, request.base, request.method, request.preferences)
    dataset = workspace.get_dataset(request.data)
    dataset.verify()
    if request.base:
        return Finetuning(workspace, request.base, request.method, dataset)
    return Pretraining(workspace, dataset)


def restore_stage(workspace: Workspace, job: Job) -> TrainingStage:
    """Return the stage of a stopped run. Raises ValueError if its data are gone, or not as they were collected."""
    if job.learning:
        raise GenloomError("train.resume_by_learning", model=job.name)
    dataset = workspace.get_dataset(job.data, job.digest)
    dataset.verify()
    if job.base:
        return Finetuning(workspace, job.base["ref"], job.adapter.get("method", "full"), dataset)
    return Pretraining(workspace, dataset)


def find_unfinished_run(stage: TrainingStage, request: TrainRequest) -> Run | None:
    """Return the stopped run of the same preference training; runs on data sets are resumed by their names only."""
    if not isinstance(stage, PreferenceTraining):
        return None
    return stage.find_unfinished_run(request.name, request.budget.seed, request.overrides, request.judged_runs)


def create_job(
    run: Run, stage: TrainingStage, request: TrainRequest, group: ProcessGroup
) -> Generator[Event, None, Job]:
    """Plan and store the job of a new run; on failure or interruption, remove the run."""
    try:
        yield RunStart(run.id)
        if run.name in built_in.list_names() and request.base.partition("/")[0] != run.name:
            yield RunWarning(format_message("train.replaces_built_in", name=run.name))
        budget = replace(request.budget, steps=request.steps or request.budget.steps)
        devices = group.world_size if group.world_size > 1 else request.devices
        asked = {"parallel.devices": str(devices)} if devices else {}
        job = yield from stage.plan(run.folder, run.name, budget, {**request.overrides, **asked})
        job = with_devices(replace(job, design=with_defaults(job.design)), request, group)
        job.save(run.folder / "job.toml")
    except BaseException:
        mirror.remove_path(run.folder)
        raise
    return job


def lock_run(run: Run) -> AbstractContextManager[None]:
    """Lock the run against other processes, which would overwrite its checkpoints."""
    return files.lock_folder(run.folder, GenloomError("train.run_locked", run=run.id))


def execute_run(
    workspace: Workspace,
    run: Run,
    stage: TrainingStage,
    job: Job,
    request: TrainRequest,
    start_step: int | None,
    group: ProcessGroup,
) -> Generator[Event]:
    """Train the remaining steps of a job, then evaluate, store and report.

    A job with a changed plan is stored, with the step it starts from, once data and model are there: a run that cannot
    be resumed stays as it is. Of several processes, the main one writes; all yield the same events.
    """
    if job.plan.torch_compile and (compile_error := find_compile_error()):
        yield RunWarning(format_message("train.no_torch_compile", reason=compile_error))
        job = replace(job, plan=replace(job.plan, torch_compile=False))
    started_at = read_running_seconds()
    with group.main_first():
        if damage_report := discard_damaged(run.folder):
            yield RunWarning(damage_report)
        source, model, batches = yield from stage.initialize(run.folder, job)
        if start_step is not None and group.is_main:
            change_plan(run, job, start_step)
        noise_key = load_noise_key(run.folder) if isinstance(batches, PoissonBatches) else NoiseKey()
    state = TrainState.from_parts(model.parts, model.objective, job.plan, build_parallel(job.parallel, group))
    if isinstance(batches, PoissonBatches):
        state.noise_key = noise_key
        batches = batches.with_key(noise_key)
    held_out = load_held_out(source, job.eval_share, source.eval_size)
    load_result = checkpoint.load_checkpoint(state, run.folder / "state", job.design.network)
    if load_result is not None:
        yield from (RunWarning(text) for text in load_result.warnings)
    if group.is_main:
        delete_snapshots_after(run.folder / "averages", state.step)
    log = ProgressLog(run.folder / "progress.jsonl", state.step, group.is_main)
    yield Status(f"Training {job.name} from step {state.step:,} to {job.plan.steps:,}")
    preparation_seconds = 0.0 if state.step else read_running_seconds() - started_at
    with group.limit_wait(WAIT_FACTOR * job.parallel.timeout):
        plan = yield from run_steps(
            *(run.folder / "state", log, model, batches, job, state, request, held_out, preparation_seconds),
            source.unit,
        )
    job = restate_estimate(replace(job, plan=plan), source)
    parts = state.parallel.gather_parts(state.eval_parts, model)
    result = None
    if group.is_main:
        trained_model = replace(model, parts=parts.eval())
        result = yield from store_model(workspace, run, stage, job, trained_model, source, state, log)
    result = group.broadcast(result)
    assert result is not None, "the main process stores the model"
    yield result


def store_model(
    workspace: Workspace,
    run: Run,
    stage: TrainingStage,
    job: Job,
    trained_model: Model,
    source: DataSource,
    state: TrainState,
    log: ProgressLog,
) -> Generator[Event, None, RunResult]:
    """Evaluate a trained model on all held-out data, store it, and return the result of the run."""
    yield Status("Evaluating and storing the model")
    eval_started_at = read_running_seconds()
    average_record: dict[str, Any] = {}
    if job.plan.post_hoc_ema and len(held_out := load_held_out(source, job.eval_share, source.eval_size)):
        trained_model, average_record = choose_average(
            trained_model, run.folder / "averages", state.step, lambda model: measure_held_out(model, held_out).value
        )
    finish_record = yield from stage.finish(trained_model, job)
    held_out_metric = evaluate_held_out(trained_model, source, job)
    log.seconds += read_running_seconds() - eval_started_at
    actual = {
        "seconds": round(log.seconds, 1),
        "memory_bytes": log.peak_memory_bytes,
        **({} if held_out_metric is None else {held_out_metric.key: held_out_metric.value}),
        **stage.evaluate(trained_model, job),
        **finish_record,
        **average_record,
        f"{source.unit.key}_per_second": round(state.step * job.units_per_step / max(log.seconds, 1e-9)),
        **measure_utilization(trained_model, job, load_prices(workspace.root), log.units_per_second),
        "steps": state.step,
        "skipped_steps": state.skipped_steps,
    }
    private = job.plan.private.describe(state.step) if job.plan.private.is_on else {}
    actual |= {name: private[name] for name in ("epsilon", "delta") if private}
    model_folder = find_stored_model(workspace, job, run, state.step)
    if model_folder is None:
        staged_folder = workspace.create_model(job.name)
        with staged_folder as folder:
            card = build_card(stage, job, run, actual, trained_model) | ({"private": private} if private else {})
            stage.write_model(trained_model, folder, job, card)
        model_folder = staged_folder.result
    finish_run(run.folder, model_folder.ref)
    return RunResult(model_folder.ref, run.id, held_out_metric, log.seconds, job.estimate, actual)


def find_stored_model(workspace: Workspace, job: Job, run: Run, step: int) -> ModelFolder | None:
    """Return the model that this run stored at this step before it was killed, if it did."""
    for model_folder in workspace.list_models():
        actual = model_folder.card.get("fact", {})
        if model_folder.name == job.name and model_folder.card.get("run") == run.id and actual.get("steps") == step:
            return model_folder
    return None


def restate_estimate(job: Job, source: DataSource) -> Job:
    """Return the job with an estimate that also says what to expect of fewer steps than were planned."""
    planned_steps = job.estimate.get("steps", 0)
    if job.plan.steps >= planned_steps:
        return job
    restated: dict[str, Any] = {"restated_steps": job.plan.steps}
    expected = job.estimate.get(BITS_PER_BYTE_KEY)
    dataset_size = len(source) if isinstance(source, Sized) else 0
    law = forecast.find_scaling_law(job.design, dataset_size) if dataset_size else None
    if law and expected:
        before, after = (
            law.predict_ratio(job.estimate["parameters"], steps * job.units_per_step, dataset_size)
            for steps in (planned_steps, job.plan.steps)
        )
        restated[f"restated_{BITS_PER_BYTE_KEY}"] = round(expected * after / before, 4)
    return replace(job, estimate={**job.estimate, **restated})


def evaluate_held_out(model: Model, source: DataSource, job: Job) -> HeldOutMetric | None:
    """Evaluate the model on held-out data; None without any."""
    held_out = load_held_out(source, job.eval_share, source.final_eval_size)
    return measure_held_out(model, held_out) if len(held_out) else None


def build_card(stage: TrainingStage, job: Job, run: Run, actual: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """Return the card of a trained model: its size, origin, forecast and measurements."""
    return {
        **stage.describe_data(job),
        "run": run.id,
        "parameters": sum(p.numel() for p in model.parts.parameters()),
        "forecast": dict(job.estimate),
        "fact": dict(actual),
        "machine": checkpoint.describe_machine(),
    }
