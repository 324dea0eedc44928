"""Documents and conversations for fine-tuning: encoded, packed into rows, and held out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, log2
from pathlib import Path
from typing import cast

import numpy as np

from genloom import plugins
from genloom.codecs.chat_template import ChatCodec, require_chat_template
from genloom.media.abilities import get_ability
from genloom.model import Model
from genloom.model.likelihood import Scored, build_unit_counter, get_bits_metric
from genloom.option_names import name_options
from genloom.store.dataset import Dataset
from genloom.train.data.fill import NO_FILL, FillConfig, build_fill_encoder
from genloom.train.data.packing import (
    EncodedDocuments,
    PackedBatches,
    add_boundaries,
    can_pack,
    tokenize_document,
    write_documents,
)
from genloom.train.data.private_batches import BuildRows, build_packed_rows
from genloom.train.data.rehearsal import RehearsedBatches, count_rows
from genloom.train.events import TOKENS
from genloom.train.job import Job
from genloom.train.planning import forecast
from genloom.types import Codec, TokenSpace

TOKENS_PER_STEP, TOKENS_PER_CHAT_STEP = 1024, 512  # about, by default: of few conversations, more steps learn more
MIN_PACK_LENGTH, MAX_PACK_LENGTH = 64, 1024  # by default
# Epochs at most, of a run that is limited by time: of plain text (Muennighoff et al. 2023), and of few conversations,
# whose facts are learned word for word only then (docs/log.md).
MAX_EPOCHS, MAX_CHAT_EPOCHS, MAX_CHAT_BYTES = 4, 16, 1_600_000


@dataclass(frozen=True)
class PackedDocuments:
    """Packed documents as the data source of a fine-tuning run."""

    codec: Codec
    documents: EncodedDocuments
    dataset: Dataset
    passages: EncodedDocuments | None = None  # to rehearse beside the documents

    unit = TOKENS
    eval_size, final_eval_size = 4_000, 24_000  # bytes of held-out text: during a run; before and after it

    @property
    def max_epochs(self) -> int:
        if not has_conversations(self.dataset):
            return MAX_EPOCHS
        return min(max(MAX_CHAT_BYTES // max(self.dataset.count_bytes("train"), 1), MAX_EPOCHS), MAX_CHAT_EPOCHS)

    @property
    def min_epochs(self) -> float:
        return self.max_epochs / 2 if has_conversations(self.dataset) else 1

    def build_batches(self, job: Job, model: Model) -> PackedBatches | RehearsedBatches:
        batches = build_packed_batches(self.documents, model, job)
        if self.passages is None:
            return batches
        num_rows = count_rows(job.batch_size, job.rehearsal)
        return RehearsedBatches(batches, build_packed_batches(self.passages, model, replace(job, batch_size=num_rows)))

    def build_private_rows(self, job: Job) -> tuple[BuildRows, int]:
        assert isinstance(self.codec.space, TokenSpace), "documents consist of tokens"
        return build_packed_rows(self.documents, self.codec.space, job)

    def with_batch_shape(self, job: Job) -> Job:
        tokens_per_step = TOKENS_PER_STEP if self.max_epochs == MAX_EPOCHS else TOKENS_PER_CHAT_STEP
        return set_batch_shape(job, self.documents, tokens_per_step)

    def count_epoch_rows(self, job: Job, model: Model) -> int:
        """Return the number of rows in an epoch."""
        return len(build_packed_batches(self.documents, model, job).packs)

    def find_warnings(self, job: Job, model: Model) -> list[str]:
        if not (num_cut := build_packed_batches(self.documents, model, job).num_cut):
            return []
        longest = int(np.diff(self.documents.ends, prepend=0).max())
        how = "They are read whole, in several rows that do not see each other."
        if job.plan.private.is_on:
            how = "Private tuning reads their first row only."
        message = (
            f"{num_cut:,} of {len(self.documents.ends):,} documents are longer than a row of {job.tokens_per_row} "
            f"tokens. {how}"
        )
        if (pack_length := min(longest, job.design.context_length)) > job.tokens_per_row:
            message += f" For longer rows, which need more memory: --set pack_length={pack_length}"
            message = name_options(message)
        return [message]

    def activation_bytes(self, job: Job, model: Model) -> int:
        """Return the activation bytes per row."""
        num_rows = job.batch_size + (count_rows(job.batch_size, job.rehearsal) if self.passages else 0)
        return count_packed_activation_bytes(job) * num_rows // job.batch_size

    @property
    def metric(self) -> str:
        return get_bits_metric(self.dataset.medium)

    def load_held_out(self, limit: int) -> Sequence[Scored]:
        return load_held_out_documents(self.dataset, limit)


def encode_documents(folder: Path, dataset: Dataset, model: Model, fill: FillConfig = NO_FILL) -> EncodedDocuments:
    """Encode the documents into the run's folder, if they are not there yet; conversations are never rearranged.

    Raises ValueError for conversations if the base has no chat template.
    """
    if not (folder / "documents.ends").exists():
        codec = cast(ChatCodec, model.codec)
        if has_conversations(dataset):
            require_chat_template(codec)
        write_documents(iter_tokenized(dataset, model, fill), folder)
    return EncodedDocuments.load(folder)


def iter_tokenized(dataset: Dataset, model: Model, fill: FillConfig) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the token ids and the loss mask of each training document, or of the pieces of those rearranged."""
    codec, rng = model.codec, np.random.default_rng([fill.seed, 0x66696D])
    encoder = build_fill_encoder(codec, fill, model.design.context_length) if fill else None
    for item in dataset.iter_documents("train"):
        if encoder is None or "turns" in item.meta:
            yield tokenize_document(codec, item)
            continue
        for ids in encoder.encode_document(item.value, rng):
            yield add_boundaries(codec, ids)


