"""Training after pretraining: the common parts of fine-tuning and preference training of a stored model."""

from abc import abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import torch

from genloom.capabilities import Distillable
from genloom.errors import GenloomError, format_message
from genloom.memory import measure_memory
from genloom.model import (
    Design,
    Model,
    build_networks,
    build_objective,
    is_chain_full,
    load_model,
    merge_adapters,
    resolve_space,
    save_adapter,
    save_model,
    with_defaults,
)
from genloom.model.likelihood import BITS_PER_BYTE, measure_held_out
from genloom.networks import lora
from genloom.networks.precision import choose_prefill_precision
from genloom.running_time import read_running_seconds
from genloom.settings import parse_settings, to_table
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.text_format import format_count, format_duration
from genloom.train.data.source import BatchFn, FinetuningSource, load_held_out
from genloom.train.events import TOKENS, Event, RunEstimate, RunWarning, Status, Unit
from genloom.train.job import Job
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.train.planning import forecast
from genloom.train.planning.auto_config import MAX_GROWTH, RESERVED_FRACTION, Budget
from genloom.train.privacy import PrivacyConfig
from genloom.train.private_tuning import build_batches, choose_private_noise, describe_privacy, with_private_rows
from genloom.train.stage import TrainingStage

ADAPTER_NAME = "default"  # in the network, during training
ADAPTER_LR = 5e-4
LONG_STEP_SECONDS = 2.0  # steps this long are measured once
MAX_STEP_FRACTION = 0.03  # of the time limit, for a step that is measured
PROBE_DIVISOR = 16  # the part of the held-out data that shows how long an evaluation takes
NUM_FULL_EVALS = 5  # that all evaluations of a run take as long as, general text included
MIN_STEPS = 10  # fewer hardly change a model
# For measuring steps that change nothing.
ZERO_LR = OptimizerConfig("adamw", lr_matrix=0.0, lr_embedding=0.0, lr_vector=0.0, lr_adapter=0.0)


