"""Fine-tuning of a stored model on other data, by an adapter or by all weights."""

import difflib
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import psutil
import torch

from genloom import plugins
from genloom.errors import GenloomError
from genloom.model import (
    Design,
    Model,
    build_networks,
    build_objective,
    check_design,
    is_chain_full,
    load_model,
    merge_adapters,
    resolve_space,
    save_adapter,
    save_model,
    with_defaults,
)
from genloom.model.likelihood import BITS_PER_BYTE, TextOrChat, measure_held_out, to_metric_key
from genloom.networks import lora
from genloom.settings import apply_overrides, parse, to_table
from genloom.store.dataset import Dataset
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.train.data import samples
from genloom.train.data.documents import PackedDocuments, encode_documents
from genloom.train.data.sequences import load_held_out_sequences, prepare_sequences
from genloom.train.data.source import BatchFn, FinetuningSource, SampleSet, get_plural_name, is_stream, prepare_samples
from genloom.train.events import TOKENS, Event, RunEstimate, RunWarning, Status, Unit
from genloom.train.job import Job
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.train.planning import forecast
from genloom.train.planning.auto_config import RESERVED_FRACTION, Budget
from genloom.types import Batch

METHODS = ("lora", "full")
ADAPTER_NAME = "default"  # in the network, during training
ALLOWED_OVERRIDES = {  # the other settings are the base model's
    "lora": ("batch_size", "pack_length", "cond_dropout", "plan", "adapter"),
    "full": ("batch_size", "pack_length", "cond_dropout", "plan", "objective"),
}
LONG_STEP_SECONDS = 2.0  # steps this long are measured once
# For measuring steps that change nothing.
ZERO_LR = OptimizerConfig("adamw", lr_matrix=0.0, lr_embedding=0.0, lr_vector=0.0, lr_adapter=0.0)
OPTIMIZER_DEFAULTS = {
    "lora": OptimizerConfig("adamw", lr_adapter=5e-4),
    "full": OptimizerConfig("adamw", lr_matrix=5e-5, lr_embedding=5e-5, lr_vector=5e-5),
}


