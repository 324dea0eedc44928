"""Texts of several sources in the proportions of a job, which may change over the run.

A weight says how many times as often as by their number of tokens the texts of a source are read: 1 changes nothing, 0
leaves them out. Weights over the run (a curriculum) are points of the share of the run and the weight, with lines
between them.

Shape letters: G sources, B rows, L length, S steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from genloom.errors import GenloomError
from genloom.train.data.token_shards import Tokens
from genloom.train.data.token_stream import TokenBlocks
from genloom.types import Batch

OTHER_SOURCES = "other"  # the name of all that the mixture does not name
DEFAULT_POINTS = ((0.0, 1.0),)
STEPS_AT_ONCE = 4096  # whose rows are counted together

MixtureWeights = Mapping[str, Sequence[tuple[float, float]]]  # the points of the weight of each source


def parse_mixture(tables: Mapping[str, Any]) -> dict[str, tuple[tuple[float, float], ...]]:
    """Return the points of each source. Raises GenloomError for what is neither a weight nor points in their order."""
    value = tables.get("mixture", {})
    if not isinstance(value, Mapping):
        raise GenloomError("train.not_a_table", key="mixture", value=value)
    return {str(name): _parse_points(str(name), weight) for name, weight in value.items()}


def _parse_points(name: str, value: Any) -> tuple[tuple[float, float], ...]:
    points = [[0.0, value]] if _is_number(value) else value
    is_list = isinstance(points, list | tuple) and bool(points)
    if not is_list or not all(isinstance(p, list | tuple) and len(p) == 2 and all(map(_is_number, p)) for p in points):
        raise GenloomError("train.bad_mixture", source=name, value=value)
    shares, weights = [float(p[0]) for p in points], [float(p[1]) for p in points]
    if shares != sorted(shares) or not 0 <= shares[0] <= shares[-1] <= 1 or not all(0 <= w < 1e6 for w in weights):
        raise GenloomError("train.bad_mixture", source=name, value=value)
    return tuple(zip(shares, weights, strict=True))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def to_mixture_table(mixture: MixtureWeights) -> dict[str, Any]:
    """Return the mixture as a job stores it."""
    return {
        name: points[0][1] if len(points) == 1 else [list(point) for point in points]
        for name, points in mixture.items()
    }


def match_source(source: str, names: Sequence[str]) -> str:
    """Return the first of the names that a document's source is, or lies in; else that of the other sources."""
    for name in names:
        if source.startswith(name) and (len(source) == len(name) or source[len(name)] in "/:#"):
            return name
    return OTHER_SOURCES


@dataclass(frozen=True)
class TokenGroup:
    """The tokens of the documents of a source: those from `begin` to `end` of the whole stream."""

    name: str
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin


def build_groups(num_tokens: Mapping[str, int]) -> tuple[TokenGroup, ...]:
    """Return the sources, one after the other, with so many tokens each; without the others, if there are none.

    Raise GenloomError if a source that the mixture names has no documents.
    """
    groups, begin = [], 0
    for name, count in num_tokens.items():
        if not count and name != OTHER_SOURCES:
            raise GenloomError("train.unknown_source", source=name)
        if count:
            groups.append(TokenGroup(name, begin, begin + count))
        begin += count
    return tuple(groups)


@dataclass(frozen=True)
class MixedBlocks:
    """Batches whose rows come from several token streams, in proportions that follow the weights exactly.

    Each source has its own epochs, which read each of its blocks once.
    """

    token_ids: Tokens
    groups: Sequence[TokenGroup]
    mixture: MixtureWeights
    batch_size: int
    block_size: int
    num_steps: int  # of the run, over which the weights change
    seed: int = 0
    _counts: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    def __call__(self, step: int) -> Batch:
        return self.read_rows(step, slice(0, self.batch_size))

    def read_rows(self, step: int, rows: slice) -> Batch:
        """Return some rows of a step."""
        before_G, after_G = self.count_rows(step), self.count_rows(step + 1)
        rows_BL = []
        for blocks, before, after in zip(self.blocks, before_G.tolist(), after_G.tolist(), strict=True):
            if after > before:
                assert blocks is not None, "a source without blocks has no rows"
                rows_BL.append(blocks.read_blocks(np.arange(before, after)))
        return Batch(torch.from_numpy(np.concatenate(rows_BL)[rows].astype(np.int64)))

    @cached_property
    def blocks(self) -> list[TokenBlocks | None]:
        """The blocks of each source; None for one that is never read."""
        blocks: list[TokenBlocks | None] = []
        for number, group in enumerate(self.groups):
            is_read = any(weight for _, weight in self.mixture.get(group.name, DEFAULT_POINTS))
            tokens = self.token_ids[group.begin : group.end]
            seed = self.seed + number
            blocks.append(TokenBlocks(tokens, self.batch_size, self.block_size, seed) if is_read else None)
        return blocks

    def compute_shares(self, steps: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the share of each source in the rows of these steps, S G."""
        positions_S = np.asarray(steps, np.float64) / max(self.num_steps, 1)
        columns = []
        for group in self.groups:
            places, weights = zip(*self.mixture.get(group.name, DEFAULT_POINTS), strict=True)
            columns.append(len(group) * np.interp(positions_S, np.array(places), np.array(weights)))
        shares_SG = np.stack(columns, axis=1)
        totals_S = shares_SG.sum(axis=1, keepdims=True)
        if not (totals_S > 0).all():
            raise GenloomError("train.empty_mixture", share=float(positions_S[np.argmin(totals_S[:, 0])]))
        return shares_SG / totals_S

    def count_rows(self, step: int) -> np.ndarray:
        """Return how many rows of each source the steps before this one have, G."""
        chunk, offset = divmod(step, STEPS_AT_ONCE)
        if chunk not in self._counts:
            start_G = np.zeros(len(self.groups), np.int64)
            for earlier in range(chunk + 1):
                if earlier not in self._counts:
                    counts_SG = np.cumsum(self._apportion(earlier), axis=0)
                    self._counts[earlier] = start_G + np.concatenate([np.zeros_like(counts_SG[:1]), counts_SG])
                start_G = self._counts[earlier][-1]
        return self._counts[chunk][offset]

    def _apportion(self, chunk: int) -> np.ndarray:
        """Return the rows of each source in the steps of a chunk, S G; each step has `batch_size` rows.

        The sums of the rows so far stay within a row or two of the sums of the shares.
        """
        steps = np.arange(chunk * STEPS_AT_ONCE, (chunk + 1) * STEPS_AT_ONCE)
        wanted_SG = self.batch_size * np.cumsum(self.compute_shares(steps), axis=0)
        counts_SG = np.zeros(wanted_SG.shape, np.int64)
        given_G = np.zeros(wanted_SG.shape[1], np.int64)
        for row, wanted_G in enumerate(wanted_SG):
            quotas_G = wanted_G - given_G
            counts_G = np.maximum(np.floor(quotas_G), 0).astype(np.int64)
            order = np.argsort(counts_G - quotas_G, kind="stable")  # the largest remainder first
            missing = self.batch_size - int(counts_G.sum())
            if missing > 0:
                counts_G[order[np.arange(missing) % len(order)]] += 1
            while missing < 0:
                last = next(index for index in order[::-1] if counts_G[index] > 0)
                counts_G[last] -= 1
                missing += 1
            counts_SG[row] = counts_G
            given_G += counts_G
        return counts_SG
