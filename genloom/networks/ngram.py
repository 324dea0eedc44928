"""Another causal network with a Kneser-Ney n-gram model under it: what the counts know, the weights need not learn.

The counts give log-probabilities. The network reads them (square roots of probabilities, beside the symbols; where
`basis` is on, also how often the contexts were counted) and adds to them. Counts that hold the very text they predict
would teach it to trust them too much, and counts with that one occurrence taken out tell it by what is missing: so
training text is cut into folds, and each is predicted by the counts of the others, as a new document will be
(docs/log.md). Of much text, the beginning is counted and the rest is trained on.

Shape letters: B batch, L length, K context length of the n-grams, V vocabulary.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from genloom.networks import transformer
from genloom.networks.kneser_ney import NONE, KneserNey
from genloom.types import Cache, Condition, Role, Tokens


@dataclass(frozen=True)
class Config:
    order: int = 8  # symbols an n-gram spans
    folds: int = 8  # of the training text, each predicted by the counts of the others
    base: transformer.Config = field(default_factory=transformer.Config)
    basis: bool = False  # the network also reads what the probabilities rest on: how often each context was counted
    apart: int = 0  # symbols at the beginning of the text that are counted and not trained on; 0: all, in folds


def build(role: Role, config: Config) -> "Ngram":
    if not (isinstance(role.takes, Tokens) and isinstance(role.gives, Tokens) and role.causal):
        raise ValueError(
            "The n-gram network predicts the next symbol and does nothing else; "
            "choose another network for this objective."
        )
    if config.folds < 2:
        raise ValueError(f"The n-gram network needs 2 folds of the text or more, got folds {config.folds}.")
    if config.apart < 0:
        raise ValueError(f"The n-gram network counts a beginning of 0 symbols or more, got apart {config.apart}.")
    transformer.check(role, config.base)
    beside = role.takes.vocab + 2 * (config.order - 1) * config.basis
    told = replace(role, cond=replace(role.cond, field=beside))
    return Ngram(transformer.Transformer(told, config.base), role.takes.vocab, config)


def suited(size: int) -> dict[str, Any]:
    """Settings to begin with for so many bytes of training text: the tables of more text cost more time and memory."""
    folds = next((folds for most, folds in FOLDS.items() if size <= most), None)
    counts = {"apart": APART} if folds is None else {"folds": folds}
    return {"order": 8, **counts, "basis": True, "base": transformer.suited(size)}


def sized(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """The settings at a size of the dial's ladder; what a person has set stays."""
    return {**settings, "base": transformer.sized(settings.get("base", {}), width, depth, heads)}


def regularised(settings: Mapping[str, Any], dropout: float) -> dict[str, Any]:
    """The settings for a text that is read many times over; what a person has set stays."""
    return {**settings, "base": transformer.regularised(settings.get("base", {}), dropout)}


def folds(settings: Mapping[str, Any]) -> int:
    """Stretches that the training text is cut into, each of which has to hold some rows."""
    return 1 if settings.get("apart") else settings.get("folds", Config.folds)


def kept(config: Config, length: int) -> int:
    """Numbers a position that a step of training keeps for its backward pass."""
    return transformer.kept(config.base, length)


def tables(config: Config, symbols: int) -> int:
    """Bytes of the tables that training keeps: one of the whole text and one without each fold."""
    entries = config.order * (min(config.apart, symbols) if config.apart else symbols)
    return (TABLE_BYTES * entries + TABLE_LEAST) * (1 if config.apart else 1 + config.folds)


def counting(config: Config, vocab: int, stream: np.ndarray) -> KneserNey:
    """The n-gram model that a network of these settings has once it is fitted to the training symbols."""
    return counted(stream, vocab, config)[0]


def counted(stream: np.ndarray, vocab: int, config: Config) -> tuple[KneserNey, tuple[KneserNey, ...]]:
    """What all of the text counts, and by fold what the other folds count.

    The latest is kept: who has measured what a network will learn from need not count again to train it. Raises
    ValueError where the tables take more memory than there is, or nothing is left to train on.
    """
    if config.apart >= max(len(stream), 1):
        raise ValueError(
            f"network.apart is {config.apart:,}, and there are {len(stream):,} symbols of training text, of which none "
            "would be left to train on. Choose less, or 0 to count all in folds."
        )
    asked = repr((vocab, config.order, config.folds, config.apart))
    key = hashlib.blake2b(np.ascontiguousarray(stream).data, key=asked.encode()).digest()
    if key not in LATEST:
        LATEST.clear()
        needed, room = tables(config, len(stream)), psutil.virtual_memory().available
        if needed > room:
            raise ValueError(
                f"Counting this text takes about {needed / 1e9:,.1f} GB of memory, and there are {room / 1e9:.1f} GB. "
                "Close other programs, or count less of it and train on the rest: "
                f"--set network.apart={len(stream) // 10:_}"
            )
        if config.apart:
            LATEST[key] = KneserNey.fit(stream[: config.apart], vocab, config.order), ()
        else:
            size = len(stream) // config.folds
            cuts = [(i * size, (i + 1) * size) for i in range(config.folds)]
            rest = (np.concatenate([stream[:begin], stream[end:]]) for begin, end in cuts)
            whole = KneserNey.fit(stream, vocab, config.order)
            LATEST[key] = whole, tuple(KneserNey.fit(part, vocab, config.order) for part in rest)
    return LATEST[key]


