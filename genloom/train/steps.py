"""The steps of a run: trained, logged, evaluated and saved, so that a kill loses little."""

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path

from genloom.errors import format_message
from genloom.model import Model
from genloom.model.likelihood import HeldOut, measure_held_out
from genloom.running_time import read_running_seconds
from genloom.train import post_hoc_ema
from genloom.train.checkpoint_writer import CheckpointWriter
from genloom.train.events import TOKENS, EvalMetrics, Event, RunWarning, StepMetrics, TextSample, Unit
from genloom.train.job import Job
from genloom.train.log import ProgressLog, Throughput
from genloom.train.loop import StepResult, TrainConfig, TrainState, train
from genloom.train.pace import Pace
from genloom.train.parallel.group import ProcessGroup
from genloom.train.planning.forecast import NUM_EVALS
from genloom.train.request import TrainRequest
from genloom.train.text_samples import can_write_text, choose_sample_steps, sample_text
from genloom.types import Batch

MAX_SAVE_FRACTION = 0.05  # of the time may be spent on checkpoints


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
    group = state.parallel.group
    can_sample = not job.base and state.parallel.can_sample and can_write_text(model)
    planned_steps = max(plan.steps, int(job.estimate.get("steps", 0)))
    pace = Pace(plan, max(planned_steps, plan.max_steps), throughput, log.seconds, preparation_seconds)
    pace.num_evals_left = sum(step > state.step for step in eval_steps)
    last_save_at, announced_steps = read_running_seconds(), plan.steps
    writer = CheckpointWriter(state, checkpoint_folder)
    try:
        for step_result in train(model.objective, batches, plan, state, partial(end_step, pace, group)):
            log.seconds = pace.seconds
            if pace.plan != plan:
                plan = pace.plan
                eval_steps = choose_eval_steps(plan) if len(held_out) else set()
                pace.num_evals_left = sum(step > step_result.step for step in eval_steps)
                if group.is_main:
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
            is_time_due = group.broadcast(
                read_running_seconds() - last_save_at
                > max(request.save_seconds, writer.save_seconds / MAX_SAVE_FRACTION)
                and not writer.is_writing
            )
            should_save = is_cooldown_start or is_step_due or is_time_due
            if should_save or step_result.step % 10 == 0 or step_result.step == plan.steps:
                log.write_event(step_metrics)
            if post_hoc_ema.is_snapshot_step(step_result.step, plan.steps, plan.post_hoc_ema):
                with pace.pause():
                    store_averages(state, model, checkpoint_folder.parent / "averages")
            eval_metrics = None
            if step_result.step in eval_steps:
                with pace.pause(is_eval=True):
                    eval_metrics = evaluate_at_step(step_result.step, replace(model, parts=state.eval_parts), held_out)
                log.write_event(eval_metrics)
            if should_save:  # after the log, of which a resumed run rewrites only the rows after the saved step
                with pace.pause():
                    writer.save(should_keep=is_cooldown_start)
                last_save_at = read_running_seconds()
            writer.check()
            yield step_metrics
            if eval_metrics:
                yield eval_metrics
            if can_sample and step_result.step in choose_sample_steps(plan.steps, request.num_samples):
                with pace.pause():
                    text = sample_text(replace(model, parts=state.eval_parts))
                yield TextSample(step_result.step, text)
    except GeneratorExit:
        writer.save()
        writer.finish()
        raise
    except Exception:
        writer.abandon()
        raise
    writer.save()
    writer.finish()
    log.seconds = pace.seconds
    return plan


def store_averages(state: TrainState, model: Model, folder: Path) -> None:
    """Store the averages of which post-hoc EMA builds others; of several processes, the main one writes."""
    averages = [state.parallel.gather_parts(average, model) for average in state.averages]
    if state.parallel.group.is_main:
        post_hoc_ema.save_snapshot(averages, folder, state.step)


def end_step(pace: Pace, group: ProcessGroup, step: int) -> TrainConfig:
    """Take note of a step, and return the plan of the next ones, by the clock of the main process."""
    plan = pace.end_step(step)
    if plan.max_seconds:
        pace.plan = group.broadcast(plan)
    return pace.plan


def choose_eval_steps(plan: TrainConfig) -> set[int]:
    """Return the steps after which a run is evaluated."""
    return {max(round(plan.steps * (i + 1) / (NUM_EVALS + 1)), 1) for i in range(NUM_EVALS)}


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
