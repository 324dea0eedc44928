"""Bounded token sequences with their conditions: songs, molecules, captioned texts; a sequence never crosses its ends.

Shape letters: B rows, L length, N tokens of all sequences.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from math import log
from pathlib import Path

import numpy as np
from torch import nn

from genloom.capabilities import AugmentingCodec, CountingNetwork
from genloom.conditioners import Conditioners, shift_field
from genloom.errors import GenloomError
from genloom.memory import split_items
from genloom.model import Design, Model
from genloom.model.likelihood import HeldOutSequences, build_unit_counter, get_bits_metric
from genloom.store.dataset import Dataset
from genloom.train.data import cache, conditions
from genloom.train.data.conditions import CondDropout, EncodedConditions
from genloom.train.data.documents import count_packed_activation_bytes, set_batch_shape
from genloom.train.data.packing import (
    DOCUMENT_FILES,
    EncodedDocuments,
    PackedBatches,
    can_pack,
    tokenize_document,
    tokenize_variants,
    write_documents,
)
from genloom.train.data.private_batches import BuildRows, draw_kept, list_first_packs
from genloom.train.data.token_stream import build_count_model, get_count_split, get_num_folds
from genloom.train.events import TOKENS
from genloom.train.job import Job
from genloom.train.planning.forecast import NUM_EVALS
from genloom.types import Batch, Codec, Item, TokenSpace

ENCODE_BATCH_SIZE, ENCODE_BYTES = 512, 1 << 27  # sequences whose conditions are encoded together
NUM_LENGTHS = 8  # of batches, so that a compiled network sees few shapes


@dataclass(frozen=True)
class SequenceSet:
    """Sequences, one a row, each with its conditions; packed if they have none and the network can tell them apart."""

    codec: Codec
    documents: EncodedDocuments
    conditions: EncodedConditions
    conditioners: Conditioners
    dataset: Dataset
    context_length: int  # longer sequences are split

    unit = TOKENS
    epochs_before_dropout = 4
    epochs_before_warning = 40
    tokens_per_sample = 1  # for scaling rules, which count tokens
    min_epochs, max_epochs = 1, 20  # at most, for a fine-tuning run that is limited by time
    eval_size, final_eval_size = 256, 1024  # held-out sequences: during a run; at its end

    def __len__(self) -> int:
        return len(self.documents.ids)

    def build_batches(self, job: Job, model: Model) -> "SequenceBatches":
        is_one_per_row = bool(self.conditions) or not can_pack(model)
        shape = job.batch_size, job.tokens_per_row, self.space.eos, job.plan.seed
        packed_batches = PackedBatches(self.documents, *shape, is_one_per_row, self.list_folds(model.parts))
        return SequenceBatches(packed_batches, self.conditions, job.cond_dropout)

    def build_private_rows(self, job: Job) -> tuple[BuildRows, int]:
        """See FinetuningSource; raise GenloomError (train.private_variants) for a codec that augments documents."""
        if isinstance(self.codec, AugmentingCodec):
            raise GenloomError("train.private_variants", medium=self.dataset.medium)
        batches, first_packs_N = list_first_packs(self.documents, self.space, job)

        def build_rows(numbers_B: np.ndarray, step: int) -> Batch:
            keep = draw_kept(self.conditions, job.cond_dropout, len(numbers_B), job.plan.seed, step)
            return build_sequence_batch(batches, first_packs_N[numbers_B], self.conditions, keep)

        return build_rows, len(first_packs_N)

    @property
    def space(self) -> TokenSpace:
        space = self.codec.space
        assert isinstance(space, TokenSpace), "sequences consist of tokens"
        return space

    def limit_context_length(self, context_length: int, num_folds: int) -> int:
        """Return the context length, at most that of the longest sequence."""
        return max(min(context_length, int(np.diff(self.documents.ends, prepend=0).max(initial=0))), 2)

    def fit_counts(self, network: nn.Module) -> None:
        """Count the n-grams for a counting network; a sequence is counted as the continuation of the one before."""
        if isinstance(network, CountingNetwork):
            network.fit(self.build_count_stream())

    def build_count_stream(self) -> np.ndarray:
        """Return the sequences as one stream, without a BOS that the EOS before it stands for."""
        ids = np.asarray(self.documents.ids)
        return np.delete(ids, self.documents.ends[:-1]) if self.space.bos == self.space.eos else ids

    def list_folds(self, parts: nn.ModuleDict) -> list[tuple[int, int]]:
        """Return the begin and end of the folds that networks count apart; none if no network counts n-grams."""
        num_folds, count_split = get_num_folds(parts), get_count_split(parts)
        if num_folds == 1 and not count_split:
            return []
        is_merged = self.space.bos == self.space.eos
        ends = self.documents.ends - np.arange(len(self.documents.ends)) * is_merged
        bounds = np.maximum(np.arange(num_folds + 1) * (ends[-1] // num_folds), count_split)
        bounds = bounds + np.searchsorted(ends, bounds, "right") * is_merged  # from the stream to the sequences
        return list(pairwise(bounds.tolist()))

    def with_batch_shape(self, job: Job) -> Job:
        return set_batch_shape(job, self.documents)

    def count_epoch_rows(self, job: Job, model: Model) -> int:
        """Return the number of rows in an epoch."""
        return len(self.build_batches(job, model).packed_batches.packs)

    def find_warnings(self, job: Job, model: Model) -> list[str]:
        return []

    def activation_bytes(self, job: Job, model: Model) -> int:
        """Return the activation bytes per row."""
        return count_packed_activation_bytes(job)

    @property
    def eval_reads(self) -> int:
        """Tokens read by all evaluations of a run."""
        num_held_out = self.dataset.count_documents("val")
        num_sequences = NUM_EVALS * min(self.eval_size, num_held_out) + min(self.final_eval_size, num_held_out)
        return num_sequences * len(self) // max(len(self.documents.ends), 1)

    @property
    def metric(self) -> str:
        return get_bits_metric(self.dataset.medium)

    def load_held_out(self, limit: int) -> HeldOutSequences:
        """Load up to `limit` held-out sequences with their conditions."""
        items = list(self.dataset.sample_documents("val", limit))
        given = [conditions.get_values(self.conditioners, item) for item in items]
        return HeldOutSequences([item.meta.get("turns") or item.value for item in items], given)

    def compute_ngram_baseline(self, design: Design) -> float:
        """Return the bits per unit of an n-gram model on the final evaluation; 0 if nothing is held out."""
        items = list(self.dataset.sample_documents("val", self.final_eval_size))
        count_units = build_unit_counter(self.dataset.medium)
        num_units = sum(count_units(item.meta.get("turns") or item.value) for item in items)
        if not num_units:
            return 0.0
        count_model = build_count_model(design, self.build_count_stream(), self.space.vocab_size)
        pairs = (tokenize_document(self.codec, item) for item in items)
        return float(sum(-count_model.log_prob(ids)[mask].sum() for ids, mask in pairs) / num_units / log(2))


@dataclass(frozen=True)
class SequenceBatches:
    """Batches of sequences; rows of one sequence are padded to about the longest of the batch."""

    packed_batches: PackedBatches
    conditions: EncodedConditions
    cond_dropout: CondDropout = 0.0

    def __call__(self, step: int) -> Batch:
        return self.read_rows(step, slice(0, self.batch_size))

    @property
    def batch_size(self) -> int:
        return self.packed_batches.batch_size

    def read_rows(self, step: int, rows: slice) -> Batch:
        """Return some rows of a step, of which those of about one length are neighbours."""
        packed_batches = self.packed_batches
        if not packed_batches.is_one_per_row:
            return packed_batches.read_rows(step, rows)
        packs_B = packed_batches.draw_packs(step)
        sizes_B = packed_batches.measure_sizes(packs_B)  # rows of about one length share a micro-batch
        packs_B = packs_B[np.argsort(-sizes_B, kind="stable")]
        keep = conditions.draw_kept(list(self.conditions), self.cond_dropout, len(packs_B), packed_batches.seed, step)
        keep = {name: kept_B[rows] for name, kept_B in keep.items()}
        return build_sequence_batch(packed_batches, packs_B[rows], self.conditions, keep)


def build_sequence_batch(
    packed_batches: PackedBatches,
    packs_B: np.ndarray,
    encoded: EncodedConditions,
    keep: dict[str, np.ndarray] | None = None,
) -> Batch:
    """Build the rows of these packs of one sequence each, trimmed to about the longest, with their conditions."""
    batch = packed_batches.build_batch(packs_B)
    assert batch.lengths is not None
    assert batch.mask is not None
    unit = -(-packed_batches.pack_length // NUM_LENGTHS)
    length = min(-(-int(batch.lengths.max()) // unit) * unit, packed_batches.pack_length)
    documents_B, starts_B = packed_batches.find_documents(packs_B)
    cond = conditions.build_condition(encoded, documents_B, keep)
    cond = None if cond is None else shift_field(cond, starts_B.tolist())
    return Batch(batch.x[:, :length], cond, mask=batch.mask[:, :length], lengths=batch.lengths)


def prepare_sequences(
    folder: Path, dataset: Dataset, codec: Codec, conditioners: Conditioners, context_length: int
) -> SequenceSet:
    """Return the sequences of a data set, encoding them if necessary.

    Raise ValueError for a condition without values.
    """
    if not cache.is_complete(folder):
        files = [
            file for name, conditioner in conditioners.items() for file in conditions.list_files(name, conditioner)
        ]
        with conditions.open_writer(folder, conditioners) as writer:
            write_documents(encode_sequences(dataset.iter_documents("train"), codec, conditioners, writer), folder)
        cache.mark_complete(folder, [*DOCUMENT_FILES, *files])
    encoded = conditions.read_conditions(folder, conditioners)
    for name, condition in encoded.items():
        if not condition.is_given:
            raise GenloomError("train.no_condition_values", condition=name)
    return SequenceSet(codec, EncodedDocuments.load(folder), encoded, conditioners, dataset, context_length)


def encode_sequences(
    items: Iterable[Item], codec: Codec, conditioners: Conditioners, writer: conditions.ConditionWriter
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the token ids and the loss mask of each item, and write its conditions."""
    rng = np.random.default_rng(0)
    for chunk in split_items(items, ENCODE_BYTES, ENCODE_BATCH_SIZE):
        variants = [tokenize_variants(codec, item, rng) for item in chunk]
        repeated = [item for item, documents in zip(chunk, variants, strict=True) for _ in documents]
        writer.write(encode_sequence_conditions(repeated, codec, conditioners))
        yield from chain.from_iterable(variants)


def encode_sequence_conditions(items: list[Item], codec: Codec, conditioners: Conditioners) -> EncodedConditions:
    encoded = conditions.encode_values(conditioners, [conditions.get_values(conditioners, item) for item in items])
    conditions.check_fields(encoded, codec.space)
    return encoded


def load_held_out_sequences(
    dataset: Dataset, codec: Codec, conditioners: Conditioners, context_length: int, limit: int
) -> Batch | tuple[()]:
    """Load up to `limit` representative held-out sequences with their conditions; () if there are none."""
    items = list(dataset.sample_documents("val", limit))
    documents = EncodedDocuments.from_pairs(tokenize_document(codec, item) for item in items)
    space = codec.space
    assert isinstance(space, TokenSpace)
    if not documents.loss_mask.any():
        return ()
    packed_batches = PackedBatches(documents, 1, context_length, space.eos, is_one_per_row=True)
    encoded = encode_sequence_conditions(items, codec, conditioners)
    return build_sequence_batch(packed_batches, np.arange(len(packed_batches.packs)), encoded)
