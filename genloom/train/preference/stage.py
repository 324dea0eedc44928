"""Preference training: a challenger trained from a stored model on ratings, resumable to the same bits."""

from collections.abc import Generator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from genloom.capabilities import BatchPreparing, ExactLikelihood, unwrap_objective
from genloom.errors import GenloomError
from genloom.model import Design, Model
from genloom.model.likelihood import HELD_OUT_LOSS
from genloom.networks import lora
from genloom.noise import build_training_noise
from genloom.objectives.replay import ReplayBatch, ReplayMix
from genloom.settings import apply_overrides, to_table
from genloom.store.model_folder import ModelFolder
from genloom.store.run import Run
from genloom.train.data.documents import count_packed_activation_bytes
from genloom.train.data.source import BatchFn
from genloom.train.events import TOKENS, Event, Status
from genloom.train.job import Job, read_job
from genloom.train.loop import compute_copy
from genloom.train.optimizers import OptimizerConfig
from genloom.train.planning import forecast
from genloom.train.planning.auto_config import Budget
from genloom.train.post_training import PostTraining
from genloom.train.preference.config import PreferenceConfig, build_default_config, get_preference_config
from genloom.train.preference.dataset import (
    PreferenceBatches,
    PreferenceDataset,
    PreferenceSides,
    precompute_reference_nll,
)
from genloom.train.preference.replay import REPLAY_PACK_LENGTH, BuildReplayFn, prepare_replay
from genloom.train.preference.rollouts import RolloutBatches, RolloutEnvironment
from genloom.train.preference.score_memory import ScoreMemory
from genloom.train.preference.scored_batches import ScoredBatches
from genloom.types import Codec, Parts, is_open_sequence

RATINGS_DATA = "ratings"  # the name of the data in jobs of such runs
ADAPTER_MIN_PARAMETERS = 20_000_000  # smaller models train all their weights
PREFERENCE_BATCH_SIZE = 8
ROLLOUTS_PER_STEP = {"grpo": 16, "reinvent": 40}  # with the replayed rows
REINVENT_OPTIMIZER = OptimizerConfig("adamw", lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)
REINVENT_COOLDOWN = 0.2  # of the steps: early ones find little, so that late ones matter
MAX_EPOCHS = {"reinvent": 1_000_000}  # 4 for other methods
MEMORY_FILE = "scores.jsonl"  # in the folder of a run
ALLOWED_OVERRIDES = ("batch_size", "plan", "adapter", "learning", "parallel")

Preferences = PreferenceDataset | RolloutEnvironment


