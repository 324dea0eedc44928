"""Tuning a stored model on data of one's own: what is learned, what it takes, and what may be forgotten."""

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
from genloom.train.data.source import BatchFn, SampleSet, get_plural_name, prepare_samples
from genloom.train.events import TOKENS, Event, RunEstimate, RunWarning, Status, Unit
from genloom.train.job import Job
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.train.planning import forecast
from genloom.train.planning.auto_config import RESERVED_FRACTION, Budget
from genloom.types import Batch

METHODS = ("lora", "full")
ADAPTER_NAME = "default"  # its name in the network while it learns
ALLOWED_OVERRIDES = {  # the rest of a job is the base's
    "lora": ("batch_size", "pack_length", "cond_dropout", "plan", "adapter"),
    "full": ("batch_size", "pack_length", "cond_dropout", "plan", "objective"),
}
LONG_STEP_SECONDS = 2.0  # seconds of a step which chance changes little
ZERO_LR = OptimizerConfig(
    "adamw", lr_matrix=0.0, lr_embedding=0.0, lr_vector=0.0, lr_adapter=0.0
)  # to time steps that change nothing
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
    """Yield what is being done and at last the contract; return the job. `asked` is the base and the method.

    Raises ValueError for what a person can mend: an unknown base or method, too little data, wishes that exclude each
    other, a setting that is the base's.
    """
    started_at = time.perf_counter()
    ref, method = base_and_method
    check_budget(method, budget, overrides)
    if not dataset.count_bytes("train"):
        raise ValueError(
            f"The data set {dataset.name!r} has no training {get_plural_name(dataset.medium)}. Collect more, then train."
        )
    base = workspace.get_model(ref)
    model = load_model(workspace, base.ref)
    if dataset.medium != model.design.medium:
        raise ValueError(
            f"{base.ref} makes {get_plural_name(model.design.medium)}, and {dataset.name!r} holds {get_plural_name(dataset.medium)}. "
            "Choose data or a model of the other kind."
        )
    job = default_finetuning_job(model, base, dataset, name, method, budget.seed, overrides)
    model = build_learner(model, job)
    yield Status(f"Encoding the {get_plural_name(dataset.medium)}")
    source = yield from prepare_finetuning_source(folder, dataset, model)
    job = source.with_batch_shape(job)
    for warning in source.find_warnings(job, model):
        yield RunWarning(warning)
    yield Status(f"Measuring what {job.base['ref']} knows before")
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
    deadline = (
        started_at + (budget.minutes or 5.0) * 60 * (1 - RESERVED_FRACTION) - 2 * eval_seconds
    )  # after the run, and all looks within it
    steps = (
        budget.steps
        or -(-budget.tokens // job.units_per_step)
        or max(int((deadline - time.perf_counter()) / seconds_per_step), 1)
    )
    max_steps = ceil(source.max_epochs * source.count_epoch_rows(job, model) / job.batch_size)
    if steps > max_steps and not (budget.steps or budget.tokens):
        steps = max_steps
        yield RunWarning(
            f"The {get_plural_name(dataset.medium)} will be read {source.max_epochs} times over, which takes less than the time "
            "you gave; reading so little more often would teach it by heart. If that is what you want, say --steps."
        )
    activation_bytes = source.activation_bytes(job, model)
    estimate = replace(
        estimate_finetuning(
            job,
            count_parameters(model, base, job),
            steps,
            seconds_per_step,
            activation_bytes,
            source.unit,
            source.metric,
        ),
        before=loss_before,
        general_before=general_loss_before,
    )
    yield estimate
    return replace(job, plan=with_schedule(job.plan, steps, overrides), contract=estimate.to_record())


def with_schedule(plan: TrainConfig, steps: int, overrides: Mapping[str, str]) -> TrainConfig:
    """The plan for so many steps; a warm-up that nobody has set is a twentieth of them."""
    return replace(plan, steps=steps, warmup=plan.warmup if "plan.warmup" in overrides else max(steps // 20, 1))


def check_budget(method: str, budget: Budget, overrides: Mapping[str, str]) -> None:
    """Raises ValueError for wishes that tuning cannot meet."""
    if method not in METHODS:
        near = difflib.get_close_matches(method, METHODS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"Unknown method {method!r}.{hint} Choose lora (an adapter) or full (all weights).")
    if sum(bool(w) for w in (budget.minutes, budget.tokens, budget.steps)) > 1:
        raise ValueError("Choose one of --minutes, --tokens and --steps: each of them says how long to train.")
    if budget.params:
        raise ValueError("A tuned model has the size of its base: leave --params away.")
    for path in overrides:
        if path.split(".")[0] == "adapter" and method == "full":
            raise ValueError(f"{path} is a setting of an adapter: choose --method lora for it.")
        if path.split(".")[0] not in ALLOWED_OVERRIDES[method]:
            allowed_names = ", ".join(ALLOWED_OVERRIDES[method])
            raise ValueError(f"{path} is the base's and stays as it is. Tuning lets you set: {allowed_names}.")


def default_finetuning_job(
    model: Model, base: ModelFolder, dataset: Dataset, name: str, method: str, seed: int, overrides: Mapping[str, str]
) -> Job:
    """The job before anything is measured."""
    plan = TrainConfig(steps=1, cooldown=0.8, optimizer=OPTIMIZER_DEFAULTS[method], seed=seed)
    tables = Job(name, dataset.name, dataset.digest, model.design, plan, 1).to_tables()
    if objective := overrides.get("objective.name"):  # another one around the same networks, with settings of its own
        tables["objective"] = {}
        tables["plan"] |= getattr(plugins.find_part("objective", objective), "TRAIN_DEFAULTS", {})
    tables["base"] = {"ref": base.ref, "digest": base.digest}
    if method == "lora":
        tables["adapter"] = {"method": method, **to_table(lora.Config())}
    tables["batch_size"] = 0  # not known yet
    tables = apply_overrides(tables, overrides)
    batch_size = tables.pop("batch_size")
    job = Job.from_tables({**tables, "batch_size": batch_size or 1})
    check_design(job.design)
    if job.pack_length > job.design.context_length:
        raise ValueError(
            f"{base.ref} reads {job.design.context_length} symbols at once, so pack_length {job.pack_length} is too long."
        )
    return job if batch_size else replace(job, rows=0)


def build_learner(model: Model, job: Job) -> Model:
    """The base as it was opened, made ready to learn: with a new adapter, or with all its weights free.

    Its objective may be another one than the base had.
    """
    torch.manual_seed(job.plan.seed)
    if with_defaults(job.design) != with_defaults(model.design):
        model = replace_objective(merge_adapters(model) if model.adapters else model, job.design)
    if job.adapter:
        if len(model.parts) != 1:
            raise ValueError(
                f"A model of {len(model.parts)} networks cannot be tuned by an adapter: use --method full."
            )
        settings = {key: value for key, value in job.adapter.items() if key != "method"}
        for network in model.parts.values():
            lora.attach(network, parse(lora.Config, settings, "adapter"), ADAPTER_NAME)
    elif model.adapters:
        model = merge_adapters(model)
    return replace(model, name=job.name, folder=None, parts=model.parts.train().requires_grad_(True))


def replace_objective(model: Model, design: Design) -> Model:
    """The model with another objective around its networks; what a network has more for it starts afresh.

    Raises ValueError where the networks that the objective asks for are not those of the model.
    """
    objective = build_objective(design, resolve_space(design, model.codec))
    parts = build_networks(design, objective)
    weights = model.parts.state_dict()
    expected_shapes = {name: tensor.shape for name, tensor in parts.state_dict().items()}
    if mismatched_names := [name for name, tensor in weights.items() if expected_shapes.get(name) != tensor.shape]:
        raise ValueError(
            f"The objective {design.objective!r} needs other networks than {model.ref} has ({mismatched_names[0]} does not fit). "
            "Train a new model for it."
        )
    parts.load_state_dict(weights, strict=False)
    if set_teacher := getattr(
        objective, "with_teacher", None
    ):  # the model as it was stays at hand while it is learned from
        objective = set_teacher(dict(model.parts.items()))
    return replace(model, objective=objective, parts=parts.to(model.device), design=design)


def prepare_finetuning_source(
    folder: Path, dataset: Dataset, model: Model
) -> Generator[Event, None, PackedDocuments | SampleSet]:
    """What the data set is for the model, encoded if it is not yet. ValueError where it cannot hold a conversation."""
    if samples.has_fixed_size(model.codec.space):
        return (yield from prepare_samples(folder, dataset, model.codec, model.design))
    return PackedDocuments(model.codec, encode_documents(folder, dataset, model), dataset)


def load_finetuning_base(workspace: Workspace, job: Job) -> Model:
    """The model that a run tunes. ValueError where it is not here, or is another one."""
    ref = job.base["ref"]
    try:
        model = load_model(workspace, ref)
    except ValueError as error:
        raise ValueError(f"This run tunes {ref}, which cannot be opened: {error}") from None
    if model.folder is None or model.folder.digest != job.base["digest"]:
        raise ValueError(
            f"This run tunes {ref}, and the {ref} that is here is another model: its digest differs. "
            "Restore the one that the run began with, or start again."
        )
    return model


def initialize_finetuning(
    source: PackedDocuments | SampleSet, base: Model, job: Job
) -> tuple[Model, BatchFn, TrainState]:
    """The model at its first step, its batches and its state, all functions of the job."""
    model = build_learner(base, job)
    return model, source.build_batches(job, model), TrainState.from_parts(model.parts, model.objective, job.plan)


def measure_step_seconds(job: Job, model: Model, batches: BatchFn) -> float:
    """The fastest of two steps after a first, which also fills tables; of long ones, one. The model stays as it is."""
    plan = replace(job.plan, steps=3, rates=ZERO_LR)
    times, step_start = [], time.perf_counter()
    for _ in train(model.objective, batches, plan, TrainState.from_parts(model.parts, model.objective, plan)):
        times.append(time.perf_counter() - step_start)
        if len(times) > 1 and times[-1] > LONG_STEP_SECONDS:
            break
        step_start = time.perf_counter()
    return min(times[1:])


def choose_precision(job: Job, model: Model, source: PackedDocuments | SampleSet) -> str:
    one_row_job = replace(job, rows=1)
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
    """What the run will take; `kept` bytes a row. Raises ValueError where there is less memory than it takes."""
    num_parameters = parameter_counts["parameters"]
    num_trained = parameter_counts.get("trained", num_parameters)
    frozen_bytes = 6 * (num_parameters - num_trained)  # in both precisions
    memory_bytes = forecast.estimate_memory(job.plan, num_trained, activation_bytes * job.batch_size) + frozen_bytes
    available_bytes = psutil.virtual_memory().get_unavailable_reason
    if memory_bytes > available_bytes:
        raise ValueError(
            f"This run needs about {memory_bytes / 1e9:.1f} GB, and {available_bytes / 1e9:.1f} GB are free. "
            "Close other programs, choose --method lora, or cut the steps into pieces (--set plan.grad_accum_steps=4)."
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
    """How many the model has in all, and where an adapter learns, how many of them do."""
    num_trained = sum(p.numel() for p in model.parts.parameters())
    return (
        {"parameters": int(base.card["parameters"]) + num_trained, "trained": num_trained}
        if job.adapter
        else {"parameters": num_trained}
    )


def evaluate_general_knowledge(workspace: Workspace, model: Model, job: Job) -> dict[str, float]:
    """What the model knows of data in general, which tuning may make it forget; empty where none is at hand.

    Of symbols that is a little of everything; of samples, what is held out of the data that the base learned.
    """
    if not samples.has_fixed_size(model.codec.space):
        held_out: Sequence[TextOrChat] | Batch = [read_general_text()]
    else:
        held_out = load_base_held_out(workspace, model, job)
    if not len(held_out):
        return {}
    held_out_metric = measure_held_out(model, held_out)
    return {f"general_{to_metric_key(held_out_metric.name)}": held_out_metric.value}


def load_base_held_out(workspace: Workspace, model: Model, job: Job) -> Batch | tuple[()]:
    """Held-out samples of the data set that the base was trained on, where that is here."""
    data_record = workspace.get_model(job.base["ref"]).card.get("data") or {}
    try:
        dataset = workspace.get_dataset(data_record.get("name", ""), data_record.get("digest", ""))
    except ValueError:
        return ()
    return samples.load_held_out_samples(dataset, model.codec, model.text_encoder, SampleSet.eval_size)


def write_finetuned_model(workspace: Workspace, model: Model, folder: Path, job: Job, card: Mapping[str, Any]) -> None:
    """Fill a model folder with what was learned, an adapter or all weights, and say what it was learned on.

    Where as many adapters stand on each other as can be opened, they become one whole model again.
    """
    base = workspace.get_model(job.base["ref"])
    card = {**card, **count_parameters(model, base, job), "parents": [dict(job.base)]}
    if job.adapter and not is_chain_full(workspace, base):
        save_adapter(model, ADAPTER_NAME, base, folder, job.to_tables(), card)
    else:
        save_model(merge_adapters(model) if job.adapter else model, folder, job.to_tables(), card)


def read_general_text() -> str:
    """A little of everything, written for Genloom: what surprises a model more than before, it has forgotten."""
    return Path(__file__).with_name("general.txt").read_text(encoding="utf-8")
