"""Samples of one size, encoded on disk with their conditions, and the batches drawn from them.

Shape letters: N samples, B rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np
import torch

from genloom.capabilities import get_storage_dtype
from genloom.conditioners import Conditioners
from genloom.errors import GenloomError
from genloom.memory import count_rows_within, count_sample_bytes
from genloom.store.dataset import Dataset
from genloom.store.files import open_replacement
from genloom.train.data import conditions
from genloom.train.data.conditions import CondDropout, EncodedConditions, open_memmap
from genloom.train.data.order import EpochOrder
from genloom.train.data.turns import Turner
from genloom.types import Batch, Codec, Condition, Item, SignalSpace, Space, TokenSpace

SAMPLES_FILE, LENGTHS_FILE = "train.samples", "train.lengths"
HELD_OUT_BYTES = 1 << 30  # of the held-out samples in memory
ENCODE_BATCH_SIZE, ENCODE_BYTES = 512, 1 << 29  # samples encoded together; their prompts are batched by length


@dataclass(frozen=True)
class RaggedSignals:
    """Signals of different lengths on the first axis, stored without padding; indices give padded ones."""

    numbers: np.ndarray  # of all signals, one after the other
    lengths: np.ndarray  # N
    shape: tuple[int, ...]  # of a padded signal

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def ends(self) -> np.ndarray:
        """The end of each signal in `numbers`."""
        return np.cumsum(self.lengths) * (prod(self.shape) // self.shape[1])

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        x = np.zeros((len(indices), *self.shape), self.numbers.dtype)
        for row, index in zip(x, indices, strict=True):
            length, start = self.lengths[index], self.ends[index - 1] if index else 0
            row[:, :length] = self.numbers[start : self.ends[index]].reshape(self.shape[0], length, *self.shape[2:])
        return x


@dataclass(frozen=True)
class EncodedSamples:
    """Encoded samples N *shape with their conditions."""

    x: np.ndarray | RaggedSignals  # signals, padded with zeros on the first axis, or tokens beginning with BOS
    conditions: EncodedConditions = field(default_factory=dict)
    lengths: np.ndarray | None = None  # N, of signals on the first axis; None: all have the full size

    def __len__(self) -> int:
        return len(self.x)

    def build_batch(self, indices: np.ndarray) -> Batch:
        """Return the samples with these indices."""
        return self.build_batch_with(indices, conditions.build_condition(self.conditions, indices))

    def build_batch_with(self, indices: np.ndarray, cond: Condition | None) -> Batch:
        """Return the samples with these indices and another condition."""
        x = np.asarray(self.x[indices])
        lengths = None if self.lengths is None else torch.from_numpy(self.lengths[indices])
        return Batch(torch.from_numpy(x.astype(np.float32 if x.dtype.kind == "f" else np.int64)), cond, lengths=lengths)


@dataclass(frozen=True)
class SampleBatches:
    """Batches of samples; every epoch reads each sample once, in an order drawn from (seed, epoch).

    Some rows of a step, drawn from (seed, step), lose their conditions (see `conditions.draw_kept`).
    """

    samples: EncodedSamples
    batch_size: int
    seed: int = 0
    cond_dropout: CondDropout = 0.0
    turner: Turner | None = None  # of the rows, at random

    def __call__(self, step: int) -> Batch:
        return self.read_rows(step, slice(0, self.batch_size))

    def read_rows(self, step: int, rows: slice) -> Batch:
        """Return some rows of a step."""
        indices = self.order(step * self.batch_size + np.arange(self.batch_size)[rows])
        encoded = self.samples.conditions
        keep = conditions.draw_kept(list(encoded), self.cond_dropout, self.batch_size, self.seed, step)
        keep = {name: kept_B[rows] for name, kept_B in keep.items()}
        batch = self.samples.build_batch_with(indices, conditions.build_condition(encoded, indices, keep))
        return batch if self.turner is None else self.turner(batch, step, rows.start)

    @cached_property
    def order(self) -> EpochOrder:
        return EpochOrder.shuffle(len(self.samples), self.seed)


def get_sample_layout(codec: Codec) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and the NumPy type of a sample of a codec on disk."""
    space = codec.space
    if isinstance(space, SignalSpace):
        return (space.channels, *space.size), np.dtype(get_storage_dtype(codec))
    return (prod(space.grid) + 1,), np.dtype(np.uint16 if space.vocab_size <= 2**16 else np.uint32)