@dataclass(frozen=True)
class PreferenceSource:
    """Preferences or rollouts as the data of a run, with replay of the model's earlier data."""

    codec: Codec
    preferences: Preferences
    config: PreferenceConfig
    replay: BuildReplayFn | None
    should_score_reference: bool = False  # zeros are enough for measuring
    folder: Path | None = None  # of the run, for the memory of scored samples

    unit, metric = TOKENS, HELD_OUT_LOSS
    min_epochs = 0
    eval_size = final_eval_size = 0  # held-out ratings are for the comparison of both models

    @property
    def max_epochs(self) -> int:
        """At most so many, for a run that is limited by time; a prompt whose samples are scored never wears out."""
        return MAX_EPOCHS.get(self.config.method, 4)

    def load_held_out(self, limit: int) -> tuple[()]:
        return ()

    def with_batch_shape(self, job: Job) -> Job:
        """Return the job with the row length of replayed documents."""
        return replace(job, pack_length=min(REPLAY_PACK_LENGTH, job.design.context_length))

    def count_epoch_rows(self, job: Job, model: Model) -> int:
        return len(self.preferences) * self.config.rows_per_prompt

    def find_warnings(self, job: Job, model: Model) -> list[str]:
        return []

    def build_private_rows(self, job: Job) -> NoReturn:
        raise GenloomError("train.private_stage")

    def activation_bytes(self, job: Job, model: Model) -> int:
        """Return the activation bytes per row."""
        if is_open_sequence(self.codec.space):
            return count_packed_activation_bytes(job)
        batch: Any = self.build_batches(replace(job, batch_size=self.config.rows_per_prompt), model)(0)
        batch = batch.select_rows(slice(0, 2))
        parts, phase = dict(model.parts.items()), model.objective.phases[0]
        if isinstance(model.objective, BatchPreparing):
            noise = build_training_noise(job.plan.seed, 0, 0, len(batch))
            batch = model.objective.prepare_batch(parts, batch, phase, noise, len(batch))
        return forecast.count_activation_bytes_per_sample(model.objective, parts, batch, job.plan)

    def build_batches(self, job: Job, model: Model) -> BatchFn:
        """Return the batches of a run of `model`, which must be at step 0: it is its own reference."""
        job = replace(job, batch_size=max(job.batch_size, self.config.rows_per_prompt))
        batches: Any = self.build_preference_batches(job, model)
        if self.replay is None:
            return batches
        replay_batches = self.replay(job, model)
        # A small preference data set has smaller batches; both sides need the same batch size.
        rows = slice(0, batches.batch_size)
        mixed_batches: Any = lambda step: ReplayBatch(batches(step), replay_batches(step).select_rows(rows))  # noqa: E731
        return mixed_batches

    def build_preference_batches(self, job: Job, model: Model) -> PreferenceBatches | RolloutBatches | ScoredBatches:
        """Return the batches; their reference log-likelihoods are computed once, if the likelihood is exact."""
        objective, config = unwrap_objective(model.objective), self.config
        if not isinstance(self.preferences, PreferenceDataset):
            settings: Any = config.num_generations, job.plan.seed, config.advantage_estimator
            learner, reference = replace(model, objective=objective), copy_reference(model, job)
            if config.method == "reinvent":
                memory = ScoreMemory.open(self.folder / MEMORY_FILE) if self.folder else ScoreMemory()
                num_replayed = min(config.num_replayed, job.batch_size - 1)  # of the small batches that are measured
                sizes = job.batch_size, num_replayed, config.family_size, job.plan.seed
                environment: Any = self.preferences
                return ScoredBatches(environment, learner, objective, reference, *sizes, memory)
            return RolloutBatches(self.preferences, learner, objective, reference, job.batch_size, *settings)
        sides = PreferenceSides.from_dataset(config.method, self.preferences, model.design.context_length)
        if not isinstance(objective, ExactLikelihood):
            return PreferenceBatches(sides, job.batch_size, job.plan.seed)
        nll_SN = np.zeros((len(sides.list_answer_sides()), len(sides.dataset)), np.float32)
        if self.should_score_reference:
            parts = dict(compute_copy(model.parts, replace(job.plan, torch_compile=False)).items())
            nll_SN = precompute_reference_nll(objective, parts, sides)
        return PreferenceBatches(sides, job.batch_size, job.plan.seed, nll_SN)


