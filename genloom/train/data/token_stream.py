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

from genloom.store.files import open_replacement
from genloom.types import Batch, Codec, TokenSpace

TOKENS_FILE = "train.symbols"
SHUFFLE_BUFFER_CHARS = 32_000_000  # characters of documents kept in memory to be drawn from


def write_token_stream(texts: Iterable[str], codec: Codec, path: Path) -> int:
    """Encode documents, each ended by the stop symbol, into a raw file; return the number of symbols."""
    space = codec.space
    assert isinstance(space, TokenSpace)
    dtype = np.uint16 if space.vocab_size <= 2**16 else np.uint32
    count = 0
    with open_replacement(path) as temp_path, open(temp_path, "wb") as file:
        for ids in codec.encode_many(texts):
            file.write(np.append(ids, space.eos).astype(dtype).tobytes())
            count += len(ids) + 1
    return count


def shuffle_documents(texts: Iterable[str], seed_digest: str) -> Iterator[str]:
    """Documents in an order drawn from `key`, as far as a bounded buffer allows.

    Every stretch of the stream is then like every other, and like held-out text, which was drawn by chance too.
    """
    rng = np.random.default_rng(int(seed_digest[:16], 16))
    buffer: list[str] = []
    num_buffered_chars = 0
    for text in texts:
        buffer.append(text)
        num_buffered_chars += len(text)
        while num_buffered_chars > SHUFFLE_BUFFER_CHARS:
            position = int(rng.integers(len(buffer)))
            buffer[position], buffer[-1] = buffer[-1], buffer[position]
            num_buffered_chars -= len(buffer[-1])
            yield buffer.pop()
    for position in rng.permutation(len(buffer)):
        yield buffer[position]


def read_token_stream(path: Path, vocab: int) -> np.ndarray:
    """The symbols N of a stream, mapped from disk, not read."""
    if path.stat().st_size == 0:
        return np.zeros(0, np.uint16)
    return np.memmap(path, np.uint16 if vocab <= 2**16 else np.uint32, mode="r")


@dataclass(frozen=True)
class TokenBlocks:
    """Every epoch cuts the stream at a new offset into blocks of `length` symbols and visits each once, in a new order.

    With several folds the stream is cut into as many equal stretches, and the rows of step s all come from stretch
    s mod folds.
    """

    token_ids: np.ndarray
    batch_size: int
    block_size: int
    seed: int = 0
    num_folds: int = 1
    fold_orders: dict[int, tuple[int, np.ndarray]] = field(
        default_factory=dict, compare=False
    )  # by fold, made when needed

    def __post_init__(self) -> None:
        if self.blocks_per_epoch < 1:
            raise ValueError(
                f"The training text holds {len(self.token_ids)} symbols and the model reads {self.block_size} at once. "
                "Collect more text, or choose a shorter context_length (--set context_length=…)."
            )

    @property
    def blocks_per_epoch(self) -> int:
        """Blocks an epoch and fold. Neighbours share a symbol: the last to be predicted here is given there."""
        return (len(self.token_ids) // self.num_folds - 1) // (self.block_size - 1) - 1

    def __call__(self, step: int) -> Batch:
        fold, index = step % self.num_folds, step // self.num_folds * self.batch_size + np.arange(self.batch_size)
        starts = np.empty(self.batch_size, dtype=np.int64)
        for epoch in np.unique(index // self.blocks_per_epoch):
            is_in_epoch = index // self.blocks_per_epoch == epoch
            starts[is_in_epoch] = self.draw_fold_order(fold, int(epoch))[index[is_in_epoch] % self.blocks_per_epoch]
        blocks_BL = np.asarray(self.token_ids[starts[:, None] + np.arange(self.block_size)])
        return Batch(torch.from_numpy(blocks_BL.astype(np.int64)))

    def draw_fold_order(self, fold: int, epoch: int) -> np.ndarray:
        """Where the blocks of a fold begin, in the order of an epoch."""
        if fold not in self.fold_orders or self.fold_orders[fold][0] != epoch:
            rng = np.random.Generator(np.random.Philox(key=[self.seed, epoch * self.num_folds + fold]))
            offset = fold * (len(self.token_ids) // self.num_folds) + rng.integers(self.block_size - 1)
            self.fold_orders[fold] = epoch, offset + rng.permutation(self.blocks_per_epoch) * (self.block_size - 1)
        return self.fold_orders[fold][1]


def get_num_folds(parts: nn.ModuleDict) -> int:
    """Into how many folds the networks want the text cut; 1 where none of them counts it."""
    return max(int(getattr(part, "num_folds", 1)) for part in parts.values())


def get_count_split(parts: nn.ModuleDict) -> int:
    """How many symbols at the beginning of the text the networks have counted, so that they are not trained on."""
    return max(int(getattr(part, "count_split", 0)) for part in parts.values())
