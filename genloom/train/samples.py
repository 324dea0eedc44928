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
from genloom.store.files import replaced
from genloom.types import Batch, Codec, Condition, Item, Signal, Space, TextEncoder, Tokens

FILES = SAMPLES, STATES, ENDS = "train.samples", "train.states", "train.ends"
AT_ONCE = 512  # samples encoded side by side: prompts are read with others of their length
STATES_BY = 8  # prompts are padded to multiples of it, so that a compiled network sees few shapes
ORDER, DROPPED = 0, 1  # streams of chance


@dataclass(frozen=True)
class Rows:
    """Encoded samples N *shape; those of text states that belong to sample i are states[ends[i - 1] : ends[i]]."""

    x: np.ndarray  # float16 of signals, whole numbers of symbols, the start first
    states: np.ndarray | None = None  # P D float16; None: there are no prompts
    ends: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, chosen: np.ndarray) -> Batch:
        """The samples with these numbers."""
        x = np.asarray(self.x[chosen])
        x = x.astype(np.float32 if x.dtype.kind == "f" else np.int64)
        return Batch(torch.from_numpy(x), None if self.states is None else self.prompts(self.states, chosen))

    def prompts(self, states_PD: np.ndarray, chosen: np.ndarray) -> Condition:
        begins = np.where(chosen > 0, self.ends[chosen - 1], 0)
        sizes = self.ends[chosen] - begins
        longest = -(-max(int(sizes.max(initial=0)), 1) // STATES_BY) * STATES_BY
        tokens_BSD = np.zeros((len(chosen), longest, states_PD.shape[1]), np.float32)
        for row, (begin, size) in enumerate(zip(begins, sizes, strict=True)):
            tokens_BSD[row, :size] = states_PD[begin : begin + size]
        mask_BS = np.arange(longest) < sizes[:, None]
        return Condition(torch.from_numpy(tokens_BSD), torch.from_numpy(mask_BS))


@dataclass(frozen=True)
class Samples:
    """Every epoch reads each sample once, in an order drawn from (seed, epoch).

    Some rows of a step, drawn from (seed, step), go without their prompt: guidance needs to know what that gives (Ho
    and Salimans 2022).
    """

    found: Rows
    rows: int
    seed: int = 0
    unprompted: float = 0.0  # share of rows without their prompt
    orders: dict[int, np.ndarray] = field(default_factory=dict, compare=False)  # of the epochs read last

    def __call__(self, step: int) -> Batch:
        index, count = step * self.rows + np.arange(self.rows), len(self.found)
        chosen = np.empty(self.rows, np.int64)
        for epoch in np.unique(index // count):
            mine = index // count == epoch
            chosen[mine] = self.order(int(epoch))[index[mine] % count]
        batch = self.found.batch(chosen)
        if batch.cond is None:
            return batch
        kept_B = chance(self.seed, step, DROPPED).random(self.rows) >= self.unprompted
        return Batch(batch.x, batch.cond.keep(torch.from_numpy(kept_B)))

    def order(self, epoch: int) -> np.ndarray:
        if epoch not in self.orders:
            for old in list(self.orders)[:-1]:
                del self.orders[old]
            self.orders[epoch] = chance(self.seed, epoch, ORDER).permutation(len(self.found))
        return self.orders[epoch]


def chance(seed: int, number: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, number], counter=[0, 0, 0, stream]))


def fixed(space: Space) -> bool:
    """Whether all that a codec gives has one size, so that it is drawn sample by sample and not cut from a stream."""
    return isinstance(space, Signal) or bool(space.grid)


def layout(space: Space) -> tuple[tuple[int, ...], type]:
    """The shape of a sample on disk and the type of its numbers."""
    if isinstance(space, Signal):
        return (space.channels, *space.size), np.float16
    return (prod(space.grid) + 1,), np.uint16 if space.vocab <= 2**16 else np.uint32


def encoded(items: Iterable[Item], codec: Codec, prompts: TextEncoder | None) -> Iterator[Rows]:
    """Samples, some at a time, with their prompts where the model is given them."""
    shape, kind = layout(codec.space)
    start = [codec.space.start] if isinstance(codec.space, Tokens) else []
    waiting = iter(items)
    while some := list(islice(waiting, AT_ONCE)):
        values = codec.encode_many(item.value for item in some)
        x = np.stack([np.concatenate([start, v]) if start else v for v in values]).astype(kind)
        assert x.shape == (len(some), *shape), f"the codec gave {x.shape[1:]}, and its space is {codec.space}"
        if prompts is None:
            yield Rows(x)
            continue
        states = prompts.states([caption(item) for item in some])
        ends = np.cumsum([len(s) for s in states], dtype=np.int64)
        yield Rows(x, np.concatenate(states).astype(np.float16), ends)


def caption(item: Item) -> str:
    """What a sample shows, in words; "" where nobody said."""
    return str(item.meta.get("caption", ""))


def held_out(dataset: Dataset, codec: Codec, prompts: TextEncoder | None, limit: int) -> Batch | tuple[()]:
    """Up to `limit` samples that stand for all that are not trained on, with their prompts; empty without any."""
    found = list(encoded(dataset.sample("val", limit), codec, prompts))
    if not found:
        return ()
    rows = together(found)
    return rows.batch(np.arange(len(rows)))


def together(parts: Sequence[Rows]) -> Rows:
    """The samples of all parts, one or more, one part after the other."""
    states = [part.states for part in parts if part.states is not None]
    before = np.cumsum([0, *(len(s) for s in states)])
    ends = [part.ends + begin for part, begin in zip(parts, before, strict=False)]
    x = np.concatenate([part.x for part in parts])
    return Rows(x, np.concatenate(states), np.concatenate(ends)) if states else Rows(x)


def write_rows(parts: Iterable[Rows], folder: Path) -> Iterator[int]:
    """Write samples for `read_rows`, a few in memory at a time; yields how many are done."""
    done, last = 0, 0
    with (
        replaced(folder / SAMPLES) as x_draft,
        replaced(folder / STATES) as states_draft,
        replaced(folder / ENDS) as ends_draft,
        open(x_draft, "wb") as x_file,
        open(states_draft, "wb") as states_file,
        open(ends_draft, "wb") as ends_file,
    ):
        for part in parts:
            x_file.write(part.x.tobytes())
            if part.states is not None:
                states_file.write(part.states.tobytes())
                ends_file.write((part.ends + last).tobytes())
                last += len(part.states)
            done += len(part)
            yield done


def read_rows(folder: Path, space: Space, prompts: TextEncoder | None) -> Rows:
    """The samples that a run keeps, mapped from disk, not read."""
    shape, kind = layout(space)
    x = mapped(folder / SAMPLES, kind, shape)
    if prompts is None:
        return Rows(x)
    return Rows(x, mapped(folder / STATES, np.float16, (prompts.width,)), np.fromfile(folder / ENDS, np.int64))


def mapped(path: Path, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    if path.stat().st_size == 0:
        return np.zeros((0, *shape), kind)
    return np.memmap(path, kind, mode="r").reshape(-1, *shape)
