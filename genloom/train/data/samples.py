"""Samples of one size, encoded once and kept on disk with the states of their prompts, and the batches drawn from them.

A step's batch is a function of the step alone: nothing about the order of the data needs saving.

Shape letters: N samples, B rows, P states of all prompts, S states of one, D width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np
import torch

from genloom.store.dataset import Dataset
from genloom.store.files import open_replacement
from genloom.types import Batch, Codec, Condition, Item, SignalSpace, Space, TextEncoder, TokenSpace

SAMPLE_FILES = SAMPLES_FILE, STATES_FILE, ENDS_FILE = "train.samples", "train.states", "train.ends"
ENCODE_BATCH_SIZE = 512  # samples encoded side by side: prompts are read with others of their length
PAD_TO_MULTIPLE_OF = 8  # prompts are padded to multiples of it, so that a compiled network sees few shapes
ORDER_STREAM, DROPOUT_STREAM = 0, 1  # streams of chance


@dataclass(frozen=True)
class EncodedSamples:
    """Encoded samples N *shape; those of text states that belong to sample i are states[ends[i - 1] : ends[i]]."""

    x: np.ndarray  # float16 of signals, whole numbers of symbols, the start first
    states: np.ndarray | None = None  # P D float16; None: there are no prompts
    ends: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.x)

    def build_batch(self, indices: np.ndarray) -> Batch:
        """The samples with these numbers."""
        x = np.asarray(self.x[indices])
        x = x.astype(np.float32 if x.dtype.kind == "f" else np.int64)
        return Batch(torch.from_numpy(x), None if self.states is None else self.build_condition(self.states, indices))

    def build_condition(self, states_PD: np.ndarray, indices: np.ndarray) -> Condition:
        starts = np.where(indices > 0, self.ends[indices - 1], 0)
        sizes = self.ends[indices] - starts
        padded_length = -(-max(int(sizes.max(initial=0)), 1) // PAD_TO_MULTIPLE_OF) * PAD_TO_MULTIPLE_OF
        tokens_BSD = np.zeros((len(indices), padded_length, states_PD.shape[1]), np.float32)
        for row, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            tokens_BSD[row, :size] = states_PD[start : start + size]
        mask_BS = np.arange(padded_length) < sizes[:, None]
        return Condition(torch.from_numpy(tokens_BSD), torch.from_numpy(mask_BS))


@dataclass(frozen=True)
class SampleBatches:
    """Every epoch reads each sample once, in an order drawn from (seed, epoch).

    Some rows of a step, drawn from (seed, step), go without their prompt: guidance needs to know what that gives (Ho
    and Salimans 2022).
    """

    samples: EncodedSamples
    batch_size: int
    seed: int = 0
    cond_dropout: float = 0.0  # share of rows without their prompt
    epoch_orders: dict[int, np.ndarray] = field(default_factory=dict, compare=False)  # of the epochs read last

    def __call__(self, step: int) -> Batch:
        index, count = step * self.batch_size + np.arange(self.batch_size), len(self.samples)
        indices = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(index // count):
            is_in_epoch = index // count == epoch
            indices[is_in_epoch] = self.draw_epoch_order(int(epoch))[index[is_in_epoch] % count]
        batch = self.samples.build_batch(indices)
        if batch.cond is None:
            return batch
        has_prompt_B = build_rng(self.seed, step, DROPOUT_STREAM).random(self.batch_size) >= self.cond_dropout
        return Batch(batch.x, batch.cond.mask_rows(torch.from_numpy(has_prompt_B)))

    def draw_epoch_order(self, epoch: int) -> np.ndarray:
        if epoch not in self.epoch_orders:
            for old_epoch in list(self.epoch_orders)[:-1]:
                del self.epoch_orders[old_epoch]
            self.epoch_orders[epoch] = build_rng(self.seed, epoch, ORDER_STREAM).permutation(len(self.samples))
        return self.epoch_orders[epoch]


def build_rng(seed: int, number: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, number], counter=[0, 0, 0, stream]))


def has_fixed_size(space: Space) -> bool:
    """Whether all that a codec gives has one size, so that it is drawn sample by sample and not cut from a stream."""
    return isinstance(space, SignalSpace) or bool(space.grid)


def get_sample_layout(space: Space) -> tuple[tuple[int, ...], type]:
    """The shape of a sample on disk and the type of its numbers."""
    if isinstance(space, SignalSpace):
        return (space.channels, *space.size), np.float16
    return (prod(space.grid) + 1,), np.uint16 if space.vocab_size <= 2**16 else np.uint32


def encode_samples(items: Iterable[Item], codec: Codec, text_encoder: TextEncoder | None) -> Iterator[EncodedSamples]:
    """Samples, some at a time, with their prompts where the model is given them."""
    shape, dtype = get_sample_layout(codec.space)
    bos = [codec.space.bos] if isinstance(codec.space, TokenSpace) else []
    remaining_items = iter(items)
    while chunk := list(islice(remaining_items, ENCODE_BATCH_SIZE)):
        values = codec.encode_many(item.value for item in chunk)
        x = np.stack([np.concatenate([bos, v]) if bos else v for v in values]).astype(dtype)
        assert x.shape == (len(chunk), *shape), f"the codec gave {x.shape[1:]}, and its space is {codec.space}"
        if text_encoder is None:
            yield EncodedSamples(x)
            continue
        states = text_encoder.encode([get_caption(item) for item in chunk])
        ends = np.cumsum([len(s) for s in states], dtype=np.int64)
        yield EncodedSamples(x, np.concatenate(states).astype(np.float16), ends)


def get_caption(item: Item) -> str:
    """What a sample shows, in words; "" where nobody said."""
    return str(item.meta.get("caption", ""))


def load_held_out_samples(
    dataset: Dataset, codec: Codec, text_encoder: TextEncoder | None, limit: int
) -> Batch | tuple[()]:
    """Up to `limit` samples that stand for all that are not trained on, with their prompts; empty without any."""
    parts = list(encode_samples(dataset.sample_documents("val", limit), codec, text_encoder))
    if not parts:
        return ()
    samples = concat_samples(parts)
    return samples.build_batch(np.arange(len(samples)))


def concat_samples(parts: Sequence[EncodedSamples]) -> EncodedSamples:
    """The samples of all parts, one or more, one part after the other."""
    states = [part.states for part in parts if part.states is not None]
    offsets = np.cumsum([0, *(len(s) for s in states)])
    ends = [part.ends + offset for part, offset in zip(parts, offsets, strict=False)]
    x = np.concatenate([part.x for part in parts])
    return EncodedSamples(x, np.concatenate(states), np.concatenate(ends)) if states else EncodedSamples(x)


def write_samples(parts: Iterable[EncodedSamples], folder: Path) -> Iterator[int]:
    """Write samples for `read_rows`, a few in memory at a time; yields how many are done."""
    num_done, num_states = 0, 0
    with (
        open_replacement(folder / SAMPLES_FILE) as x_temp,
        open_replacement(folder / STATES_FILE) as states_temp,
        open_replacement(folder / ENDS_FILE) as ends_temp,
        open(x_temp, "wb") as x_file,
        open(states_temp, "wb") as states_file,
        open(ends_temp, "wb") as ends_file,
    ):
        for part in parts:
            x_file.write(part.x.tobytes())
            if part.states is not None:
                states_file.write(part.states.tobytes())
                ends_file.write((part.ends + num_states).tobytes())
                num_states += len(part.states)
            num_done += len(part)
            yield num_done


def read_samples(folder: Path, space: Space, text_encoder: TextEncoder | None) -> EncodedSamples:
    """The samples that a run keeps, mapped from disk, not read."""
    shape, dtype = get_sample_layout(space)
    x = open_memmap(folder / SAMPLES_FILE, dtype, shape)
    if text_encoder is None:
        return EncodedSamples(x)
    return EncodedSamples(
        x,
        open_memmap(folder / STATES_FILE, np.float16, (text_encoder.width,)),
        np.fromfile(folder / ENDS_FILE, np.int64),
    )


def open_memmap(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    if path.stat().st_size == 0:
        return np.zeros((0, *shape), dtype)
    return np.memmap(path, dtype, mode="r").reshape(-1, *shape)
