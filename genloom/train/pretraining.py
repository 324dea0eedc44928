"""Pretraining: a new model, learned from a data set."""

import re
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genloom.caption_words import list_caption_words
from genloom.conditioners import PROMPT
from genloom.errors import GenloomError
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
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.train.data.source import BatchFn, DataSource, PretrainingSource, prepare_source
from genloom.train.events import Event, Status
from genloom.train.job import Job
from genloom.train.planning import forecast
from genloom.train.planning.auto_config import Budget, plan_training
from genloom.train.post_training import load_parent
from genloom.train.stage import TrainingStage

BLOCK_NAME = re.compile(r"(.*\bblocks\.)(\d+)\.")


@dataclass(frozen=True)
class Pretraining(TrainingStage):
    """The training of a new model on a data set."""

    workspace: Workspace
    dataset: Dataset

    def plan(
        self, folder: Path, name: str, budget: Budget, overrides: Mapping[str, str]
    ) -> Generator[Event, None, Job]:
        init_from = find_initial_model(self.workspace, overrides.get("init_from", ""))
        overrides = {path: value for path, value in overrides.items() if path != "init_from"}
        job = yield from plan_training(folder, self.workspace, self.dataset, name, budget, overrides)
        return replace(job, init_from=init_from)

    def initialize(self, folder: Path, job: Job) -> Generator[Event, None, tuple[DataSource, Model, BatchFn]]:
        source = yield from prepare_source(
            folder, self.workspace, self.dataset, job.design, fill=job.fill, mixture=job.mixture
        )
        model, batches = initialize_training(source, job)
        if job.init_from:
            yield Status(copy_fitting_weights(load_parent(self.workspace, job.init_from), model))
        return source, model, batches

    def describe_data(self, job: Job) -> dict[str, Any]:
        parents = [self.workspace.get_model(job.init_from["ref"])] if job.init_from else []
        record = {**describe_dataset(self.dataset), **describe_captions(self.dataset, job, parents)}
        return {**record, "chat": False, "has_learned_roles": False} if parents else record

    def write_model(self, model: Model, folder: Path, job: Job, card: Mapping[str, Any]) -> None:
        parents = {"parents": [dict(job.init_from)]} if job.init_from else {}
        save_model(model, folder, job.to_tables(), {**card, **parents})


def find_initial_model(workspace: Workspace, ref: str) -> dict[str, str]:
    """Return the reference and the digest of a model to start from; {} for the reference ""."""
    if not ref:
        return {}
    folder = workspace.get_model(ref)
    return {"ref": folder.ref, "digest": folder.digest}


def copy_fitting_weights(source: Model, target: Model) -> str:
    """Copy the weights whose names and shapes agree; return how many.

    The others keep their initial values, as with from_pretrained(ignore_mismatched_sizes=True) of Hugging Face. Of a
    deeper network, the blocks in the middle are new: those of our networks add nothing at first, and the long skips of
    a DiT connect the same blocks as before. Raises GenloomError if no weight fits.
    """
    parameters = dict(target.parts.named_parameters())
    weights = spread_blocks(source.parts.state_dict(), list(parameters))
    fitting = {name: p for name, p in parameters.items() if name in weights and weights[name].shape == p.shape}
    if not fitting:
        raise GenloomError("train.nothing_to_initialize", base=source.name)
    with torch.no_grad():
        for name, parameter in fitting.items():
            parameter.copy_(weights[name])
    counts = [sum(p.numel() for p in each.values()) for each in (fitting, parameters)]
    return f"Initializing {counts[0]:,} of {counts[1]:,} parameters from {source.name}"


def spread_blocks(weights: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Return weights by their names in a network of these names, which may have more blocks."""
    depth, new_depth = count_blocks(weights), count_blocks(names)

    def find_name(match: re.Match[str]) -> str:
        number = int(match[2])
        shift = max(new_depth[match[1]] - depth[match[1]], 0) if 2 * number >= depth[match[1]] else 0
        return f"{match[1]}{number + shift}."

    return {BLOCK_NAME.sub(find_name, name): tensor for name, tensor in weights.items()}


def count_blocks(names: Iterable[str]) -> Counter[str]:
    """Return how many numbered blocks there are, by what precedes the number in the names of their weights."""
    blocks = {(match[1], match[2]) for name in names if (match := BLOCK_NAME.match(name))}
    return Counter(prefix for prefix, _ in blocks)


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


def describe_captions(dataset: Dataset, job: Job, parents: Sequence[ModelFolder]) -> dict[str, Any]:
    """Return the entry of a card with the words of the captions, also of the parents; {} if they are not known."""
    conditioner = build_conditioners(job.design).get(PROMPT)
    inherited = [parent.card.get("caption_words") for parent in parents]
    if conditioner is None or not all(inherited):
        return {}
    items = dataset.iter_metadata("train", getattr(conditioner, "column", "caption"))
    captions = (str(value) for item in items if (value := conditioner.get_value(item)))
    words = list_caption_words(chain(captions, (" ".join(each or ()) for each in inherited)))
    return {"caption_words": words} if words else {}


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return the entry of a model's card about the data set it is trained on."""
    licences = dataset.manifest.get("licences", {})
    persons = {key: dataset.manifest[key] for key in ("persons", "consent") if key in dataset.manifest}
    return {"data": {"name": dataset.name, "digest": dataset.digest, "licences": licences, **persons}}
