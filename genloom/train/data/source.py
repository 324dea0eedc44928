"""The data source of a training run, encoded in its folder.

It is a set of samples where the codec gives values of one size. Otherwise the medium decides: a token stream, or
bounded sequences, which alone can have conditions.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from torch import nn

from genloom import plugins
from genloom.capabilities import CountingNetwork
from genloom.conditioners import Conditioners
from genloom.errors import GenloomError
from genloom.media.abilities import get_ability
from genloom.model import Design, Model, build_conditioners, load_model
from genloom.model.likelihood import HELD_OUT_LOSS, HeldOut, get_bits_metric
from genloom.settings import parse_settings
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.data import cache, conditions, samples
from genloom.train.data.fill import NO_FILL, FillConfig, build_fill_encoder
from genloom.train.data.mixture import MixedBlocks, MixtureWeights, TokenGroup
from genloom.train.data.private_batches import BuildRows, draw_kept
from genloom.train.data.samples import EncodedSamples, SampleBatches
from genloom.train.data.sequences import prepare_sequences
from genloom.train.data.stream_encoding import encode_stream
from genloom.train.data.token_shards import RECORD_SUFFIX, Tokens
from genloom.train.data.token_stream import (
    TokenBlocks,
    build_count_model,
    get_count_split,
    get_num_folds,
)
from genloom.train.data.turns import find_turner
from genloom.train.events import TOKENS, Event, Status, Unit
from genloom.train.job import Job
from genloom.train.planning import forecast
from genloom.train.planning.forecast import NUM_EVALS
from genloom.types import Batch, Codec, TokenSpace, is_open_sequence

PROGRESS_SECONDS = 30.0  # between two reports while encoding
FINETUNE_BATCH_SIZE = 16  # samples per step
BYTES_PER_TOKEN = 10  # of stored samples, for scaling rules

BatchFn = Callable[[int], Batch]  # returns the batch of a step


class DataSource(Protocol):
    """The encoded data of a run, and the held-out data that it is evaluated on."""

    @property
    def codec(self) -> Codec: ...

    @property
    def unit(self) -> Unit:
        """The units that reports count."""
        ...

    @property
    def metric(self) -> str:
        """The name of the held-out metric."""
        ...

    @property
    def eval_size(self) -> int:
        """The size of the held-out data during a run, for `load_held_out`."""
        ...

    @property
    def final_eval_size(self) -> int:
        """The size of the held-out data at the end of a run."""
        ...

    def build_batches(self, job: Job, model: Model) -> BatchFn: ...

    def activation_bytes(self, job: Job, model: Model) -> int:
        """Return the activation bytes per row."""
        ...

    def load_held_out(self, limit: int) -> HeldOut: ...


class PretrainingSource(DataSource, Protocol):
    """The data of a new model, with what its planning asks for."""

    @property
    def epochs_before_dropout(self) -> float: ...

    @property
    def epochs_before_warning(self) -> float: ...

    @property
    def tokens_per_sample(self) -> int: ...

    @property
    def eval_reads(self) -> int:
        """Units read by all evaluations of a run."""
        ...

    def __len__(self) -> int:
        """Return the number of units."""
        ...

    def limit_context_length(self, context_length: int, num_folds: int) -> int:
        """Return a context length that the data can fill, at most this one."""
        ...

    def fit_counts(self, network: nn.Module) -> None:
        """Let a network that counts n-grams do so."""
        ...

    def compute_ngram_baseline(self, design: Design) -> float:
        """Return the metric of an n-gram model; 0 if there is none."""
        ...


class FinetuningSource(DataSource, Protocol):
    """The data that a stored model is tuned on, with what its planning asks for."""

    @property
    def max_epochs(self) -> int:
        """At most, for a run that is limited by time."""
        ...

    @property
    def min_epochs(self) -> float:
        """Return the number of tokens below which the data are reported as too few."""
        ...

    def with_batch_shape(self, job: Job) -> Job:
        """Return the job with a batch size, and for tokens with a row length."""
        ...

    def count_epoch_rows(self, job: Job, model: Model) -> int: ...

    def find_warnings(self, job: Job, model: Model) -> list[str]: ...

    def build_private_rows(self, job: Job) -> tuple[BuildRows, int]:
        """Return the function that builds rows for private training, one a document, and the number of documents."""
        ...


def load_held_out(source: DataSource, share: float, size: int) -> HeldOut:
    """Load held-out data of this size, or only a share of it where the time limit of a run allows no more."""
    return source.load_held_out(max(round(size * share), 1) if size else 0)


@dataclass(frozen=True)
class TokenStream:
    """Concatenated documents, read in blocks."""

    codec: Codec
    token_ids: Tokens
    dataset: Dataset
    groups: tuple[TokenGroup, ...] = ()  # the documents by source, if the job mixes them

    unit = TOKENS
    epochs_before_dropout = 4  # from here on dropout helps (docs/log.md)
    epochs_before_warning = 40  # from here on more data would help more than more time
    tokens_per_sample = 1  # for scaling rules, which count tokens
    eval_size, final_eval_size = 24_000, 200_000  # bytes of held-out text: during a run; at its end

    def __len__(self) -> int:
        return len(self.token_ids)

    def build_batches(self, job: Job, model: Model) -> BatchFn:
        count_split, num_folds = get_count_split(model.parts), get_num_folds(model.parts)
        sizes = job.batch_size, job.design.context_length
        if not self.groups:
            return TokenBlocks(self.token_ids[count_split:], *sizes, job.plan.seed, num_folds)
        if count_split or num_folds > 1:
            raise GenloomError("train.mixture_with_counts", network=job.design.network)
        # The length that was planned, which stays the same while a run keeps to its time limit.
        num_steps = int(job.estimate.get("steps", 0)) or job.plan.steps
        return MixedBlocks(self.token_ids, self.groups, job.mixture, *sizes, num_steps, job.plan.seed)

    def limit_context_length(self, context_length: int, num_folds: int) -> int:
        """Return the context length, at most a third of a fold of the text."""
        shortest = min(map(len, self.groups), default=len(self))
        max_context_length = shortest // num_folds // 3
        if max_context_length < min(8, context_length):
            raise GenloomError("train.too_little_text", num_tokens=len(self))
        return min(context_length, max_context_length)

    def fit_counts(self, network: nn.Module) -> None:
        """Let a network that counts n-grams do so."""
        if isinstance(network, CountingNetwork):
            network.fit(np.asarray(self.token_ids))

    def activation_bytes(self, job: Job, model: Model) -> int:
        """Return the activation bytes per row."""
        return forecast.count_activation_bytes_per_sequence(job.design, job.plan)

    @property
    def eval_reads(self) -> int:
        """Tokens read by all evaluations of a run; windows overlap by half."""
        held_out_bytes = self.dataset.count_bytes("val")
        return 2 * (NUM_EVALS * min(self.eval_size, held_out_bytes) + min(self.final_eval_size, held_out_bytes))

    @property
    def metric(self) -> str:
        return get_bits_metric(self.dataset.medium)

    @property
    def medium(self) -> ModuleType:
        return plugins.find_part("medium", self.dataset.medium)

    def load_held_out(self, limit: int) -> Sequence[Any]:
        """Load representative held-out values, of a length of up to about `limit`; a larger limit extends them."""
        values, remaining_length = [], limit
        for item in self.dataset.iter_passages("val", limit):
            if remaining_length <= 0:
                break
            values.append(get_ability(self.medium, "cut")(item.value, remaining_length))
            remaining_length -= len(item.value)
        return values

    def compute_ngram_baseline(self, design: Design) -> float:
        """Return the bits per unit of an n-gram model on the final evaluation; 0 if nothing is held out."""
        encoded_values = [self.codec.encode(value) for value in self.load_held_out(self.final_eval_size)]
        count_units = get_ability(self.medium, "count_units")
        num_units = sum(count_units(self.codec.decode(ids)) for ids in encoded_values)
        if not num_units:
            return 0.0
        space = self.codec.space
        assert isinstance(space, TokenSpace)
        count_model = build_count_model(design, self.token_ids, space.vocab_size)
        nats = sum(-count_model.log_prob(np.append(space.eos, ids))[1:].sum() for ids in encoded_values)
        return float(nats / num_units / log(2))


@dataclass(frozen=True)
class SampleSet:
    """Samples of one size, with their conditions."""

    codec: Codec
    samples: EncodedSamples
    conditioners: Conditioners
    dataset: Dataset
    unit: Unit

    metric = HELD_OUT_LOSS
    epochs_before_dropout = float("inf")  # noise and codecs augment samples
    epochs_before_warning = 400
    min_epochs, max_epochs = 1, 200  # at most, for a fine-tuning run that is limited by time
    eval_size, final_eval_size = 256, 1024  # held-out samples: during a run; at its end

    def __len__(self) -> int:
        return len(self.samples)

    def build_batches(self, job: Job, model: Model) -> BatchFn:
        turner = find_turner(self.codec, self.conditioners, job.plan.seed)
        return SampleBatches(self.samples, job.batch_size, job.plan.seed, job.cond_dropout, turner)

    def build_private_rows(self, job: Job) -> tuple[BuildRows, int]:
        def build_rows(numbers_B: np.ndarray, step: int) -> Batch:
            encoded = self.samples.conditions
            keep = draw_kept(encoded, job.cond_dropout, len(numbers_B), job.plan.seed, step)
            return self.samples.build_batch_with(numbers_B, conditions.build_condition(encoded, numbers_B, keep))

        return build_rows, len(self.samples)

    @cached_property
    def tokens_per_sample(self) -> int:
        """The number of tokens worth as much as a sample (docs/scaling.md), as the medium says or by its bytes."""
        declared = get_ability(plugins.find_part("medium", self.dataset.medium), "tokens_per_sample")
        return declared or max(self.dataset.count_bytes("train") // (BYTES_PER_TOKEN * max(len(self), 1)), 1)

    def limit_context_length(self, context_length: int, num_folds: int) -> int:
        return context_length

    def fit_counts(self, network: nn.Module) -> None:
        pass

    def with_batch_shape(self, job: Job) -> Job:
        """Return the fine-tuning job with a batch size."""
        return replace(job, batch_size=job.batch_size or FINETUNE_BATCH_SIZE)

    def count_epoch_rows(self, job: Job, model: Model) -> int:
        """Return the number of rows in an epoch."""
        return len(self)

    def find_warnings(self, job: Job, model: Model) -> list[str]:
        return []

    def activation_bytes(self, job: Job, model: Model) -> int:
        """Return the activation bytes per row."""
        batch = self.samples.build_batch(np.arange(min(2, len(self))))
        return forecast.count_activation_bytes_per_sample(model.objective, dict(model.parts.items()), batch, job.plan)

    @property
    def eval_reads(self) -> int:
        """Samples read by all evaluations of a run."""
        num_held_out = self.dataset.count_documents("val")
        return NUM_EVALS * min(self.eval_size, num_held_out) + min(self.final_eval_size, num_held_out)

    def load_held_out(self, limit: int) -> Batch | tuple[()]:
        """Load up to `limit` held-out samples."""
        return samples.load_held_out_samples(self.dataset, self.codec, self.conditioners, limit)

    def compute_ngram_baseline(self, design: Design) -> float:
        return 0.0


def prepare_source(
    folder: Path,
    workspace: Workspace,
    dataset: Dataset,
    design: Design,
    codec: Codec | None = None,
    fill: FillConfig = NO_FILL,
    mixture: MixtureWeights | None = None,
) -> Generator[Event, None, PretrainingSource]:
    """Return the data source of a new model of this design, encoding it if necessary; yield the progress.

    Without a codec, load or fit that of the run. Raise GenloomError (train.no_fill_tokens) if documents are to be
    rearranged for filling in the middle, and cannot be; and for a mixture that names a source without documents.
    """
    codec = load_or_fit_codec(folder, workspace, dataset, design) if codec is None else codec
    check_fill(design, codec, fill)
    if mixture and not is_open_sequence(codec.space):
        raise GenloomError("train.mixture_without_stream", medium=design.medium)
    if not is_open_sequence(codec.space):
        return (yield from prepare_samples(folder, dataset, codec, design))
    conditioners = build_conditioners(design)
    if mixture and (conditioners or not is_stream(design.medium)):
        raise GenloomError("train.mixture_without_stream", medium=design.medium)
    if conditioners or not is_stream(design.medium):
        return prepare_sequences(folder, dataset, codec, conditioners, design.context_length)
    assert isinstance(codec.space, TokenSpace)
    encode = build_fill_encoder(codec, fill, design.context_length) if fill else None
    token_ids, groups = encode_stream(folder, dataset, codec, encode, mixture)
    return TokenStream(codec, token_ids, dataset, groups)


def check_fill(design: Design, codec: Codec, fill: FillConfig) -> None:
    """Raise GenloomError (train.no_fill_tokens) if documents cannot be rearranged for filling in the middle."""
    if fill and (build_conditioners(design) or not is_stream(design.medium)):
        raise GenloomError("train.no_fill_tokens", rate=fill.rate, codec=design.codec)
    if fill:
        build_fill_encoder(codec, fill, design.context_length)


def is_stream(medium: str) -> bool:
    """Return whether values of the medium, one after the other, read as one stream of tokens; text does."""
    return get_ability(plugins.find_part("medium", medium), "sequence") == "stream"


def prepare_samples(folder: Path, dataset: Dataset, codec: Codec, design: Design) -> Generator[Event, None, SampleSet]:
    """Return the samples of a data set, encoding them if necessary; yield the progress."""
    conditioners = build_conditioners(design)
    if not cache.is_complete(folder):
        key = cache.compute_cache_key(dataset, codec, design)
        if not cache.restore_samples(folder, key):
            num_samples, last_report = dataset.count_documents("train"), time.perf_counter()
            encoded_samples = samples.encode_samples(dataset.iter_documents("train"), codec, conditioners)
            for num_done in samples.write_samples(encoded_samples, folder, conditioners):
                if time.perf_counter() - last_report > PROGRESS_SECONDS:
                    last_report = time.perf_counter()
                    yield Status(f"Encoded {num_done:,} of {num_samples:,}")
        cache.publish_samples(folder, key, samples.list_sample_files(codec.space, conditioners))
    unit = Unit("samples", get_plural_name(design.medium))
    return SampleSet(codec, samples.read_samples(folder, codec, conditioners), conditioners, dataset, unit)


def get_plural_name(medium: str) -> str:
    """Return the plural noun for values of a medium, e.g. "pictures"."""
    return str(get_ability(plugins.find_part("medium", medium), "plural"))


def load_autoencoder(workspace: Workspace, name: str, dataset: Dataset, design: Design) -> Model:
    """Return the model that a codec is made of; GenloomError, with the command that trains one, if it is not here."""
    known_names = {model.name for model in (*workspace.list_models(), *workspace.list_built_in_models())}
    if name.partition("/")[0] not in known_names:
        raise GenloomError("codecs.autoencoder_missing", codec=design.codec, model=name, data=dataset.name)
    return load_model(workspace, name)


def load_or_fit_codec(folder: Path, workspace: Workspace, dataset: Dataset, design: Design) -> Codec:
    """Return the codec in the run's folder; if necessary, fit it to the data or build it from a trained model."""
    module = plugins.find_part("codec", design.codec)
    # Written after the codec: the digests of all, and the record of a stream that was interrupted.
    if cache.read_digests(folder) or any(folder.glob(f"*{RECORD_SUFFIX}")):
        return module.Codec.load(folder / "codec")
    config = parse_settings(module.Config, design.codec_settings, "codec")
    if from_model := plugins.get_hook("codec", design.codec, "from_model"):
        codec = from_model(load_autoencoder(workspace, config.model, dataset, design), iter_values(dataset), config)
    else:
        codec = module.Codec.fit(iter_values(dataset), config)
    codec.save(folder / "codec")
    return codec


def iter_values(dataset: Dataset) -> Generator[Any]:
    return (item.value for item in dataset.iter_documents("train"))
