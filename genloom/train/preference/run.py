"""Preference training: a challenger trained from a stored model, by the one loop, resumable to the same bits."""

import difflib
import json
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from genloom.errors import GenloomError
from genloom.model import Model, load_model
from genloom.networks import lora
from genloom.networks.precision import choose_prefill_precision
from genloom.noise import build_training_noise
from genloom.objectives.dpo import DPO
from genloom.objectives.grpo import GRPO
from genloom.objectives.kto import KTO
from genloom.settings import apply_overrides, parse, to_table
from genloom.store.files import write_atomic
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Run, Workspace
from genloom.train import checkpoint, finetune, run
from genloom.train.data import documents, samples
from genloom.train.events import Event, RunResult, RunWarning, Status
from genloom.train.job import Job, read_job
from genloom.train.log import ProgressLog
from genloom.train.loop import TrainConfig, TrainState, compute_copy
from genloom.train.optimizers import OptimizerConfig
from genloom.train.planning import forecast
from genloom.train.planning.auto_config import RESERVED_FRACTION, Budget
from genloom.train.preference.dataset import (
    PreferenceBatches,
    PreferenceDataset,
    PreferenceSides,
    precompute_reference_nll,
)
from genloom.train.preference.replay import REPLAY_PACK_LENGTH, build_replay_batches, with_replay
from genloom.train.preference.rollouts import RolloutBatches, RolloutEnvironment
from genloom.types import Batch, Objective, Parts

METHODS = ("dpo", "kto", "weighted", "grpo")
RATINGS_DATA = "ratings"  # the name of the data in jobs of such runs
ADAPTER_MIN_PARAMETERS = 20_000_000  # smaller models train all their weights
PREFERENCE_BATCH_SIZE = 8
ROLLOUTS_PER_STEP = 16
MAX_EPOCHS = 4  # for a run that is limited by time
ALLOWED_OVERRIDES = ("batch_size", "plan", "adapter", "learning")
OPTIMIZER_DEFAULTS = {
    "adapter": OptimizerConfig("adamw", lr_adapter=5e-4),
    "full": OptimizerConfig("adamw", lr_matrix=3e-4, lr_embedding=3e-4, lr_vector=3e-4),
}

AnyBatchFn = Callable[[int], Any]  # returns the batch of a step


