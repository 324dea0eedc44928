"""What a run learns from, encoded and kept in its folder: a stream of symbols, or samples of one size.

This is the one place where the two part: the codec's space decides.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from genloom import plugins
from genloom.model import Design, Model, build_text_encoder, load_model
from genloom.model.likelihood import BITS_PER_BYTE, HELD_OUT_LOSS
from genloom.networks.kneser_ney import KneserNey
from genloom.settings import parse
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.data import cache, samples, shared_cache
from genloom.train.data.samples import EncodedSamples, SampleBatches
from genloom.train.data.token_stream import (
    TOKENS_FILE,
    TokenBlocks,
    get_count_split,
    get_num_folds,
    read_token_stream,
    shuffle_documents,
    write_token_stream,
)
from genloom.train.events import TOKENS, Event, Status, Unit
from genloom.train.job import Job
from genloom.train.planning import forecast
from genloom.train.planning.forecast import NUM_EVALS
from genloom.types import Batch, Codec, TextEncoder, TokenSpace

MAX_BASELINE_TOKENS = 8_000_000  # symbols that the floor is counted from
PROGRESS_SECONDS = 30.0  # seconds of encoding
FINETUNE_BATCH_SIZE = 16  # samples a step where a model is tuned on a few

BatchFn = Callable[[int], Batch]  # the batch of a step


@dataclass(frozen=True)
class TokenStream:
    """Documents one after the other, read in blocks."""

    codec: Codec
    token_ids: np.ndarray
    dataset: Dataset

    unit = TOKENS
    metric = BITS_PER_BYTE
    epochs_before_dropout, epochs_before_warning = (
        4,
        40,
    )  # readings from which dropout pays (docs/log.md), and from which there is too little text
    tokens_per_sample = 1  # tokens that each counts as, where sizes are chosen by what is read
    eval_size, final_eval_size = 24_000, 200_000  # bytes of held-out text during a run, and at its end

    def __len__(self) -> int:
        return len(self.token_ids)

    def build_batches(self, job: Job, model: Model) -> BatchFn:
        trained_ids = self.token_ids[get_count_split(model.parts) :]
        return TokenBlocks(
            trained_ids, job.batch_size, job.design.context_length, job.plan.seed, get_num_folds(model.parts)
        )

    def fit_counts(self, network: nn.Module) -> None:
        """Let a network that counts symbols do so."""
        if (fit := getattr(network, "fit", None)) is not None:
            fit(np.asarray(self.token_ids))

    def activation_bytes(self, job: Job, model: Model) -> int:
        """Bytes that a step keeps of each row for its backward pass."""
        return forecast.activation_bytes_per_sequence(job.design, job.plan)

    @property
    def eval_reads(self) -> int:
        """Tokens that all looks at held-out text read; windows overlap by half."""
        held_out_bytes = self.dataset.count_bytes("val")
        return 2 * (NUM_EVALS * min(self.eval_size, held_out_bytes) + min(self.final_eval_size, held_out_bytes))

    def load_held_out(self, limit: int) -> Sequence[str]:
        """Text that stands for all that is held out, up to about `limit` characters; a greater limit adds to it."""
        texts, chars_left = [], limit
        for item in self.dataset.iter_passages("val", limit):
            if chars_left <= 0:
                break
            texts.append(item.value[:chars_left])
            chars_left -= len(item.value)
        return texts

    def compute_ngram_baseline(self, design: Design, order: int = 5) -> float:
        """Bits per byte that counting the codec's symbols alone reaches on what the run ends with.

        By the counts under the network, or else by n-grams of this order. 0 where nothing is held out.
        """
        encoded_texts = [self.codec.encode(text) for text in self.load_held_out(self.final_eval_size)]
        num_bytes = sum(len(self.codec.decode(ids).encode()) for ids in encoded_texts)
        if not num_bytes:
            return 0.0
        space = self.codec.space
        assert isinstance(space, TokenSpace)
        module = plugins.find_part("network", design.network)
        if build_count_model := getattr(module, "build_count_model", None):
            config = parse(module.Config, design.network_settings, "network")
            count_model = build_count_model(config, space.vocab_size, np.asarray(self.token_ids))
        else:
            count_model = KneserNey.fit(np.asarray(self.token_ids[:MAX_BASELINE_TOKENS]), space.vocab_size, order)
        nats = sum(-count_model.log_prob(np.append(space.eos, ids))[1:].sum() for ids in encoded_texts)
        return float(nats / num_bytes / log(2))


@dataclass(frozen=True)
class SampleSet:
    """Samples of one size, drawn one by one, with the states of their prompts where the model is given them."""

    codec: Codec
    samples: EncodedSamples
    text_encoder: TextEncoder | None
    dataset: Dataset
    unit: Unit

    metric = HELD_OUT_LOSS
    epochs_before_dropout, epochs_before_warning = (
        float("inf"),
        400,
    )  # readings; noise and codecs make samples new each time
    tokens_per_sample = 256  # as many parameters a sample do well as for so many tokens (docs/scaling.md)
    max_epochs = 200  # readings at most where a model is tuned and only the time was given
    eval_size, final_eval_size = 256, 1024  # held-out samples during a run, and at its end

    def __len__(self) -> int:
        return len(self.samples)

    def build_batches(self, job: Job, model: Model) -> BatchFn:
        return SampleBatches(self.samples, job.batch_size, job.plan.seed, job.cond_dropout)

    def fit_counts(self, network: nn.Module) -> None:
        pass

    def with_batch_shape(self, job: Job) -> Job:
        """The job of a model that is tuned, with as many samples a step as do."""
        return replace(job, rows=job.batch_size or FINETUNE_BATCH_SIZE)

    def count_epoch_rows(self, job: Job, model: Model) -> int:
        """Rows of an epoch."""
        return len(self)

    def find_warnings(self, job: Job, model: Model) -> list[str]:
        return []

    def activation_bytes(self, job: Job, model: Model) -> int:
        """Bytes that a step keeps of each row for its backward pass."""
        batch = self.samples.build_batch(np.arange(min(2, len(self))))
        return forecast.activation_bytes_per_sample(model.objective, dict(model.parts.items()), batch, job.plan)

    @property
    def eval_reads(self) -> int:
        """Samples that all looks at held-out ones read."""
        num_held_out = self.dataset.count_documents("val")
        return NUM_EVALS * min(self.eval_size, num_held_out) + min(self.final_eval_size, num_held_out)

    def load_held_out(self, limit: int) -> Batch | tuple[()]:
        """Up to `limit` held-out samples."""
        return samples.load_held_out_samples(self.dataset, self.codec, self.text_encoder, limit)

    def compute_ngram_baseline(self, design: Design) -> float:
        return 0.0


DataSource = TokenStream | SampleSet


def prepare_source(
    folder: Path, workspace: Workspace, dataset: Dataset, design: Design
) -> Generator[Event, None, DataSource]:
    """What the data set is for a new model of this design, encoded if it is not yet; yields how far it is.

    Raises ValueError for prompts beside what has none.
    """
    codec = load_or_fit_codec(folder, workspace, dataset, design)
    if samples.has_fixed_size(codec.space):
        return (yield from prepare_samples(folder, dataset, codec, design))
    if design.text_encoder:
        raise ValueError(
            "Text is read as one stream, with no prompts beside it. Leave them away: --set text_encoder.name=''"
        )
    assert isinstance(codec.space, TokenSpace)
    if not cache.is_complete(folder):
        write_token_stream(shuffle_documents(iter_values(dataset), dataset.digest), codec, folder / TOKENS_FILE)
        cache.mark_complete(folder, [TOKENS_FILE])
    return TokenStream(codec, read_token_stream(folder / TOKENS_FILE, codec.space.vocab_size), dataset)


def prepare_samples(folder: Path, dataset: Dataset, codec: Codec, design: Design) -> Generator[Event, None, SampleSet]:
    """The samples of a data set, encoded once; yields now and then how many are done."""
    text_encoder = build_text_encoder(design)
    if not cache.is_complete(folder):
        key = shared_cache.compute_cache_key(dataset, codec, design)
        if not shared_cache.restore(folder, key):
            num_samples, last_report = dataset.count_documents("train"), time.perf_counter()
            for num_done in samples.write_samples(
                samples.encode_samples(dataset.iter_documents("train"), codec, text_encoder), folder
            ):
                if time.perf_counter() - last_report > PROGRESS_SECONDS:
                    last_report = time.perf_counter()
                    yield Status(f"Encoded {num_done:,} of {num_samples:,}")
        shared_cache.publish(folder, key)
        cache.mark_complete(folder, samples.SAMPLE_FILES)
    unit = Unit("samples", get_plural_name(design.medium))
    return SampleSet(codec, samples.read_samples(folder, codec.space, text_encoder), text_encoder, dataset, unit)


def get_plural_name(medium: str) -> str:
    """How people call several things of a medium: pictures; where it does not say, as it is called itself."""
    return str(getattr(plugins.find_part("medium", medium), "plural", medium))


def load_or_fit_codec(folder: Path, workspace: Workspace, dataset: Dataset, design: Design) -> Codec:
    """The codec fitted to the training data, kept in the run's folder; a codec may be made from a trained model."""
    module = plugins.find_part("codec", design.codec)
    if cache.read_digests(folder):  # they are written last
        return module.Codec.load(folder / "codec")
    config = parse(module.Config, design.codec_settings, "codec")
    if from_model := getattr(module, "from_model", None):
        codec = from_model(load_model(workspace, config.model), iter_values(dataset), config)
    else:
        codec = module.Codec.fit(iter_values(dataset), config)
    codec.save(folder / "codec")
    return codec


def iter_values(dataset: Dataset) -> Generator[Any]:
    return (item.value for item in dataset.iter_documents("train"))
