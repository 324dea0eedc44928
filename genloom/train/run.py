"""Training runs, from data to a stored model: started, resumed, extended.

Pretraining, fine-tuning and preference training are one sequence, `train_model`; they differ only in their stage
(pretraining.py, finetune.py, preference/stage.py):

1. Choose the stage: of the request, or of the job of a stopped run.
2. Plan a new run: measure this machine, choose sizes and steps, and store them as the job (`create_job`). Or resume a
   stopped run: read its job (`resume_job`).
3. Initialize: encode the data in the run's folder, build the model at step 0, and load the newest checkpoint over it.
   Everything is a function of the job, so that a killed run ends in the same bits.
4. Train (`run_steps` around the loop of loop.py): log, evaluate on held-out data, save checkpoints.
5. Evaluate on all held-out data, and store the model with its card.
"""

import json
import shlex
import shutil
import time
from collections.abc import Callable, Generator, Mapping, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from genloom.errors import GenloomError, format_message
from genloom.model import Model, with_defaults
from genloom.model.likelihood import BITS_PER_BYTE, HeldOut, HeldOutMetric, measure_held_out, to_metric_key
from genloom.processors import count_allowed_processors
from genloom.store import files
from genloom.store.files import write_atomic
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Run, Workspace
from genloom.text_format import format_count
from genloom.train import checkpoint
from genloom.train.data.cache import discard_damaged
from genloom.train.data.source import DataSource, load_held_out
from genloom.train.events import (
    TOKENS,
    EvalMetrics,
    Event,
    RunResult,
    RunStart,
    RunWarning,
    Status,
    StepMetrics,
    TextSample,
    Unit,
)
from genloom.train.finetune import Finetuning
from genloom.train.job import Job, read_job
from genloom.train.log import ProgressLog, Throughput
from genloom.train.loop import StepResult, TrainConfig, TrainState, train
from genloom.train.pace import Pace
from genloom.train.planning import forecast
from genloom.train.planning.auto_config import Budget
from genloom.train.planning.benchmark import find_compile_error
from genloom.train.planning.forecast import NUM_EVALS
from genloom.train.preference.stage import Preferences, PreferenceTraining
from genloom.train.pretraining import Pretraining
from genloom.train.stage import TrainingStage
from genloom.train.text_samples import can_write_text, choose_sample_steps, sample_text
from genloom.types import Batch
from genloom.waiting import watch_processors

BITS_PER_BYTE_KEY = to_metric_key(BITS_PER_BYTE)
MAX_THREADS_PER_PROCESSOR = 4  # more spend their time on waiting for each other
MAX_SAVE_FRACTION = 0.05  # of the time may be spent on checkpoints


@dataclass(frozen=True)
class TrainRequest:
    """A run to start, or to resume."""

    data: str  # a data set, "ratings" for preferences, or with `should_resume` the name or id of a run
    name: str = ""  # of the model; "": the data set's
    base: str = ""  # a model to fine-tune; "": train a new one
    method: str = "lora"  # of fine-tuning: "lora" or "full"; of preference training: "dpo", "kto", "weighted", "grpo"
    budget: Budget = field(default_factory=Budget)
    overrides: Mapping[str, str] = field(default_factory=dict)
    should_resume: bool = False
    steps: int = 0  # 0: chosen from the budget, or as in the job
    threads: int = 0  # 0: torch's default
    save_seconds: float = 30.0
    save_steps: int = 0  # additional checkpoints every this many steps; 0: by time only
    num_samples: int = 0  # texts that a new language model writes during the run, to be read
    preferences: Preferences | None = None  # to train `base` on; a stopped run of the same request is resumed
    judged_runs: frozenset[str] = frozenset()  # of preference training, which are not resumed

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
    if request.threads > (limit := MAX_THREADS_PER_PROCESSOR * count_allowed_processors()):
        raise GenloomError("train.too_many_threads", threads=request.threads, limit=limit)
    if request.threads:
        torch.set_num_threads(request.threads)
    watch_processors()
    if request.should_resume:
        run = find_resumable_run(workspace, request.data)
        with lock_run(run):
            stage = restore_stage(workspace, read_job(run.folder / "job.toml"))
            job, start_step, note = resume_job(run, request)
            yield RunStart(run.id)
            if note:
                yield Status(note)
            yield from execute_run(workspace, run, stage, job, request, start_step)
        return
    stage = choose_stage(workspace, request)
    unfinished_run = find_unfinished_run(stage, request)
    if unfinished_run is not None:
        with lock_run(unfinished_run):
            yield RunStart(unfinished_run.id)
            yield Status(f"Resuming {unfinished_run.id}")
            job = read_job(unfinished_run.folder / "job.toml")
            yield from execute_run(workspace, unfinished_run, stage, job, request)
        return
    run = workspace.get_run(workspace.create_run(request.name or request.data).name)
    with lock_run(run):
        job = yield from create_job(run, stage, request)
        yield from execute_run(workspace, run, stage, job, request)


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