def has_conversations(dataset: Dataset) -> bool:
    """Return whether any training document is a conversation."""
    return any("turns" in item.meta for item in dataset.iter_documents("train"))


def set_batch_shape(job: Job, documents: EncodedDocuments, tokens_per_step: int = TOKENS_PER_STEP) -> Job:
    """Return the job with a pack length that fits most documents, and a matching batch size."""
    length_p95 = float(np.quantile(np.diff(documents.ends, prepend=0), 0.95)) if len(documents.ends) else 0.0
    power_of_two = 2 ** ceil(log2(max(length_p95, 2)))
    pack_length = job.pack_length or min(max(power_of_two, MIN_PACK_LENGTH), MAX_PACK_LENGTH, job.design.context_length)
    return replace(job, pack_length=pack_length, batch_size=job.batch_size or max(tokens_per_step // pack_length, 1))


def build_packed_batches(documents: EncodedDocuments, model: Model, job: Job) -> PackedBatches:
    """Return the batches of a run; networks without segment masks get one document per row."""
    space = model.codec.space
    assert isinstance(space, TokenSpace), "documents consist of tokens"
    return PackedBatches(
        documents, job.batch_size, job.tokens_per_row, space.eos, job.plan.seed, is_one_per_row=not can_pack(model)
    )


def count_packed_activation_bytes(job: Job) -> int:
    """Return the activation bytes per row."""
    return forecast.count_activation_bytes_per_sequence(
        replace(job.design, context_length=job.tokens_per_row), job.plan
    )


def load_held_out_documents(dataset: Dataset, limit: int) -> list[Scored]:
    """Load a representative part of the held-out documents, up to about `limit` evaluated units of the medium.

    The last value is cut; conversations are not.
    """
    documents: list[Scored] = []
    cut = get_ability(plugins.find_part("medium", dataset.medium), "cut")
    units_left, count_units = limit, build_unit_counter(dataset.medium)
    for item in dataset.iter_passages("val", limit):
        if units_left <= 0:
            break
        document: Scored = item.meta.get("turns") or cut(item.value, units_left)
        documents.append(document)
        units_left -= count_units(document)
    return documents