LATEST: dict[bytes, tuple[KneserNey, tuple[KneserNey, ...]]] = {}
FOLDS = {2e6: 8, 6e6: 4, 32e6: 2}  # by bytes of training text, at most
APART = 16_000_000  # bytes that are counted of more text
TABLE_BYTES, TABLE_LEAST = 5, 50_000_000  # a symbol and order, and of any table, as measured on the built-in text


class Ngram(nn.Module):
    """Logits B L V, float32: the base network's plus `scale` times the log-probabilities of the counts."""

    def __init__(self, base: transformer.Transformer, vocab: int, config: Config):
        super().__init__()
        self.base, self.vocab, self.config, self.order, self.basis = base, vocab, config, config.order, config.basis
        self.folds, self.apart = 1 if config.apart else config.folds, config.apart
        self.scale = nn.Parameter(torch.ones(1))
        self.counts: KneserNey | None = None
        self.others: tuple[KneserNey, ...] = ()  # by fold: what the other folds count; made by `fit`, never stored
        self.fold = 0
        self.register_load_state_dict_pre_hook(make_room)

    def fit(self, stream: np.ndarray) -> None:
        """Count the training symbols. Must come before training; what is counted is kept with the weights."""
        counts, self.others = counted(stream, self.vocab, self.config)
        self.adopt(counts)

    def begin(self, step: int) -> None:
        """Make ready for a training step, whose rows all come from fold `step` mod folds."""
        self.fold = step % self.folds

    def adopt(self, counts: KneserNey) -> None:
        self.counts = counts
        for name, array in counts.arrays().items():
            self.register_buffer(buffer_name(name), torch.from_numpy(as_integers(array).copy()))

    def start(self, count: int, length: int) -> "Recent":
        last = np.full((count, self.order - 1), NONE, np.int64)
        return Recent(self.base.start(count, length), last)

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: "Recent | None" = None,
    ) -> Tensor:
        log_p_BLV, basis_BL2K = (t.to(x.device) for t in self.prior(x, lengths, cache))
        roots_BLV = (log_p_BLV / 2).exp()
        told = replace(
            cond or Condition(), field=(torch.cat([roots_BLV, basis_BL2K], 2) if self.basis else roots_BLV).mT
        )
        logits_BLV = self.base(x, t, cond=told, lengths=lengths, cache=None if cache is None else cache.base)
        return logits_BLV.float() + self.scale.float() * log_p_BLV

    @torch.compiler.disable
    def prior(self, x: Tensor, lengths: Tensor | None, cache: "Recent | None") -> tuple[Tensor, Tensor]:
        """Log-probabilities of the symbol after each position, B L V, and what they rest on, B L 2K.

        In training as the other folds have it.
        """
        K = self.order - 1
        counts = self.others[self.fold] if self.training and self.others else self.known()
        x_BL = x.cpu().numpy()
        B, L = x_BL.shape
        last_BK = np.full((B, K), NONE, np.int64) if cache is None else cache.last
        long = np.concatenate([last_BK, x_BL], 1)
        contexts_BLK = (
            np.lib.stride_tricks.sliding_window_view(long[:, 1:], K, axis=1) if K else np.zeros((B, L, 0), np.int64)
        )
        if cache is not None:
            ends = np.full(B, L) if lengths is None else lengths.cpu().numpy()
            cache.last = np.stack([row[end : end + K] for row, end in zip(long, ends, strict=True)])
        log_p_BLV, basis_BL2K = counts.read(contexts_BLK)
        return torch.from_numpy(log_p_BLV), torch.from_numpy(basis_BL2K)

    def known(self) -> KneserNey:
        if self.counts is None:
            counts = {n: b for n, b in self.named_buffers(recurse=False) if n.startswith("count_")}
            arrays = {array_name(n): as_floats(n, b.cpu().numpy()) for n, b in counts.items()}
            if not arrays:
                raise ValueError("This n-gram network has no counts yet: it must be fitted to its training data first.")
            self.counts = KneserNey.from_arrays(arrays)
        return self.counts


@dataclass
class Recent:
    """The base network's memory, and the last symbols of each row, B K."""

    base: Cache
    last: np.ndarray

    @property
    def lengths(self) -> Tensor:
        return self.base.lengths

    def rows(self, rows: Tensor) -> "Recent":
        return Recent(self.base.rows(rows), self.last[rows.cpu().numpy()])


def make_room(network: Ngram, saved: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """The size of the counts is known only from what is loaded."""
    found = {n.removeprefix(prefix): t for n, t in saved.items() if n.startswith(prefix + "count_")}
    for name, tensor in found.items():
        network.register_buffer(name, torch.empty_like(tensor))
    network.counts = None


# Buffers hold integers only: a copy of the network in lower precision must not round the discounts.
def as_integers(array: np.ndarray) -> np.ndarray:
    return array.view(np.int64) if array.dtype == np.float64 else array


def as_floats(name: str, array: np.ndarray) -> np.ndarray:
    return array.view(np.float64) if name.endswith("discount") else array


def buffer_name(name: str) -> str:
    return "count_" + name.replace(".", "_")


def array_name(name: str) -> str:
    depth, _, field_name = name.removeprefix("count_").partition("_")
    return f"{depth}.{field_name}" if field_name else depth