def encode_samples(items: Iterable[Item], codec: Codec, conditioners: Conditioners) -> Iterator[EncodedSamples]:
    """Encode items in chunks, with their conditions."""
    space, (shape, dtype) = codec.space, get_sample_layout(codec)
    bos = [space.bos] if isinstance(space, TokenSpace) else []
    has_lengths = isinstance(space, SignalSpace) and space.has_lengths
    remaining_items = iter(items)
    num_rows = count_rows_within(count_sample_bytes(space), ENCODE_BYTES, ENCODE_BATCH_SIZE)
    while chunk := list(islice(remaining_items, num_rows)):
        values = [np.asarray(v) for v in codec.encode_many(item.value for item in chunk)]
        lengths = np.array([v.shape[1] for v in values], np.int64) if has_lengths else None
        if has_lengths:
            values = [pad_first_axis(v, shape[1]) for v in values]
        x = cast_samples(np.stack([np.concatenate([bos, v]) if bos else v for v in values]), dtype)
        assert x.shape == (len(chunk), *shape), f"the codec returned {x.shape[1:]}, but its space is {space}"
        given = [conditions.get_values(conditioners, item) for item in chunk]
        encoded_conditions = conditions.encode_values(conditioners, given)
        conditions.check_fields(encoded_conditions, codec.space)
        yield EncodedSamples(x, encoded_conditions, lengths)


def pad_first_axis(x: np.ndarray, length: int) -> np.ndarray:
    """Return a signal (C, L, ...) with zeros up to this length; raise ValueError if it is longer."""
    if not 1 <= x.shape[1] <= length:
        raise GenloomError("train.bad_sample_length", length=x.shape[1], maximum=length)
    return np.pad(x, [(0, 0), (0, length - x.shape[1]), *[(0, 0)] * (x.ndim - 2)])


def cast_samples(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the samples as this type; raise ValueError for a finite number that is beyond its range."""
    with np.errstate(over="ignore"):
        result = x.astype(dtype)
    if dtype == np.float16 and not np.isfinite(result).all() and np.isfinite(x).all():
        raise GenloomError("train.sample_overflow", value=float(np.abs(x).max()), dtype=dtype.name)
    return result


def load_held_out_samples(dataset: Dataset, codec: Codec, conditioners: Conditioners, limit: int) -> Batch | tuple[()]:
    """Load up to `limit` representative held-out samples with their conditions; () if there are none."""
    limit = count_rows_within(count_sample_bytes(codec.space), HELD_OUT_BYTES, limit)
    parts = list(encode_samples(dataset.sample_documents("val", limit), codec, conditioners))
    if not parts:
        return ()
    samples = concat_samples(parts)
    return samples.build_batch(np.arange(len(samples)))


def concat_samples(parts: Sequence[EncodedSamples]) -> EncodedSamples:
    """Concatenate one or more sets of samples."""
    encoded_conditions = conditions.concat_encoded([part.conditions for part in parts])
    lengths = [part.lengths for part in parts if part.lengths is not None]
    x = np.concatenate([part.x for part in parts])
    return EncodedSamples(x, encoded_conditions, np.concatenate(lengths) if lengths else None)


def list_sample_files(space: Space, conditioners: Conditioners) -> list[str]:
    """Return the names of the files that `write_samples` writes."""
    lengths_file = [LENGTHS_FILE] if isinstance(space, SignalSpace) and space.has_lengths else []
    condition_files = [file for name in conditioners for file in conditions.list_files(name, conditioners[name])]
    return [SAMPLES_FILE, *lengths_file, *condition_files]


def write_samples(parts: Iterable[EncodedSamples], folder: Path, conditioners: Conditioners) -> Iterator[int]:
    """Write samples for `read_samples`, one chunk in memory at a time; yield how many are done."""
    num_done, lengths = 0, []
    with (
        open_replacement(folder / SAMPLES_FILE) as x_temp,
        open(x_temp, "wb") as x_file,
        conditions.open_writer(folder, conditioners) as writer,
    ):
        for part in parts:
            assert isinstance(part.x, np.ndarray), "samples are encoded padded"
            if part.lengths is None:
                x_file.write(part.x.tobytes())
            else:
                x_file.writelines(row[:, :length].tobytes() for row, length in zip(part.x, part.lengths, strict=True))
            writer.write(part.conditions)
            lengths += [] if part.lengths is None else part.lengths.tolist()
            num_done += len(part)
            yield num_done
    if lengths:
        with open_replacement(folder / LENGTHS_FILE) as temp:
            np.array(lengths, np.int64).tofile(temp)


def read_samples(folder: Path, codec: Codec, conditioners: Conditioners) -> EncodedSamples:
    """Memory-map the samples in a run's folder."""
    space, (shape, dtype) = codec.space, get_sample_layout(codec)
    numbers = open_memmap(folder / SAMPLES_FILE, dtype, ())
    encoded_conditions = conditions.read_conditions(folder, conditioners)
    has_lengths = isinstance(space, SignalSpace) and space.has_lengths and len(numbers)
    lengths = np.fromfile(folder / LENGTHS_FILE, np.int64) if has_lengths else None
    is_ragged = lengths is not None and len(numbers) < len(lengths) * prod(shape)
    x = RaggedSignals(numbers, lengths, shape) if is_ragged else numbers.reshape(-1, *shape)
    return EncodedSamples(x, encoded_conditions, lengths)
