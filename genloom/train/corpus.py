"""A data set's text as one long stream of symbols on disk, and the batches cut from it.

A step's batch is a function of the step alone: nothing about the order of the data needs saving.

Shape letters: B rows, L length, N symbols of the stream.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from genloom.store.files import replaced
from genloom.types import Batch, Codec, Tokens

SYMBOLS = "train.symbols"
MIXED_AT_ONCE = 32_000_000  # characters of documents kept in memory to be drawn from


def write_stream(texts: Iterable[str], codec: Codec, path: Path) -> int:
    """Encode documents, each ended by the stop symbol, into a raw file; return the number of symbols."""
    space = codec.space
    assert isinstance(space, Tokens)
    kind = np.uint16 if space.vocab <= 2**16 else np.uint32
    count = 0
    with replaced(path) as draft, open(draft, "wb") as file:
        for ids in codec.encode_many(texts):
            file.write(np.append(ids, space.stop).astype(kind).tobytes())
            count += len(ids) + 1
    return count


def mixed(texts: Iterable[str], key: str) -> Iterator[str]:
    """Documents in an order drawn from `key`, as far as a bounded buffer allows.

    Every stretch of the stream is then like every other, and like held-out text, which was drawn by chance too.
    """
    chance = np.random.default_rng(int(key[:16], 16))
    buffer: list[str] = []
    held = 0
    for text in texts:
        buffer.append(text)
        held += len(text)
        while held > MIXED_AT_ONCE:
            at = int(chance.integers(len(buffer)))
            buffer[at], buffer[-1] = buffer[-1], buffer[at]
            held -= len(buffer[-1])
            yield buffer.pop()
    for at in chance.permutation(len(buffer)):
        yield buffer[at]


def read_stream(path: Path, vocab: int) -> np.ndarray:
    """The symbols N of a stream, mapped from disk, not read."""
    if path.stat().st_size == 0:
        return np.zeros(0, np.uint16)
    return np.memmap(path, np.uint16 if vocab <= 2**16 else np.uint32, mode="r")


@dataclass(frozen=True)
class Blocks:
    """Every epoch cuts the stream at a new offset into blocks of `length` symbols and visits each once, in a new order.

    With several folds the stream is cut into as many equal stretches, and the rows of step s all come from stretch
    s mod folds.
    """

    stream: np.ndarray
    rows: int
    length: int
    seed: int = 0
    folds: int = 1
    orders: dict[int, tuple[int, np.ndarray]] = field(default_factory=dict, compare=False)  # by fold, made when needed

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(
                f"The training text holds {len(self.stream)} symbols and the model reads {self.length} at once. "
                "Collect more text, or choose a shorter length (--set length=…)."
            )

    @property
    def count(self) -> int:
        """Blocks an epoch and fold. Neighbours share a symbol: the last to be predicted here is given there."""
        return (len(self.stream) // self.folds - 1) // (self.length - 1) - 1

    def __call__(self, step: int) -> Batch:
        fold, index = step % self.folds, step // self.folds * self.rows + np.arange(self.rows)
        starts = np.empty(self.rows, dtype=np.int64)
        for epoch in np.unique(index // self.count):
            mine = index // self.count == epoch
            starts[mine] = self.order(fold, int(epoch))[index[mine] % self.count]
        blocks_BL = np.asarray(self.stream[starts[:, None] + np.arange(self.length)])
        return Batch(torch.from_numpy(blocks_BL.astype(np.int64)))

    def order(self, fold: int, epoch: int) -> np.ndarray:
        """Where the blocks of a fold begin, in the order of an epoch."""
        if fold not in self.orders or self.orders[fold][0] != epoch:
            chance = np.random.Generator(np.random.Philox(key=[self.seed, epoch * self.folds + fold]))
            offset = fold * (len(self.stream) // self.folds) + chance.integers(self.length - 1)
            self.orders[fold] = epoch, offset + chance.permutation(self.count) * (self.length - 1)
        return self.orders[fold][1]


def folds_of(parts: nn.ModuleDict) -> int:
    """Into how many folds the networks want the text cut; 1 where none of them counts it."""
    return max(int(getattr(part, "folds", 1)) for part in parts.values())


def apart_of(parts: nn.ModuleDict) -> int:
    """How many symbols at the beginning of the text the networks have counted, so that they are not trained on."""
    return max(int(getattr(part, "apart", 0)) for part in parts.values())