@dataclass(frozen=True)
class PostTraining(TrainingStage):
    """The training of a stored model. Subclasses choose the data, the objective and the default settings."""

    workspace: Workspace
    base: str  # the ref of the model to train
    method: str

    full_lr: ClassVar[float]  # by default, of runs that train all weights
    setup_epochs: ClassVar[float] = 0.0  # the time before the first step, in epochs of training

    @abstractmethod
    def check_request(self, model: Model, budget: Budget, overrides: Mapping[str, str]) -> None:
        """Raise ValueError for data or options that do not suit the base model."""

    @abstractmethod
    def build_default_job(
        self, model: Model, base: ModelFolder, name: str, seed: int, overrides: Mapping[str, str]
    ) -> Job:
        """Return the job before any measurement; a batch size of 0 is chosen later."""

    @abstractmethod
    def prepare_source(self, folder: Path, model: Model, job: Job) -> Generator[Event, None, FinetuningSource]:
        """Return the data, encoding them if necessary; yield the progress."""

    def with_objective(self, model: Model, source: Any, job: Job) -> Model:
        """Return the model with the objective for these data."""
        return model

    def plan(
        self, folder: Path, name: str, budget: Budget, overrides: Mapping[str, str]
    ) -> Generator[Event, None, Job]:
        """Plan a run; yield the progress and finally the estimate, return the job.

        Raises ValueError for an unknown base or method, missing data, conflicting options, or a setting that the base
        determines.
        """
        started_at = budget.started_at or read_running_seconds()
        base = self.workspace.get_model(self.base)
        model = load_model(self.workspace, base.ref)
        self.check_request(model, budget, overrides)
        job = self.build_default_job(model, base, name, budget.seed, overrides)
        model = build_learner(model, job)
        source = yield from self.prepare_source(folder, model, job)
        job = source.with_batch_shape(job)
        model = self.with_objective(model, source, job)
        if job.plan.private.is_on:
            job = with_private_rows(job, model, source, "batch_size" in overrides)
        yield from (RunWarning(text) for text in source.find_warnings(job, model))
        parameter_counts, activation_bytes = count_parameters(model, base, job), source.activation_bytes(job, model)
        estimate_memory(job, parameter_counts, activation_bytes)  # raises before anything is measured
        is_timed = not (budget.steps or budget.tokens)
        limit_seconds = (budget.minutes or 5.0) * 60 if is_timed else 0.0
        if is_timed:
            job = replace(job, eval_share=measure_eval_share(source, model, limit_seconds))
        eval_started_at = read_running_seconds()
        loss_before, general_loss_before = yield from self.evaluate_before(source, model, job)
        eval_seconds = read_running_seconds() - eval_started_at
        yield Status("Measuring this machine")
        max_step_seconds = MAX_STEP_FRACTION * limit_seconds or LONG_STEP_SECONDS
        if "plan.precision" not in overrides:
            precision = choose_precision(job, model, source, max_step_seconds)
            job = replace(job, plan=replace(job.plan, precision=precision))
        step_seconds = measure_step_seconds(job, model, build_batches(source, job, model), max_step_seconds)
        epoch_rows = job.plan.private.documents or source.count_epoch_rows(job, model)
        epoch_steps = epoch_rows / job.batch_size
        run_seconds = (budget.minutes or 5.0) * 60 * (1 - RESERVED_FRACTION)
        reserved_seconds = 2 * eval_seconds + self.setup_epochs * epoch_steps * step_seconds  # during and after; before
        seconds_left = run_seconds - reserved_seconds - (read_running_seconds() - started_at)
        max_steps = ceil(source.max_epochs * epoch_steps)
        steps = budget.steps or -(-budget.tokens // job.units_per_step) or max(int(seconds_left / step_seconds), 1)
        if steps > max_steps and is_timed:
            steps = max_steps
            durations = {"seconds": format_duration(steps * step_seconds), "allowed": format_duration(run_seconds)}
            yield RunWarning(format_message("train.fewer_epochs", epochs=source.max_epochs, **durations))
        elif is_timed and steps < max(source.min_epochs * epoch_steps, MIN_STEPS):
            minutes = (max_steps * step_seconds + run_seconds - seconds_left) / 60 / (1 - RESERVED_FRACTION)
            is_tiny = steps < max(epoch_steps, MIN_STEPS)
            amounts = {"steps": format_count(steps, "step"), "epochs": steps / epoch_steps, "minutes": ceil(minutes)}
            amounts["max_epochs"] = source.max_epochs
            yield RunWarning(
                format_message("train.too_few_epochs", **amounts)
                if is_tiny
                else format_message("train.few_epochs", **amounts)
            )
        if job.plan.private.is_on:
            job = replace(job, plan=replace(job.plan, private=choose_private_noise(job, steps)))
            yield Status(describe_privacy(job, steps))
        estimate = replace(
            estimate_run(
                *(job, parameter_counts, steps, step_seconds, source.activation_bytes(job, model)),
                *(source.unit, source.metric),
            ),
            loss_before=loss_before,
            general_loss_before=general_loss_before,
            num_epochs=round(steps / epoch_steps, 2),
        )
        yield estimate
        plan = with_schedule(job.plan, steps, overrides)
        if is_timed:
            max_seconds = max(run_seconds - (read_running_seconds() - started_at), 1e-3)
            plan = replace(
                plan,
                max_seconds=round(max_seconds, 1),
                closing_steps=round(eval_seconds / step_seconds, 2),
                max_steps=0 if plan.private.is_on else min(MAX_GROWTH * steps, max_steps),
            )
        return replace(job, plan=plan, estimate=estimate.to_record())

    def evaluate_before(
        self, source: FinetuningSource, model: Model, job: Job
    ) -> Generator[Event, None, tuple[float | None, float | None]]:
        """Return the loss of the base model on the held-out data and on general data; None without such data."""
        if not source.final_eval_size:
            return None, None
        yield Status(f"Evaluating {job.base['ref']} before training")
        is_training = model.parts.training
        model.parts.eval()
        held_out = load_held_out(source, job.eval_share, source.final_eval_size)
        loss = measure_held_out(model, held_out).value if len(held_out) else None
        general_loss = next(iter(self.evaluate(model, job).values()), None)
        model.parts.train(is_training)
        return loss, general_loss

    def initialize(self, folder: Path, job: Job) -> Generator[Event, None, tuple[Any, Model, BatchFn]]:
        """Return the data, and the model at step 0 and its batches, as functions of the job; yield the progress."""
        model = build_learner(load_base(self.workspace, job), job)
        source = yield from self.prepare_source(folder, model, job)
        model = self.with_objective(model, source, job)
        return source, model, build_batches(source, job, model)

    def build_default_tables(
        self, design: Design, base: ModelFolder, data: tuple[str, str, str], seed: int, has_adapter: bool
    ) -> dict[str, Any]:
        """Return the tables of the job before any measurement; `data` are the names of run and data, and a digest."""
        lr = self.full_lr
        optimizer = (
            OptimizerConfig("adamw", lr_adapter=ADAPTER_LR)
            if has_adapter
            else OptimizerConfig("adamw", lr_matrix=lr, lr_embedding=lr, lr_vector=lr)
        )
        plan = TrainConfig(steps=1, cooldown=0.8, optimizer=optimizer, seed=seed)
        adapter = {"adapter": {"method": "lora", **to_table(lora.Config())}} if has_adapter else {}
        return {**Job(*data, design, plan, 1).to_tables(), "base": {"ref": base.ref, "digest": base.digest}, **adapter}

    def write_model(self, model: Model, folder: Path, job: Job, card: Mapping[str, Any]) -> None:
        """Save an adapter or all weights, with a card that names the base model.

        A chain of adapters that has reached its maximal length is merged into a model without adapters.
        """
        base = self.workspace.get_model(job.base["ref"])
        card = {**card, **count_parameters(model, base, job), "parents": [dict(job.base)]}
        if job.adapter and not is_chain_full(self.workspace, base):
            save_adapter(model, ADAPTER_NAME, base, folder, job.to_tables(), card)
        else:
            save_model(merge_adapters(model) if job.adapter else model, folder, job.to_tables(), card)


def with_schedule(plan: TrainConfig, steps: int, overrides: Mapping[str, str]) -> TrainConfig:
    """Return the plan for this many steps; the warm-up is a twentieth of them unless it is set."""
    return replace(plan, steps=steps, warmup=plan.warmup if "plan.warmup" in overrides else max(steps // 20, 1))


def load_base(workspace: Workspace, job: Job) -> Model:
    """Load the base model of a run. Raises ValueError if it is missing or has changed."""
    return load_parent(workspace, job.base)


def load_parent(workspace: Workspace, parent: Mapping[str, str]) -> Model:
    """Load the model that a job names by reference and digest. Raises ValueError if it is missing or has changed."""
    ref = parent["ref"]
    try:
        model = load_model(workspace, ref)
    except ValueError as error:
        raise GenloomError("train.unreadable_base", base=ref, reason=error) from None
    if model.folder is None or model.folder.digest != parent["digest"]:
        raise GenloomError("train.changed_base", base=ref)
    return model


def build_learner(model: Model, job: Job) -> Model:
    """Return the base model ready for training, with a new adapter or with all weights trainable.

    The job may replace the base model's objective.
    """
    torch.manual_seed(job.plan.seed)
    if with_defaults(job.design) != with_defaults(model.design):
        model = replace_objective(merge_adapters(model) if model.adapters else model, job.design)
    if job.adapter:
        if len(model.parts) != 1:
            raise GenloomError("train.adapter_of_several_networks", count=len(model.parts))
        settings = {key: value for key, value in job.adapter.items() if key != "method"}
        for network in model.parts.values():
            lora.attach_adapter(network, parse_settings(lora.Config, settings, "adapter"), ADAPTER_NAME)
    elif model.adapters:
        model = merge_adapters(model)
    return replace(model, name=job.name, folder=None, parts=model.parts.train().requires_grad_(True))


def replace_objective(model: Model, design: Design) -> Model:
    """Return the model with another objective around its networks; additional parameters are initialised.

    Raises ValueError if the objective needs networks of other shapes.
    """
    objective = build_objective(design, resolve_space(design, model.codec))
    parts = build_networks(design, objective)
    weights = model.parts.state_dict()
    expected_shapes = {name: tensor.shape for name, tensor in parts.state_dict().items()}
    if mismatched_names := [name for name, tensor in weights.items() if expected_shapes.get(name) != tensor.shape]:
        raise GenloomError(
            "train.other_networks", objective=design.objective, base=model.ref, tensor=mismatched_names[0]
        )
    parts.load_state_dict(weights, strict=False)
    if isinstance(objective, Distillable):  # distillation from the original networks
        objective = objective.with_teacher(dict(model.parts.items()))
    return replace(model, objective=objective, parts=parts.to(model.device), design=design)


def measure_eval_share(source: FinetuningSource, model: Model, limit_seconds: float) -> float:
    """Return the share of the held-out data that evaluations can read in a run of this length.

    A small part of them shows how long the evaluations before, during and after training take.
    """
    size = source.final_eval_size // PROBE_DIVISOR
    held_out = source.load_held_out(size) if size else ()
    if not len(held_out):
        return 1.0
    started_at, is_training = read_running_seconds(), model.parts.training
    model.parts.eval()
    measure_held_out(model, held_out)
    model.parts.train(is_training)
    full_seconds = PROBE_DIVISOR * (read_running_seconds() - started_at)
    return forecast.choose_eval_share(NUM_FULL_EVALS * full_seconds, limit_seconds)


def choose_precision(job: Job, model: Model, source: FinetuningSource, max_seconds: float) -> str:
    """Return the faster precision for this job, measured with few rows unless the networks are known to be faster."""
    if all(choose_prefill_precision(part) == "bfloat16" for part in model.parts.values()):
        return "bfloat16"
    one_row_job = replace(job, batch_size=1, plan=replace(job.plan, private=PrivacyConfig()))
    batches = source.build_batches(one_row_job, model)
    seconds_by_precision = {
        p: measure_step_seconds(
            replace(one_row_job, plan=replace(one_row_job.plan, precision=p)), model, batches, max_seconds
        )
        for p in ("float32", "bfloat16")
    }
    return min(seconds_by_precision, key=lambda p: seconds_by_precision[p])


def measure_step_seconds(job: Job, model: Model, batches: BatchFn, max_seconds: float = LONG_STEP_SECONDS) -> float:
    """Return the duration of a training step, without changing the model.

    It is the shorter of two steps after a first for initialisation; a single one if steps are long, and the first if
    that one takes longer than `max_seconds`.
    """
    plan = replace(job.plan, steps=3, optimizer=ZERO_LR)
    times, step_start = [], read_running_seconds()
    for _ in train(model.objective, batches, plan, TrainState.from_parts(model.parts, model.objective, plan)):
        times.append(read_running_seconds() - step_start)
        if times[-1] > max(max_seconds, LONG_STEP_SECONDS) or (len(times) > 1 and times[-1] > LONG_STEP_SECONDS):
            break
        step_start = read_running_seconds()
    return min(times[1:] or times)


def estimate_run(
    job: Job,
    parameter_counts: Mapping[str, int],
    steps: int,
    seconds_per_step: float,
    activation_bytes: int,
    unit: Unit = TOKENS,
    metric: str = BITS_PER_BYTE,
) -> RunEstimate:
    """Estimate the cost of the run; `activation_bytes` is per row. Raises ValueError if memory does not suffice."""
    return RunEstimate(
        num_parameters=parameter_counts["parameters"],
        steps=steps,
        total_units=steps * job.units_per_step,
        seconds=round(steps * seconds_per_step, 1),
        memory_bytes=estimate_memory(job, parameter_counts, activation_bytes),
        units_per_second=round(job.units_per_step / seconds_per_step),
        expected_loss=None,
        error_margin=forecast.DEFAULT_ERROR,
        ngram_baseline=None,
        num_trained=parameter_counts.get("trained"),
        unit=unit,
        metric=metric,
    )


def estimate_memory(job: Job, parameter_counts: Mapping[str, int], activation_bytes: int) -> int:
    """Return the bytes that a run needs; raise ValueError if fewer are available."""
    num_parameters = parameter_counts["parameters"]
    num_trained = parameter_counts.get("trained", num_parameters)
    frozen_bytes = 6 * (num_parameters - num_trained)  # in both precisions
    num_rows = 1 if job.plan.private.is_on else job.batch_size  # at once
    memory_bytes = forecast.estimate_memory(job.plan, num_trained, activation_bytes * num_rows) + frozen_bytes
    available_bytes = measure_memory().available
    if memory_bytes > available_bytes:
        raise GenloomError(
            "train.out_of_memory_finetuning", required_gb=memory_bytes / 1e9, available_gb=available_bytes / 1e9
        )
    return memory_bytes


def count_parameters(model: Model, base: ModelFolder, job: Job) -> dict[str, int]:
    """Count all parameters, and with an adapter also the trained ones."""
    num_trained = sum(p.numel() for p in model.parts.parameters())
    return (
        {"parameters": int(base.card["parameters"]) + num_trained, "trained": num_trained}
        if job.adapter
        else {"parameters": num_trained}
    )