@dataclass(frozen=True)
class PreferenceTraining(PostTraining):
    """The training of a stored model on preferences, with the objective of the method."""

    preferences: Preferences

    full_lr = 3e-4
    setup_epochs = 0.25  # forward passes of the reference, each a third of a step

    def check_request(self, model: Model, budget: Budget, overrides: Mapping[str, str]) -> None:
        for path in overrides:
            if path.split(".")[0] not in ALLOWED_OVERRIDES:
                raise GenloomError("train.setting_of_base", path=path, allowed=", ".join(ALLOWED_OVERRIDES))

    def build_default_job(
        self, model: Model, base: ModelFolder, name: str, seed: int, overrides: Mapping[str, str]
    ) -> Job:
        num_weights = sum(weight.numel() for weight in (*model.parts.parameters(), *model.parts.buffers()))
        is_large = num_weights >= ADAPTER_MIN_PARAMETERS
        has_adapter = is_large and bool(lora.find_targets(next(iter(model.parts.values()))))
        return self.build_job(model.design, base, name, seed, overrides, has_adapter)

    def build_job(
        self, design: Design, base: ModelFolder, name: str, seed: int, overrides: Mapping[str, str], has_adapter: bool
    ) -> Job:
        """Return the job before any measurement."""
        data = name, RATINGS_DATA, self.preferences.digest
        tables = self.build_default_tables(design, base, data, seed, has_adapter)
        if self.method == "reinvent":
            tables["plan"] |= {"optimizer": to_table(REINVENT_OPTIMIZER), "cooldown": REINVENT_COOLDOWN}
        tables["batch_size"] = ROLLOUTS_PER_STEP.get(self.method, PREFERENCE_BATCH_SIZE)
        tables["learning"] = to_table(build_default_config(self.method))
        job = Job.from_tables(apply_overrides(tables, overrides))
        config = get_preference_config(job)
        if config.method == "reinvent" and job.batch_size <= config.num_replayed:
            raise GenloomError("train.no_rollouts", batch_size=job.batch_size, replayed=config.num_replayed)
        if job.batch_size % (multiple := get_preference_config(job).rows_per_prompt):
            raise GenloomError("train.uneven_groups", batch_size=job.batch_size, multiple=multiple)
        return job

    def find_unfinished_run(
        self, name: str, seed: int, overrides: Mapping[str, str], judged_runs: frozenset[str]
    ) -> Run | None:
        """Return the newest run of the same data, base and settings whose challenger was not evaluated."""
        base = self.workspace.get_model(self.base)
        for run in reversed(self.workspace.list_runs()):
            path = run.folder / "job.toml"
            if run.name != name or run.id in judged_runs or not path.is_file():
                continue
            job = read_job(path)
            expected = self.build_job(job.design, base, name, seed, overrides, has_adapter=bool(job.adapter))
            identity = (expected.data, expected.digest, expected.base, expected.learning, expected.plan.seed)
            if (job.data, job.digest, job.base, job.learning, job.plan.seed) == identity:
                return run
        return None

    def prepare_source(self, folder: Path, model: Model, job: Job) -> Generator[Event, None, PreferenceSource]:
        """Return the preferences and the data to replay, encoding these if necessary; yield the progress."""
        config = get_preference_config(job)
        data = self.workspace.get_model(job.base["ref"]).card.get("data") or {}
        replay = yield from prepare_replay(folder, self.workspace, model, data, config.replay_weight)
        return PreferenceSource(model.codec, self.preferences, config, replay, folder=folder)

    def with_objective(self, model: Model, source: PreferenceSource, job: Job) -> Model:
        """Return the model with the objective of the method; dropout is off from here on.

        Unless the batches hold the log-likelihoods of the reference, a copy of the model computes them in every step,
        with the same noise as the model in training.
        """
        model.parts.eval()
        base = model.objective
        is_stochastic = isinstance(self.preferences, PreferenceDataset) and not isinstance(base, ExactLikelihood)
        objective = source.config.build_objective(base, copy_reference(model, job) if is_stochastic else {})
        if source.replay is not None:
            replay_weight = source.config.replay_weight
            objective = ReplayMix(base=base, objective=objective, replay_weight=replay_weight)
        return replace(model, objective=objective)

    def plan(
        self, folder: Path, name: str, budget: Budget, overrides: Mapping[str, str]
    ) -> Generator[Event, None, Job]:
        self.preferences.save(folder)
        return (yield from super().plan(folder, name, budget, overrides))

    def initialize(self, folder: Path, job: Job) -> Generator[Event, None, tuple[PreferenceSource, Model, BatchFn]]:
        """Return the preferences, and the model at step 0 and its batches, as functions of the job and the data."""
        assert self.preferences.digest == job.digest, "a run is resumed with its own training data"
        source, model, _ = yield from super().initialize(folder, job)
        yield Status("Scoring the rated answers with the champion")
        source = replace(source, should_score_reference=True)
        return source, model, source.build_batches(job, model)

    def describe_data(self, job: Job) -> dict[str, Any]:
        """Return the entries of the card about the data: those of the base, and the ratings."""
        base = self.workspace.get_model(job.base["ref"])
        inherited = {key: base.card[key] for key in ("data", "chat") if base.card.get(key)}
        return {**inherited, "has_learned_roles": base.has_learned_roles, "ratings": {"digest": job.digest}}


def copy_reference(model: Model, job: Job) -> Parts:
    """Return a copy of the networks that computes like the model at step 0."""
    plan = replace(job.plan, torch_compile=False)
    return dict(compute_copy(deepcopy(model.parts).requires_grad_(False), plan).items())
