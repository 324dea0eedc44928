"""A data set's text as one long token stream on disk, and the batches cut from it.

Shape letters: B rows, L length, N tokens of the stream.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from genloom import plugins
from genloom.capabilities import CountingNetwork
from genloom.errors import GenloomError
from genloom.model import Design
from genloom.networks.kneser_ney import KneserNey
from genloom.settings import parse_settings
from genloom.train.data.conditions import open_memmap
from genloom.train.data.order import EpochOrder, build_rng
from genloom.train.data.token_shards import ShardWriter, Tokens, join_tokens, list_shards
from genloom.types import Batch, Codec, TokenSpace

TOKENS_FILE = "train.symbols"
MAX_BASELINE_TOKENS, BASELINE_ORDER = 8_000_000, 5  # of the n-gram baseline
SHUFFLE_BUFFER_CHARS = 32_000_000  # characters of documents held in memory while shuffling


def write_token_stream(
    texts: Iterable[str],
    codec: Codec,
    path: Path,
    encode: Callable[[Iterable[str]], Iterator[np.ndarray]] | None = None,
) -> int:
    """Encode documents, each followed by the EOS token, into raw files; return the number of tokens.

    A stream that was interrupted continues after its complete shards. `encode` yields the ids of the documents in place
    of the codec: in another order, or of their pieces; such a stream begins again.
    """
    space = codec.space
    assert isinstance(space, TokenSpace)
    dtype = np.uint16 if space.vocab_size <= 2**16 else np.uint32
    writer = ShardWriter.open(path, dtype) if encode is None else ShardWriter(path, dtype)
    remaining = islice(texts, writer.num_documents, None)
    writer.write(np.append(ids, space.eos) for ids in (encode or codec.encode_many)(remaining))
    return writer.num_tokens


def shuffle_documents(texts: Iterable[str], seed_digest: str) -> Iterator[str]:
    """Shuffle documents through a bounded buffer, by a seed in hexadecimal.

    Every section of the stream is then distributed like every other, and like held-out text, which is sampled too.
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


def read_token_stream(path: Path, vocab_size: int) -> Tokens:
    """Memory-map the tokens N of a stream, which may be in several files."""
    dtype = np.uint16 if vocab_size <= 2**16 else np.uint32
    return join_tokens([open_memmap(shard, dtype, ()) for shard in list_shards(path)])


@dataclass(frozen=True)
class TokenBlocks:
    """Batches of blocks of `block_size` tokens; every epoch cuts the stream at a new offset and reads each block once.

    With several folds the stream is split into equal sections, and all rows of step s come from section s mod folds.
    """

    token_ids: Tokens
    batch_size: int
    block_size: int
    seed: int = 0
    num_folds: int = 1

    def __post_init__(self) -> None:
        if self.blocks_per_epoch < 1:
            raise GenloomError(
                "train.shorter_than_context", num_tokens=len(self.token_ids), context_length=self.block_size
            )

    @property
    def blocks_per_epoch(self) -> int:
        """Blocks per epoch and fold. Neighbours overlap by a token, predicted in the first and given in the second."""
        return (len(self.token_ids) // self.num_folds - 1) // (self.block_size - 1) - 1

    def __call__(self, step: int) -> Batch:
        return self.read_rows(step, slice(0, self.batch_size))

    def read_rows(self, step: int, rows: slice) -> Batch:
        """Return some rows of a step."""
        fold_step, fold = divmod(step, self.num_folds)
        blocks_BL = self.read_blocks(fold_step * self.batch_size + np.arange(self.batch_size)[rows], fold)
        return Batch(torch.from_numpy(blocks_BL.astype(np.int64)))

    def read_blocks(self, positions: np.ndarray, fold: int = 0) -> np.ndarray:
        """Return the blocks at these positions of the order of a fold, B L."""
        starts = self.fold_orders[fold](positions)
        return np.asarray(self.token_ids[starts[:, None] + np.arange(self.block_size)])

    @cached_property
    def fold_orders(self) -> list[EpochOrder]:
        return [EpochOrder(self.blocks_per_epoch, partial(self.draw_starts, fold)) for fold in range(self.num_folds)]

    def draw_starts(self, fold: int, epoch: int) -> np.ndarray:
        """Return the first positions of a fold's blocks, in the order of an epoch."""
        rng = build_rng(self.seed, epoch * self.num_folds + fold)
        offset = fold * (len(self.token_ids) // self.num_folds) + rng.integers(self.block_size - 1)
        return offset + rng.permutation(self.blocks_per_epoch) * (self.block_size - 1)


def build_count_model(design: Design, token_ids: Tokens, vocab_size: int) -> KneserNey:
    """Return the n-gram model of tokens: the network's own count model, or one of `BASELINE_ORDER`."""
    if build := plugins.get_hook("network", design.network, "build_count_model"):
        config_class = plugins.find_part("network", design.network).Config
        return build(
            parse_settings(config_class, design.network_settings, "network"), vocab_size, np.asarray(token_ids)
        )
    return KneserNey.fit(np.asarray(token_ids[:MAX_BASELINE_TOKENS]), vocab_size, BASELINE_ORDER)


def get_num_folds(parts: nn.ModuleDict) -> int:
    """Return how many folds of the text the networks need; 1 if none of them counts n-grams."""
    return max(part.num_folds if isinstance(part, CountingNetwork) else 1 for part in parts.values())


def get_count_split(parts: nn.ModuleDict) -> int:
    """Return how many tokens at the start of the text are only counted by the networks, and not trained on."""
    return max(part.count_split if isinstance(part, CountingNetwork) else 0 for part in parts.values())
