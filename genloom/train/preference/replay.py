"""What a model learned before, read again beside something new, so that it is not forgotten."""

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

REPLAY_PACK_LENGTH = 256  # symbols of a row of text at most
NUM_PSEUDO_DOCUMENTS = 64  # passages, where a model reads its own
MAX_REPLAY_SAMPLES = 1024  # samples at most: encoding them takes time

ReplayBatchFn = Callable[[int], Batch]  # the batch of a step


def build_replay_batches(
    folder: Path, workspace: Workspace, model: Model, job: Job, replay_weight: float
) -> Generator[Event, None, ReplayBatchFn | None]:
    """What the model was trained on, in batches; None where that is not here or nothing shall be read again.

    A network that has counted its text knows it by heart, and would only learn to trust its counts: it reads what it
    writes itself instead.
    """
    if replay_weight and any(hasattr(part, "fit") for part in model.parts.values()):
        if not (folder / "documents.ends").exists():
            yield Status("Writing what it can write before it learns, to be read again")
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
        yield Status("Encoding some of what it was trained on, to be seen again")
        return build_replay_samples(dataset, model, job)
    return documents.build_packed_batches(documents.encode_documents(folder, dataset, model), model, job)


def generate_pseudo_documents(model: Model) -> Generator[tuple[np.ndarray, np.ndarray]]:
    """Passages of the model itself, drawn as it finds them likely (pseudorehearsal, Robins 1995), and what counts."""
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
    parts = list(samples.encode_samples(items, model.codec, model.text_encoder))
    return (
        SampleBatches(samples.concat_samples(parts), job.batch_size, job.plan.seed, job.cond_dropout) if parts else None
    )


def with_replay(
    model: Model,
    preference_batches: PreferenceBatches | RolloutBatches,
    replay_batches: ReplayBatchFn | None,
    replay_weight: float,
) -> tuple[Model, Callable[[int], Any]]:
    """The model and the batches of a run that also reads again what is known, where there is some."""
    if replay_batches is None:
        return model, preference_batches
    base = getattr(model.objective, "base", model.objective)
    objective: Any = ReplayMix(model.objective, base, replay_weight)
    replay_fn: ReplayBatchFn = replay_batches

    def build_mixed_batch(step: int) -> ReplayBatch:
        # Lessons can be fewer than the rows of a step; both have to have as many.
        return ReplayBatch(
            preference_batches(step), replay_fn(step).select_rows(slice(0, preference_batches.batch_size))
        )

    return replace(model, objective=objective), build_mixed_batch
