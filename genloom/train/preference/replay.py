"""Experience replay: training on a model's earlier data beside preferences, so that it does not forget them."""

from collections.abc import Callable, Generator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from genloom.model import Model
from genloom.noise import Noise
from genloom.objectives.autoregressive import SamplingParams
from genloom.objectives.replay import ReplayBatch, ReplayMix
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.data import documents, samples
from genloom.train.data.packing import EncodedDocuments, write_documents
from genloom.train.data.samples import SampleBatches
from genloom.train.events import Event, Status
from genloom.train.job import Job
from genloom.train.preference.dataset import PreferenceBatches
from genloom.train.preference.rollouts import RolloutBatches
from genloom.types import Batch, TokenSpace

REPLAY_PACK_LENGTH = 256  # tokens per row, at most
NUM_PSEUDO_DOCUMENTS = 64  # generated passages
MAX_REPLAY_SAMPLES = 1024  # because encoding takes time

ReplayBatchFn = Callable[[int], Batch]  # returns the batch of a step


def build_replay_batches(
    folder: Path, workspace: Workspace, model: Model, job: Job, replay_weight: float
) -> Generator[Event, None, ReplayBatchFn | None]:
    """Return batches of the model's training data; None without replay, or if the data are not in the workspace.

    A network with n-gram counts has memorised its text, and would only learn to trust the counts: it replays passages
    that it generates itself.
    """
    if replay_weight and any(hasattr(part, "fit") for part in model.parts.values()):
        if not (folder / "documents.ends").exists():
            yield Status("Generating passages to replay")
            write_documents(generate_pseudo_documents(model), folder)
        pseudo_documents = EncodedDocuments.load(folder)
        return documents.build_packed_batches(pseudo_documents, model, job) if len(pseudo_documents.ends) else None
    data = (model.folder.card.get("data") if model.folder else None) or {}
    try:
        dataset = workspace.get_dataset(data.get("name", ""), data.get("digest", "")) if data else None
    except ValueError:
        return None
    if dataset is None or not replay_weight:
        return None
    if samples.has_fixed_size(model.codec.space):
        yield Status("Encoding training samples to replay")
        return build_replay_samples(dataset, model, job)
    return documents.build_packed_batches(documents.encode_documents(folder, dataset, model), model, job)


def generate_pseudo_documents(model: Model) -> Generator[tuple[np.ndarray, np.ndarray]]:
    """Sample passages from the model, with loss masks (pseudorehearsal, Robins 1995)."""
    noise, params = Noise(0, tuple(range(NUM_PSEUDO_DOCUMENTS))), SamplingParams(max_tokens=REPLAY_PACK_LENGTH)
    with torch.inference_mode():
        *_, tokens_BL = model.objective.sample(
            dict(model.parts.eval().items()), NUM_PSEUDO_DOCUMENTS, None, noise, params
        )
    eos = cast(TokenSpace, model.codec.space).eos
    for row in tokens_BL.cpu().numpy():
        ids = row[: np.argmax(row == eos)] if (row == eos).any() else row
        if len(ids):
            yield ids, np.ones(len(ids), bool)


def build_replay_samples(dataset: Dataset, model: Model, job: Job) -> SampleBatches | None:
    items = islice(dataset.iter_documents("train"), MAX_REPLAY_SAMPLES)
    parts = list(samples.encode_samples(items, model.codec, model.conditioners))
    return (
        SampleBatches(samples.concat_samples(parts), job.batch_size, job.plan.seed, job.cond_dropout) if parts else None
    )


def with_replay(
    model: Model,
    preference_batches: PreferenceBatches | RolloutBatches,
    replay_batches: ReplayBatchFn | None,
    replay_weight: float,
) -> tuple[Model, Callable[[int], Any]]:
    """Return the model and the batches of a run with replay, if there are replay batches."""
    if replay_batches is None:
        return model, preference_batches
    base = getattr(model.objective, "base", model.objective)
    objective: Any = ReplayMix(base=base, objective=model.objective, replay_weight=replay_weight)
    replay_fn: ReplayBatchFn = replay_batches

    def build_mixed_batch(step: int) -> ReplayBatch:
        # A small preference data set has smaller batches; both sides need the same batch size.
        return ReplayBatch(
            preference_batches(step), replay_fn(step).select_rows(slice(0, preference_batches.batch_size))
        )

    return replace(model, objective=objective), build_mixed_batch