def plan_finetuning(
    folder: Path,
    workspace: Workspace,
    dataset: Dataset,
    name: str,
    base_and_method: tuple[str, str],
    budget: Budget,
    overrides: Mapping[str, str],
) -> Generator[Event, None, Job]:
    """Plan a fine-tuning run; yield the progress and finally the estimate, return the job.

    Raises ValueError for an unknown base or method, missing data, conflicting options, or a setting that the base
    determines.
    """
    started_at = time.perf_counter()
    ref, method = base_and_method
    check_budget(method, budget, overrides)
    if not dataset.count_bytes("train"):
        raise GenloomError("train.no_data", data=dataset.name, values=get_plural_name(dataset.medium))
    base = workspace.get_model(ref)
    model = load_model(workspace, base.ref)
    if dataset.medium != model.design.medium:
        raise GenloomError(
            "train.other_medium",
            base=base.ref,
            base_values=get_plural_name(model.design.medium),
            data=dataset.name,
            data_values=get_plural_name(dataset.medium),
        )
    job = default_finetuning_job(model, base, dataset, name, method, budget.seed, overrides)
    model = build_learner(model, job)
    yield Status(f"Encoding the {get_plural_name(dataset.medium)}")
    source = yield from prepare_finetuning_source(folder, dataset, model)
    job = source.with_batch_shape(job)
    for warning in source.find_warnings(job, model):
        yield RunWarning(warning)
    yield Status(f"Evaluating {job.base['ref']} before training")
    eval_seconds = time.perf_counter()
    model.parts.eval()
    held_out = source.load_held_out(source.final_eval_size)
    loss_before = measure_held_out(model, held_out).value if len(held_out) else None
    general_loss_before = next(iter(evaluate_general_knowledge(workspace, model, job).values()), None)
    model.parts.train()
    eval_seconds = time.perf_counter() - eval_seconds
    yield Status("Measuring this machine")
    if "plan.precision" not in overrides:
        job = replace(job, plan=replace(job.plan, precision=choose_precision(job, model, source)))
    seconds_per_step = measure_step_seconds(job, model, source.build_batches(job, model))
    training_seconds = (budget.minutes or 5.0) * 60 * (1 - RESERVED_FRACTION) - 2 * eval_seconds  # during and after
    deadline = started_at + training_seconds
    steps = (
        budget.steps
        or -(-budget.tokens // job.units_per_step)
        or max(int((deadline - time.perf_counter()) / seconds_per_step), 1)
    )
    max_steps = ceil(source.max_epochs * source.count_epoch_rows(job, model) / job.batch_size)
    if steps > max_steps and not (budget.steps or budget.tokens):
        steps = max_steps
        yield RunWarning(
            f"Training stops after {source.max_epochs} epochs, before the time limit: more would overfit such a small "
            "data set. Use --steps to override."
        )
    activation_bytes = source.activation_bytes(job, model)
    estimate = replace(
        estimate_finetuning(
            *(job, count_parameters(model, base, job), steps, seconds_per_step, activation_bytes),
            *(source.unit, source.metric),
        ),
        loss_before=loss_before,
        general_loss_before=general_loss_before,
    )
    yield estimate
    return replace(job, plan=with_schedule(job.plan, steps, overrides), estimate=estimate.to_record())


def with_schedule(plan: TrainConfig, steps: int, overrides: Mapping[str, str]) -> TrainConfig:
    """Return the plan for this many steps; the warm-up is a twentieth of them unless it is set."""
    return replace(plan, steps=steps, warmup=plan.warmup if "plan.warmup" in overrides else max(steps // 20, 1))


def check_budget(method: str, budget: Budget, overrides: Mapping[str, str]) -> None:
    """Raise ValueError for options that fine-tuning does not support."""
    if method not in METHODS:
        near = difflib.get_close_matches(method, METHODS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise GenloomError("train.unknown_method", value=method, hint=hint)
    if sum(bool(w) for w in (budget.minutes, budget.tokens, budget.steps)) > 1:
        raise GenloomError("train.several_lengths")
    if budget.params:
        raise GenloomError("train.params_of_base")
    for path in overrides:
        if path.split(".")[0] == "adapter" and method == "full":
            raise GenloomError("train.adapter_setting", path=path)
        if path.split(".")[0] not in ALLOWED_OVERRIDES[method]:
            allowed_names = ", ".join(ALLOWED_OVERRIDES[method])
            raise GenloomError("train.setting_of_base", path=path, allowed=allowed_names)


def default_finetuning_job(
    model: Model, base: ModelFolder, dataset: Dataset, name: str, method: str, seed: int, overrides: Mapping[str, str]
) -> Job:
    """Return the job before any measurement."""
    plan = TrainConfig(steps=1, cooldown=0.8, optimizer=OPTIMIZER_DEFAULTS[method], seed=seed)
    tables = Job(name, dataset.name, dataset.digest, model.design, plan, 1).to_tables()
    if objective := overrides.get("objective.name"):  # with its own settings, around the same networks
        tables["objective"] = {}
        tables["plan"] |= getattr(plugins.find_part("objective", objective), "TRAIN_DEFAULTS", {})
    tables["base"] = {"ref": base.ref, "digest": base.digest}
    if method == "lora":
        tables["adapter"] = {"method": method, **to_table(lora.Config())}
    tables["batch_size"] = 0  # chosen later, unless it is set
    tables = apply_overrides(tables, overrides)
    batch_size = tables["batch_size"]
    job = Job.from_tables({**tables, "batch_size": batch_size or 1})
    check_design(job.design)
    if job.pack_length > job.design.context_length:
        raise GenloomError(
            "train.long_pack",
            base=base.ref,
            pack_length=job.pack_length,
            context_length=job.design.context_length,
        )
    return job if batch_size else replace(job, batch_size=0)


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
            lora.attach(network, parse(lora.Config, settings, "adapter"), ADAPTER_NAME)
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
    if with_teacher := getattr(objective, "with_teacher", None):  # distillation from the original networks
        objective = with_teacher(dict(model.parts.items()))
    return replace(model, objective=objective, parts=parts.to(model.device), design=design)


def prepare_finetuning_source(folder: Path, dataset: Dataset, model: Model) -> Generator[Event, None, FinetuningSource]:
    """Return the data source for the model, encoding it if necessary; yield the progress."""
    if samples.has_fixed_size(model.codec.space):
        return (yield from prepare_samples(folder, dataset, model.codec, model.design))
    if not reads_stream(model):
        return prepare_sequences(folder, dataset, model.codec, model.conditioners, model.design.context_length)
    return PackedDocuments(model.codec, encode_documents(folder, dataset, model), dataset)


def reads_stream(model: Model) -> bool:
    """Return whether the model learned from a stream of tokens, and not from values one by one."""
    is_bounded = samples.has_fixed_size(model.codec.space)
    return is_stream(model.design.medium) and not model.conditioners and not is_bounded


def load_finetuning_base(workspace: Workspace, job: Job) -> Model:
    """Load the base model of a run. Raises ValueError if it is missing or has changed."""
    ref = job.base["ref"]
    try:
        model = load_model(workspace, ref)
    except ValueError as error:
        raise GenloomError("train.unreadable_base", base=ref, reason=error) from None
    if model.folder is None or model.folder.digest != job.base["digest"]:
        raise GenloomError("train.changed_base", base=ref)
    return model


def initialize_finetuning(source: FinetuningSource, base: Model, job: Job) -> tuple[Model, BatchFn, TrainState]:
    """Return the model at step 0, its batches and its state, as functions of the job."""
    model = build_learner(base, job)
    return model, source.build_batches(job, model), TrainState.from_parts(model.parts, model.objective, job.plan)


def measure_step_seconds(job: Job, model: Model, batches: BatchFn) -> float:
    """Return the duration of a training step, without changing the model.

    It is the shorter of two steps after a first for initialisation, or a single one if steps are long.
    """
    plan = replace(job.plan, steps=3, optimizer=ZERO_LR)
    times, step_start = [], time.perf_counter()
    for _ in train(model.objective, batches, plan, TrainState.from_parts(model.parts, model.objective, plan)):
        times.append(time.perf_counter() - step_start)
        if len(times) > 1 and times[-1] > LONG_STEP_SECONDS:
            break
        step_start = time.perf_counter()
    return min(times[1:])


def choose_precision(job: Job, model: Model, source: FinetuningSource) -> str:
    one_row_job = replace(job, batch_size=1)
    batches = source.build_batches(one_row_job, model)
    seconds_by_precision = {
        p: measure_step_seconds(replace(one_row_job, plan=replace(job.plan, precision=p)), model, batches)
        for p in ("float32", "bfloat16")
    }
    return min(seconds_by_precision, key=lambda p: seconds_by_precision[p])


def estimate_finetuning(
    job: Job,
    parameter_counts: Mapping[str, int],
    steps: int,
    seconds_per_step: float,
    activation_bytes: int,
    unit: Unit = TOKENS,
    metric: str = BITS_PER_BYTE,
) -> RunEstimate:
    """Estimate the cost of the run; `activation_bytes` is per row. Raises ValueError if memory does not suffice."""
    num_parameters = parameter_counts["parameters"]
    num_trained = parameter_counts.get("trained", num_parameters)
    frozen_bytes = 6 * (num_parameters - num_trained)  # in both precisions
    memory_bytes = forecast.estimate_memory(job.plan, num_trained, activation_bytes * job.batch_size) + frozen_bytes
    available_bytes = psutil.virtual_memory().available
    if memory_bytes > available_bytes:
        raise GenloomError(
            "train.out_of_memory_finetuning", required_gb=memory_bytes / 1e9, available_gb=available_bytes / 1e9
        )
    return RunEstimate(
        num_parameters=num_parameters,
        steps=steps,
        total_units=steps * job.units_per_step,
        seconds=round(steps * seconds_per_step, 1),
        memory_bytes=memory_bytes,
        units_per_second=round(job.units_per_step / seconds_per_step),
        expected_loss=None,
        error_margin=forecast.DEFAULT_ERROR,
        ngram_baseline=None,
        num_trained=parameter_counts.get("trained"),
        unit=unit,
        metric=metric,
    )


def count_parameters(model: Model, base: ModelFolder, job: Job) -> dict[str, int]:
    """Count all parameters, and with an adapter also the trained ones."""
    num_trained = sum(p.numel() for p in model.parts.parameters())
    return (
        {"parameters": int(base.card["parameters"]) + num_trained, "trained": num_trained}
        if job.adapter
        else {"parameters": num_trained}
    )


def evaluate_general_knowledge(workspace: Workspace, model: Model, job: Job) -> dict[str, float]:
    """Evaluate the model on general data, which fine-tuning may make it forget; empty if there are none.

    For a stream of text, these are built-in passages; else, the held-out items of the base model's own data.
    """
    if reads_stream(model):
        held_out: Sequence[TextOrChat] | Batch = [read_general_text()]
    else:
        held_out = load_base_held_out(workspace, model, job)
    if not len(held_out):
        return {}
    held_out_metric = measure_held_out(model, held_out)
    return {f"general_{to_metric_key(held_out_metric.name)}": held_out_metric.value}


def load_base_held_out(workspace: Workspace, model: Model, job: Job) -> Batch | tuple[()]:
    """Load held-out items of the base model's training data; () if the workspace does not have them."""
    data_record = workspace.get_model(job.base["ref"]).card.get("data") or {}
    try:
        dataset = workspace.get_dataset(data_record.get("name", ""), data_record.get("digest", ""))
    except ValueError:
        return ()
    return load_held_out_batch(dataset, model, SampleSet.eval_size)


def load_held_out_batch(dataset: Dataset, model: Model, limit: int) -> Batch | tuple[()]:
    """Load up to `limit` representative held-out items of a model that reads no stream; () if there are none."""
    codec, conditioners = model.codec, model.conditioners
    if samples.has_fixed_size(codec.space):
        return samples.load_held_out_samples(dataset, codec, conditioners, limit)
    return load_held_out_sequences(dataset, codec, conditioners, model.design.context_length, limit)


def write_finetuned_model(workspace: Workspace, model: Model, folder: Path, job: Job, card: Mapping[str, Any]) -> None:
    """Save an adapter or all weights, with a card that names the base model.

    A chain of adapters that has reached its maximal length is merged into a model without adapters.
    """
    base = workspace.get_model(job.base["ref"])
    card = {**card, **count_parameters(model, base, job), "parents": [dict(job.base)]}
    if job.adapter and not is_chain_full(workspace, base):
        save_adapter(model, ADAPTER_NAME, base, folder, job.to_tables(), card)
    else:
        save_model(merge_adapters(model) if job.adapter else model, folder, job.to_tables(), card)


def read_general_text() -> str:
    """Return short passages of many kinds, written for Genloom, to measure what a model has forgotten."""
    return Path(__file__).with_name("general.txt").read_text(encoding="utf-8")