def create_job(run: Run, stage: TrainingStage, request: TrainRequest) -> Generator[Event, None, Job]:
    """Plan and store the job of a new run; on failure or interruption, remove the run."""
    try:
        yield RunStart(run.id)
        budget = replace(request.budget, steps=request.steps or request.budget.steps)
        job = yield from stage.plan(run.folder, run.name, budget, request.overrides)
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
    """Return the newest run of this name (or with this id) that has a job; a run without one cannot be resumed.

    Finished rounds of learning have the name of the run before them, and are only returned if there is no such run.
    """
    run = workspace.get_run(name_or_id)
    resumable_runs = [
        r for r in workspace.list_runs() if name_or_id in (r.id, r.name) and (r.folder / "job.toml").exists()
    ]
    if not resumable_runs:
        raise GenloomError("train.nothing_to_resume", run=run.id, data=run.name)
    return next((r for r in reversed(resumable_runs) if not is_finished_round(r)), resumable_runs[-1])


def is_finished_round(run: Run) -> bool:
    """Return whether a run trained a model on ratings to its end; False if its job cannot be read."""
    try:
        return bool(run.model and read_job(run.folder / "job.toml").learning)
    except GenloomError:
        return False


def resume_job(run: Run, request: TrainRequest) -> tuple[Job, int | None, str]:
    """Return the job of a run to resume, the step to start it from, and a status message; change nothing.

    `request.steps` extends or shortens its plan; if it does not, the step is None.
    """
    path = run.folder / "job.toml"
    job = read_job(path)
    done_path = run.folder / "done.json"
    model_ref = json.loads(done_path.read_text())["model"] if done_path.exists() else ""
    if request.steps in (0, job.plan.steps):
        if model_ref:
            raise GenloomError("train.run_finished", run=run.id, model=model_ref, steps=2 * job.plan.steps)
        return job, None, ""
    checkpoint_folder, plan = run.folder / "state", replace(job.plan, steps=request.steps, max_seconds=0.0, max_steps=0)
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
    (run.folder / "done.json").unlink(missing_ok=True)
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


def execute_run(
    workspace: Workspace,
    run: Run,
    stage: TrainingStage,
    job: Job,
    request: TrainRequest,
    start_step: int | None = None,
) -> Generator[Event]:
    """Train the remaining steps of a job, then evaluate, store and report.

    A job with a changed plan is stored, with the step it starts from, once data and model are there: a run that cannot
    be resumed stays as it is.
    """
    if job.plan.torch_compile and (compile_error := find_compile_error()):
        yield RunWarning(format_message("train.no_torch_compile", reason=compile_error))
        job = replace(job, plan=replace(job.plan, torch_compile=False))
    if damage_report := discard_damaged(run.folder):
        yield RunWarning(damage_report)
    started_at = time.perf_counter()
    source, model, batches = yield from stage.initialize(run.folder, job)
    if start_step is not None:
        change_plan(run, job, start_step)
    state = TrainState.from_parts(model.parts, model.objective, job.plan)
    held_out = load_held_out(source, job.eval_share, source.eval_size)
    load_result = checkpoint.load_checkpoint(state, run.folder / "state", job.design.network)
    if load_result is not None:
        yield from (RunWarning(text) for text in load_result.warnings)
    log = ProgressLog(run.folder / "progress.jsonl", state.step)
    yield Status(f"Training {job.name} from step {state.step:,} to {job.plan.steps:,}")
    preparation_seconds = 0.0 if state.step else time.perf_counter() - started_at
    plan = yield from run_steps(
        *(run.folder / "state", log, model, batches, job, state, request, held_out, preparation_seconds, source.unit)
    )
    job = restate_estimate(replace(job, plan=plan), source)
    yield Status("Evaluating and storing the model")
    trained_model = replace(model, parts=state.eval_parts.eval())
    eval_started_at = time.perf_counter()
    finish_record = yield from stage.finish(trained_model, job)
    held_out_metric = evaluate_held_out(trained_model, source, job)
    log.seconds += time.perf_counter() - eval_started_at
    actual = {
        "seconds": round(log.seconds, 1),
        "memory_bytes": log.peak_memory_bytes,
        **({} if held_out_metric is None else {held_out_metric.key: held_out_metric.value}),
        **stage.evaluate(trained_model, job),
        **finish_record,
        f"{source.unit.key}_per_second": round(state.step * job.units_per_step / max(log.seconds, 1e-9)),
        "steps": state.step,
        "skipped_steps": state.skipped_steps,
    }
    model_folder = find_stored_model(workspace, job, run, state.step)
    if model_folder is None:
        staged_folder = workspace.create_model(job.name)
        with staged_folder as folder:
            stage.write_model(trained_model, folder, job, build_card(stage, job, run, actual, trained_model))
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


