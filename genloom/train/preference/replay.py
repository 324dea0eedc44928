"""Experience replay: training on a model's earlier data beside preferences, so that it does not forget them."""

from collections.abc import Callable, Generator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from genloom.capabilities import CountingNetwork
from genloom.model import Model
from genloom.noise import Noise
from genloom.objectives.autoregressive import SamplingParams
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.data import samples
from genloom.train.data.documents import build_packed_batches
from genloom.train.data.packing import EncodedDocuments, write_documents
from genloom.train.data.samples import SampleBatches, has_fixed_size
from genloom.train.data.source import BatchFn
from genloom.train.events import Event, Status
from genloom.train.finetune import prepare_finetuning_source
from genloom.train.job import Job
from genloom.types import TokenSpace

REPLAY_PACK_LENGTH = 256  # tokens per row, at most
NUM_PSEUDO_DOCUMENTS = 64  # generated passages
MAX_REPLAY_SAMPLES = 1024  # because encoding takes time

BuildReplayFn = Callable[[Job, Model], BatchFn]  # returns the batches of a run


def prepare_replay(
    folder: Path, workspace: Workspace, model: Model, data: Mapping[str, Any], replay_weight: float
) -> Generator[Event, None, BuildReplayFn | None]:
    """Return what builds batches of the model's training data; None if its data set is not in the workspace.

    `data` are the name and the digest of the data set. Without `replay_weight`, there is no replay.

    A network with n-gram counts has memorised its text, and would only learn to trust the counts: it replays passages
    that it generates itself.
    """
    if not replay_weight:
        return None
    if any(isinstance(part, CountingNetwork) for part in model.parts.values()):
        if not (folder / "documents.ends").exists():
            yield Status("Generating passages to replay")
            write_documents(generate_pseudo_documents(model), folder)
        documents = EncodedDocuments.load(folder)
        return (lambda job, model: build_packed_batches(documents, model, job)) if len(documents.ends) else None
    try:
        dataset = workspace.get_dataset(data.get("name", ""), data.get("digest", ""))
    except ValueError:
        return None
    yield Status("Encoding training data to replay")
    if has_fixed_size(model.codec.space):
        return encode_replay_samples(dataset, model)
    return (yield from prepare_finetuning_source(folder, dataset, model)).build_batches


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


def encode_replay_samples(dataset: Dataset, model: Model) -> BuildReplayFn | None:
    items = islice(dataset.iter_documents("train"), MAX_REPLAY_SAMPLES)
    if not (parts := list(samples.encode_samples(items, model.codec, model.conditioners))):
        return None
    encoded = samples.concat_samples(parts)
    return lambda job, model: SampleBatches(encoded, job.batch_size, job.plan.seed, job.cond_dropout)
