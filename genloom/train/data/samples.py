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

from genloom.conditioners import Conditioners
from genloom.store.dataset import Dataset
from genloom.store.files import open_replacement
from genloom.train.data import conditions
from genloom.train.data.conditions import CondDropout, EncodedConditions, open_memmap
from genloom.train.data.order import EpochOrder
from genloom.types import Batch, Codec, Item, SignalSpace, Space, TokenSpace

SAMPLES_FILE = "train.samples"
ENCODE_BATCH_SIZE = 512  # samples encoded together; their prompts are batched by length


@dataclass(frozen=True)
class EncodedSamples:
    """Encoded samples N *shape with their conditions."""

    x: np.ndarray  # float16 signals, or integer tokens beginning with BOS
    conditions: EncodedConditions = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)

    def build_batch(self, indices: np.ndarray) -> Batch:
        """Return the samples with these indices."""
        return Batch(self.build_x(indices), conditions.build_condition(self.conditions, indices))

    def build_x(self, indices: np.ndarray) -> torch.Tensor:
        x = np.asarray(self.x[indices])
        return torch.from_numpy(x.astype(np.float32 if x.dtype.kind == "f" else np.int64))


@dataclass(frozen=True)
class SampleBatches:
    """Batches of samples; every epoch reads each sample once, in an order drawn from (seed, epoch).

    Some rows of a step, drawn from (seed, step), lose their conditions (see `conditions.draw_kept`).
    """

    samples: EncodedSamples
    batch_size: int
    seed: int = 0
    cond_dropout: CondDropout = 0.0

    def __call__(self, step: int) -> Batch:
        indices = self.order(step * self.batch_size + np.arange(self.batch_size))
        encoded = self.samples.conditions
        keep = conditions.draw_kept(list(encoded), self.cond_dropout, self.batch_size, self.seed, step)
        return Batch(self.samples.build_x(indices), conditions.build_condition(encoded, indices, keep))

    @cached_property
    def order(self) -> EpochOrder:
        return EpochOrder.shuffle(len(self.samples), self.seed)


def has_fixed_size(space: Space) -> bool:
    """Return whether every encoded value has one size; data are then samples and not a token stream."""
    return isinstance(space, SignalSpace) or bool(space.grid)


def get_sample_layout(space: Space) -> tuple[tuple[int, ...], type]:
    """Return the shape and the NumPy type of a sample on disk."""
    if isinstance(space, SignalSpace):
        return (space.channels, *space.size), np.float16
    return (prod(space.grid) + 1,), np.uint16 if space.vocab_size <= 2**16 else np.uint32


def encode_samples(items: Iterable[Item], codec: Codec, conditioners: Conditioners) -> Iterator[EncodedSamples]:
    """Encode items in chunks, with their conditions."""
    shape, dtype = get_sample_layout(codec.space)
    bos = [codec.space.bos] if isinstance(codec.space, TokenSpace) else []
    remaining_items = iter(items)
    while chunk := list(islice(remaining_items, ENCODE_BATCH_SIZE)):
        values = codec.encode_many(item.value for item in chunk)
        x = np.stack([np.concatenate([bos, v]) if bos else v for v in values]).astype(dtype)
        assert x.shape == (len(chunk), *shape), f"the codec returned {x.shape[1:]}, but its space is {codec.space}"
        given = [conditions.get_values(conditioners, item) for item in chunk]
        encoded_conditions = conditions.encode_values(conditioners, given)
        conditions.check_fields(encoded_conditions, codec.space)
        yield EncodedSamples(x, encoded_conditions)


def load_held_out_samples(dataset: Dataset, codec: Codec, conditioners: Conditioners, limit: int) -> Batch | tuple[()]:
    """Load up to `limit` representative held-out samples with their conditions; () if there are none."""
    parts = list(encode_samples(dataset.sample_documents("val", limit), codec, conditioners))
    if not parts:
        return ()
    samples = concat_samples(parts)
    return samples.build_batch(np.arange(len(samples)))


def concat_samples(parts: Sequence[EncodedSamples]) -> EncodedSamples:
    """Concatenate one or more sets of samples."""
    encoded_conditions = conditions.concat_encoded([part.conditions for part in parts])
    return EncodedSamples(np.concatenate([part.x for part in parts]), encoded_conditions)


def list_sample_files(conditioners: Conditioners) -> list[str]:
    """Return the names of the files that `write_samples` writes."""
    return [SAMPLES_FILE, *(file for name in conditioners for file in conditions.list_files(name, conditioners[name]))]


def write_samples(parts: Iterable[EncodedSamples], folder: Path, conditioners: Conditioners) -> Iterator[int]:
    """Write samples for `read_samples`, one chunk in memory at a time; yield how many are done."""
    num_done = 0
    with (
        open_replacement(folder / SAMPLES_FILE) as x_temp,
        open(x_temp, "wb") as x_file,
        conditions.open_writer(folder, conditioners) as writer,
    ):
        for part in parts:
            x_file.write(part.x.tobytes())
            writer.write(part.conditions)
            num_done += len(part)
            yield num_done


def read_samples(folder: Path, space: Space, conditioners: Conditioners) -> EncodedSamples:
    """Memory-map the samples in a run's folder."""
    shape, dtype = get_sample_layout(space)
    x = open_memmap(folder / SAMPLES_FILE, dtype, shape)
    return EncodedSamples(x, conditions.read_conditions(folder, conditioners, space))
