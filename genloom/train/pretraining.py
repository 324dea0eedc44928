"""Pretraining: a new model, learned from a data set."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genloom.memory import measure_memory
from genloom.model import (
    Model,
    build_conditioners,
    build_networks,
    build_objective,
    find_best_device,
    resolve_space,
    save_model,
)
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.data.source import BatchFn, DataSource, PretrainingSource, prepare_source
from genloom.train.events import Event
from genloom.train.job import Job
from genloom.train.planning import forecast
from genloom.train.planning.auto_config import Budget, plan_training
from genloom.train.stage import TrainingStage


@dataclass(frozen=True)
class Pretraining(TrainingStage):
    """The training of a new model on a data set."""

    workspace: Workspace
    dataset: Dataset

    def plan(
        self, folder: Path, name: str, budget: Budget, overrides: Mapping[str, str]
    ) -> Generator[Event, None, Job]:
        return (yield from plan_training(folder, self.workspace, self.dataset, name, budget, overrides))

    def initialize(self, folder: Path, job: Job) -> Generator[Event, None, tuple[DataSource, Model, BatchFn]]:
        source = yield from prepare_source(
            folder, self.workspace, self.dataset, job.design, fill=job.fill, mixture=job.mixture
        )
        return source, *initialize_training(source, job)

    def describe_data(self, job: Job) -> dict[str, Any]:
        return describe_dataset(self.dataset)

    def write_model(self, model: Model, folder: Path, job: Job, card: Mapping[str, Any]) -> None:
        save_model(model, folder, job.to_tables(), card)


def initialize_training(source: PretrainingSource, job: Job) -> tuple[Model, BatchFn]:
    """Return the model at step 0 and its batches, as functions of the job."""
    objective = build_objective(job.design, resolve_space(job.design, source.codec))
    torch.manual_seed(job.plan.seed)
    parts = build_networks(job.design, objective)
    conditioners = build_conditioners(job.design)
    model = Model(job.name, source.codec, objective, parts, job.design, conditioners=conditioners)
    batches = source.build_batches(job, model)
    num_parameters = sum(p.numel() for p in parts.parameters())
    for part in parts.values():
        source.fit_counts(part)
    activation_bytes = source.activation_bytes(job, model) * job.batch_size
    forecast.check_memory(job.plan, num_parameters, activation_bytes, measure_memory().total)
    parts.to(find_best_device())
    return model, batches


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return the entry of a model's card about the data set it is trained on."""
    licences = dataset.manifest.get("licences", {})
    persons = {key: dataset.manifest[key] for key in ("persons", "consent") if key in dataset.manifest}
    return {"data": {"name": dataset.name, "digest": dataset.digest, "licences": licences, **persons}}