@dataclass(frozen=True)
class PreferenceConfig:
    """Settings of preference training; genloom.objectives.dpo, kto and grpo explain them."""

    method: str = "dpo"
    beta: float = 0.1
    rpo_alpha: float = 0.1
    is_length_normalized: bool = False  # mean instead of sum of token log-likelihoods, so that length has no effect
    label_smoothing: float = 0.1  # assumed share of reversed ratings
    should_filter_noisy_labels: bool = True  # drop pairs that a reward model fitted to the others contradicts
    replay_weight: float = 5.0  # of the model's earlier training data
    num_generations: int = 4  # of grpo: rollouts per prompt
    advantage_estimator: Literal["grpo", "rloo"] = "grpo"
    rewards: tuple[str, ...] = ("model",)  # of grpo: the reward model, machine checks, or both

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            near = difflib.get_close_matches(self.method, METHODS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise GenloomError(
                "train.unknown_preference_method", value=self.method, hint=hint, methods=", ".join(METHODS)
            )
        if self.num_generations < 2:
            raise GenloomError("train.few_generations", value=self.num_generations)

    def build_objective(self, base: Objective[Batch], reference: Parts) -> Objective[Any]:
        """Return the objective around `base`; `reference` is empty if the batches hold its log-likelihoods."""
        beta = self.beta * getattr(base, "nats_per_term", 1.0)  # beta is per nat
        match self.method:
            case "dpo":
                return DPO(base, reference, beta, self.rpo_alpha, self.is_length_normalized, self.label_smoothing)
            case "kto":
                return KTO(base, reference, beta, self.rpo_alpha)
            case "grpo":
                return GRPO(base, reference, beta)
            case _:
                return base


@dataclass(frozen=True)
class PreferenceRequest:
    """A preference training run to start or to resume."""

    base: str  # the ref of the champion
    name: str  # of the model whose next version the challenger becomes
    training_data: PreferenceDataset | RolloutEnvironment
    method: str = "dpo"
    budget: Budget = field(default_factory=Budget)  # only its minutes, steps and seed
    overrides: Mapping[str, str] = field(default_factory=dict)
    save_seconds: float = 30.0
    judged_runs: frozenset[str] = frozenset()  # with an evaluated challenger, so that they are not resumed


def train_on_preferences(workspace: Workspace, request: PreferenceRequest) -> Generator[Event]:
    """Train and yield events, finally the challenger; an interrupted run of the same request is resumed.

    Raises ValueError for an unknown model or method, or a setting that the base determines.
    """
    base = workspace.get_model(request.base)
    unfinished_run = find_unfinished_run(workspace, base, request)
    if unfinished_run is not None:
        with run.lock_run(unfinished_run):
            yield Status(f"Resuming {unfinished_run.id}")
            yield from execute_preference_run(
                workspace, unfinished_run, read_job(unfinished_run.folder / "job.toml"), request
            )
        return
    new_run = workspace.get_run(workspace.create_run(request.name).name)
    with run.lock_run(new_run):
        try:
            request.training_data.save(new_run.folder)
            job = yield from plan_preference_training(new_run.folder, workspace, base, request)
            job.save(new_run.folder / "job.toml")
        except BaseException:
            shutil.rmtree(new_run.folder, ignore_errors=True)
            raise
        yield from execute_preference_run(workspace, new_run, job, request)


def find_unfinished_run(workspace: Workspace, base: ModelFolder, request: PreferenceRequest) -> Run | None:
    """Return the newest run of the same data, base and settings whose challenger was not evaluated."""
    for candidate_run in reversed(workspace.list_runs()):
        path = candidate_run.folder / "job.toml"
        if candidate_run.name != request.name or candidate_run.id in request.judged_runs or not path.is_file():
            continue
        job = read_job(path)
        expected_job = default_preference_job(job.design, base, request, "full" if not job.adapter else "adapter")
        is_same = (job.digest, job.base, job.learning) == (
            request.training_data.digest,
            expected_job.base,
            expected_job.learning,
        )
        if job.data == RATINGS_DATA and is_same and job.plan.seed == request.budget.seed:
            return candidate_run
    return None


def plan_preference_training(
    folder: Path, workspace: Workspace, base: ModelFolder, request: PreferenceRequest
) -> Generator[Event, None, Job]:
    """Plan the run, with as many steps as fit the time; yield the progress and finally the estimate."""
    started_at = time.perf_counter()
    for path in request.overrides:
        if path.split(".")[0] not in ALLOWED_OVERRIDES:
            raise GenloomError("train.setting_of_base", path=path, allowed=", ".join(ALLOWED_OVERRIDES))
    model = load_model(workspace, base.ref)
    num_weights = sum(weight.numel() for weight in (*model.parts.parameters(), *model.parts.buffers()))
    trained_weights = (
        "adapter"
        if num_weights >= ADAPTER_MIN_PARAMETERS and lora.find_targets(next(iter(model.parts.values())))
        else "full"
    )
    job = default_preference_job(model.design, base, request, trained_weights)
    job = replace(job, pack_length=min(REPLAY_PACK_LENGTH, model.design.context_length))
    replay_batches = yield from build_replay_batches(
        folder, workspace, model, job, get_preference_config(job).replay_weight
    )
    model, preference_batches = build_learner_and_batches(
        model, job, request.training_data, should_score_reference=False
    )
    model, batches = with_replay(model, preference_batches, replay_batches, get_preference_config(job).replay_weight)
    yield Status("Measuring this machine")

    def time_precision(precision: str) -> float:
        return finetune.measure_step_seconds(with_job_precision(job, precision), model, cast(Any, batches))

    is_precision_set = "plan.precision" in request.overrides
    is_bfloat16_faster = all(choose_prefill_precision(part) == "bfloat16" for part in model.parts.values())
    precisions: tuple[str, ...] = ("bfloat16",) if is_bfloat16_faster else ("float32", "bfloat16")
    precisions = (job.plan.precision,) if is_precision_set else precisions
    seconds_by_precision = {precision: time_precision(precision) for precision in precisions}
    job = with_job_precision(job, min(seconds_by_precision, key=lambda precision: seconds_by_precision[precision]))
    seconds_per_step = seconds_by_precision[job.plan.precision]
    steps_per_epoch = len(request.training_data) * get_rows_per_prompt(job) / job.batch_size
    reference_seconds = seconds_per_step / 4 * steps_per_epoch  # forward passes, each a third of a step
    total_seconds = (request.budget.minutes or 5.0) * 60 * (1 - RESERVED_FRACTION)
    seconds_left = total_seconds - reference_seconds - (time.perf_counter() - started_at)
    max_steps = min(int(seconds_left / seconds_per_step), ceil(MAX_EPOCHS * steps_per_epoch))
    steps = request.budget.steps or max(max_steps, 1)
    activation_bytes = (
        documents.packed_activation_bytes(job)
        if not samples.has_fixed_size(model.codec.space)
        else measure_activation_bytes(model, job, batches)
    )
    estimate = finetune.estimate_finetuning(
        job, finetune.count_parameters(model, base, job), steps, seconds_per_step, activation_bytes
    )
    yield estimate
    return replace(job, plan=finetune.with_schedule(job.plan, steps, request.overrides), estimate=estimate.to_record())


def default_preference_job(design: Any, base: ModelFolder, request: PreferenceRequest, trained_weights: str) -> Job:
    """Return the job before any measurement."""
    plan = TrainConfig(steps=1, cooldown=0.8, optimizer=OPTIMIZER_DEFAULTS[trained_weights], seed=request.budget.seed)
    batch_size = ROLLOUTS_PER_STEP if request.method == "grpo" else PREFERENCE_BATCH_SIZE
    tables = Job(request.name, RATINGS_DATA, request.training_data.digest, design, plan, batch_size).to_tables()
    tables["base"] = {"ref": base.ref, "digest": base.digest}
    tables["learning"] = to_table(PreferenceConfig(request.method))
    if trained_weights == "adapter":
        tables["adapter"] = {"method": "lora", **to_table(lora.Config())}
    job = Job.from_tables(apply_overrides(tables, request.overrides))
    if job.batch_size % get_rows_per_prompt(job):
        raise GenloomError("train.uneven_groups", batch_size=job.batch_size, multiple=get_rows_per_prompt(job))
    return job


def get_rows_per_prompt(job: Job) -> int:
    """Return the number of rows per prompt in a batch."""
    settings = get_preference_config(job)
    return settings.num_generations if settings.method == "grpo" else 1


def get_preference_config(job: Job) -> PreferenceConfig:
    return parse(PreferenceConfig, job.learning, "learning")


def parse_preference_config(method: str, overrides: Mapping[str, str]) -> PreferenceConfig:
    """Parse the `learning.` overrides of a request. Raises ValueError for an unknown setting."""
    learning_overrides = {path: text for path, text in overrides.items() if path.startswith("learning.")}
    return parse(
        PreferenceConfig,
        apply_overrides({"learning": to_table(PreferenceConfig(method))}, learning_overrides)["learning"],
        "learning",
    )


def measure_activation_bytes(model: Model, job: Job, batches: AnyBatchFn) -> int:
    """Measure the activation bytes per row of samples."""
    batch: Any = batches(0).select_rows(slice(0, 2))
    parts, phase = dict(model.parts.items()), model.objective.phases[0]
    if prepare := getattr(model.objective, "prepare_batch", None):
        batch = prepare(parts, batch, phase, build_training_noise(job.plan.seed, 0, 0, len(batch)), len(batch))
    return forecast.activation_bytes_per_sample(model.objective, parts, batch, job.plan)


def with_job_precision(job: Job, precision: str) -> Job:
    return replace(job, plan=replace(job.plan, precision=precision))


def build_learner_and_batches(
    base: Model, job: Job, training_data: PreferenceDataset | RolloutEnvironment, should_score_reference: bool = True
) -> tuple[Model, PreferenceBatches | RolloutBatches]:
    """Return the base model ready for training with the objective of the method, and its batches.

    Dropout stays off. Before its first step the model is its own reference, since a new adapter has no effect. If the
    likelihood is exact, the reference scores every rated answer once (zeros unless `should_score_reference`); otherwise
    a copy of it scores the answers in every step, with the same noise as the model in training.
    """
    settings, plan = get_preference_config(job), replace(job.plan, torch_compile=False)
    model = finetune.build_learner(base, job)
    model.parts.eval()
    if isinstance(training_data, PreferenceDataset) and getattr(base.objective, "has_exact_likelihood", False):
        sides = PreferenceSides.from_dataset(settings.method, training_data, model.design.context_length)
        zero_nll_SN = np.zeros((len(sides.list_answer_sides()), len(sides.dataset)), np.float32)
        parts = dict(compute_copy(model.parts, plan).items())
        reference_nll_SN = (
            precompute_reference_nll(base.objective, parts, sides) if should_score_reference else zero_nll_SN
        )
        return with_preference_objective(model, settings, {}), PreferenceBatches(
            sides, job.batch_size, plan.seed, reference_nll_SN
        )
    reference_parts = dict(compute_copy(deepcopy(model.parts).requires_grad_(False), plan).items())
    if isinstance(training_data, PreferenceDataset):
        sides = PreferenceSides.from_dataset(settings.method, training_data, model.design.context_length)
        return with_preference_objective(model, settings, reference_parts), PreferenceBatches(
            sides, job.batch_size, plan.seed
        )
    model = with_preference_objective(model, settings, {})
    rollout_settings = settings.num_generations, plan.seed, settings.advantage_estimator
    return model, RolloutBatches(
        training_data, model, base.objective, reference_parts, job.batch_size, *rollout_settings
    )


def with_preference_objective(model: Model, settings: PreferenceConfig, reference: Parts) -> Model:
    base = model.objective
    if getattr(base, "z_loss", 0.0):  # preferences compare likelihoods only
        base = replace(cast(Any, base), z_loss=0.0)
    return replace(model, objective=settings.build_objective(base, reference))


def initialize_preference_training(
    folder: Path, workspace: Workspace, job: Job, training_data: PreferenceDataset | RolloutEnvironment
) -> Generator[Event, None, tuple[Model, AnyBatchFn, TrainState]]:
    """Return the model at step 0, its batches and its state, as functions of the job and the training data."""
    base = load_model(workspace, job.base["ref"])
    if base.folder is None or base.folder.digest != job.base["digest"]:
        raise GenloomError("train.changed_base", base=job.base["ref"])
    assert training_data.digest == job.digest, "a run is resumed with its own training data"
    replay_batches = yield from build_replay_batches(
        folder, workspace, base, job, get_preference_config(job).replay_weight
    )
    model, preference_batches = build_learner_and_batches(base, job, training_data)
    model, batches = with_replay(model, preference_batches, replay_batches, get_preference_config(job).replay_weight)
    return model, batches, TrainState.from_parts(model.parts, model.objective, job.plan)


def execute_preference_run(
    workspace: Workspace, current_run: Run, job: Job, request: PreferenceRequest
) -> Generator[Event]:
    """Train the remaining steps and store the challenger as the next version."""
    yield Status("Scoring the rated answers with the champion")
    torch.manual_seed(job.plan.seed)
    model, batches, state = yield from initialize_preference_training(
        current_run.folder, workspace, job, request.training_data
    )
    load_result = checkpoint.load(state, current_run.folder / "state", job.design.network)
    if load_result is not None:
        yield from (RunWarning(text) for text in load_result.warnings)
    log = ProgressLog(current_run.folder / "progress.jsonl", state.step)
    yield Status(f"Training on ratings from step {state.step} to {job.plan.steps}")
    save_request = run.TrainRequest(current_run.id, save_seconds=request.save_seconds)
    yield from run.run_steps(current_run.folder / "state", log, model, cast(Any, batches), job, state, save_request, ())
    trained_model = replace(model, parts=state.eval_parts.eval())
    actual = {
        "seconds": round(log.seconds, 1),
        "memory_bytes": log.peak_memory_bytes,
        "steps": state.step,
        "skipped_steps": state.skipped_steps,
    }
    challenger = run.find_stored_model(workspace, job, current_run, state.step)
    if challenger is None:
        staged_folder = workspace.create_model(job.name)
        with staged_folder as folder:
            finetune.write_finetuned_model(
                workspace, trained_model, folder, job, build_preference_card(workspace, job, current_run, actual)
            )
        challenger = staged_folder.result
    write_atomic(current_run.folder / "done.json", json.dumps({"model": challenger.ref}))
    yield RunResult(challenger.ref, current_run.id, None, log.seconds, job.estimate, actual)


def build_preference_card(
    workspace: Workspace, job: Job, current_run: Run, actual: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the card of the challenger; its data are those of its base."""
    data = workspace.get_model(job.base["ref"]).card.get("data")
    return {
        **({"data": data} if data else {}),
        "ratings": {"digest": job.digest},
        "run": current_run.id,
        "forecast": dict(job.estimate),
        "fact": dict(actual),
        "machine": checkpoint.describe_machine(),
    }
