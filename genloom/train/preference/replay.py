"""Experience replay: training on a model's earlier data beside preferences, so that it does not forget them."""

from collections.abc import Callable, Generator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from genloom.capabilities import CountingNetwork
from genloom.model import Model
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.data import samples
from genloom.train.data.documents import build_packed_batches
from genloom.train.data.rehearsal import prepare_passages
from genloom.train.data.samples import SampleBatches
from genloom.train.data.source import BatchFn
from genloom.train.events import Event, Status
from genloom.train.finetune import prepare_finetuning_source
from genloom.train.job import Job
from genloom.types import is_open_sequence

REPLAY_PACK_LENGTH = 256  # tokens per row, at most
NUM_PSEUDO_DOCUMENTS = 64  # generated passages
MAX_REPLAY_SAMPLES = 1024  # because encoding takes time

BuildReplayFn = Callable[[Job, Model], BatchFn]  # returns the batches of a run


def prepare_replay(
    folder: Path, workspace: Workspace, model: Model, data: Mapping[str, Any], replay_weight: float
) -> Generator[Event, None, BuildReplayFn | None]:
    """Return the source of batches of the model's training data; None if its data set is not in the workspace.

    `data` are the name and the digest of the data set. Without `replay_weight`, there is no replay.

    A network with n-gram counts has memorised its text, and would only learn to trust the counts: it replays passages
    that it generates itself.
    """
    if not replay_weight:
        return None
    if any(isinstance(part, CountingNetwork) for part in model.parts.values()):
        yield Status("Generating passages to replay")
        documents = prepare_passages(folder, model, NUM_PSEUDO_DOCUMENTS, REPLAY_PACK_LENGTH)
        return (lambda job, model: build_packed_batches(documents, model, job)) if len(documents.ends) else None
    try:
        dataset = workspace.get_dataset(data.get("name", ""), data.get("digest", ""))
    except ValueError:
        return None
    yield Status("Encoding training data to replay")
    if not is_open_sequence(model.codec.space):
        return encode_replay_samples(dataset, model)
    return (yield from prepare_finetuning_source(folder, dataset, model)).build_batches


def encode_replay_samples(dataset: Dataset, model: Model) -> BuildReplayFn | None:
    items = islice(dataset.iter_documents("train"), MAX_REPLAY_SAMPLES)
    if not (parts := list(samples.encode_samples(items, model.codec, model.conditioners))):
        return None
    encoded = samples.concat_samples(parts)
    return lambda job, model: SampleBatches(encoded, job.batch_size, job.plan.seed, job.cond_dropout)