def run_steps(
    checkpoint_folder: Path,
    log: ProgressLog,
    model: Model,
    batches: Callable[[int], Batch],
    job: Job,
    state: TrainState,
    request: TrainRequest,
    held_out: HeldOut,
    preparation_seconds: float = 0.0,
    unit: Unit = TOKENS,
) -> Generator[Event, None, TrainConfig]:
    """Train, log, evaluate on held-out data now and then, and save so that a kill loses little.

    Return the plan, which has fewer steps where the run fell behind its time limit, and more where it was faster.
    """
    plan, throughput = job.plan, Throughput(job.units_per_step)
    eval_steps = choose_eval_steps(plan) if len(held_out) else set()
    can_sample = not job.base and can_write_text(model)
    planned_steps = max(plan.steps, int(job.estimate.get("steps", 0)))
    pace = Pace(plan, max(planned_steps, plan.max_steps), throughput, log.seconds, preparation_seconds)
    pace.num_evals_left = sum(step > state.step for step in eval_steps)
    last_save_at, save_duration, announced_steps = time.perf_counter(), 0.0, plan.steps
    try:
        for step_result in train(model.objective, batches, plan, state, pace.end_step):
            log.seconds = pace.seconds
            if pace.plan != plan:
                plan = pace.plan
                eval_steps = choose_eval_steps(plan) if len(held_out) else set()
                pace.num_evals_left = sum(step > step_result.step for step in eval_steps)
                replace(job, plan=plan).save(checkpoint_folder.parent / "job.toml")
                if not 0.5 < plan.steps / announced_steps < 2:
                    announced_steps = plan.steps
                    steps = {"steps": plan.steps, "planned": planned_steps}
                    yield RunWarning(format_message("train.other_pace", **steps))
            if step_result.is_skipped:
                yield RunWarning(format_message("train.step_skipped", step=step_result.step))
            step_metrics = build_step_metrics(step_result, plan, throughput, log.seconds, unit)
            is_cooldown_start = step_result.step == plan.cooldown_start
            is_step_due = bool(request.save_steps) and step_result.step % request.save_steps == 0
            is_time_due = time.perf_counter() - last_save_at > max(
                request.save_seconds, save_duration / MAX_SAVE_FRACTION
            )
            should_save = is_cooldown_start or is_step_due or is_time_due
            if should_save or step_result.step % 10 == 0 or step_result.step == plan.steps:
                log.write_event(step_metrics)
            eval_metrics = None
            if step_result.step in eval_steps:
                with pace.pause(is_eval=True):
                    eval_metrics = evaluate_at_step(step_result.step, replace(model, parts=state.eval_parts), held_out)
                log.write_event(eval_metrics)
            if should_save:  # after the log, of which a resumed run rewrites only the rows after the saved step
                save_started_at = time.perf_counter()
                with pace.pause():
                    checkpoint.save_checkpoint(state, checkpoint_folder, should_keep=is_cooldown_start)
                last_save_at = time.perf_counter()
                save_duration = last_save_at - save_started_at
            yield step_metrics
            if eval_metrics:
                yield eval_metrics
            if can_sample and step_result.step in choose_sample_steps(plan.steps, request.num_samples):
                with pace.pause():
                    text = sample_text(replace(model, parts=state.eval_parts))
                yield TextSample(step_result.step, text)
    except GeneratorExit:
        checkpoint.save_checkpoint(state, checkpoint_folder)
        raise
    checkpoint.save_checkpoint(state, checkpoint_folder)
    log.seconds = pace.seconds
    return plan


def choose_eval_steps(plan: TrainConfig) -> set[int]:
    """Return the steps after which a run is evaluated."""
    return {max(round(plan.steps * (i + 1) / (NUM_EVALS + 1)), 1) for i in range(NUM_EVALS)}


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


def evaluate_at_step(step: int, model: Model, held_out: HeldOut) -> EvalMetrics:
    """Evaluate during training, with the networks in evaluation mode for that time."""
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
