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
from genloom.networks.kneser_ney import MISSING, KneserNey
from genloom.types import Condition, DecodingCache, NetworkSpec, TokenSpace


@dataclass(frozen=True)
class Config:
    order: int = 8  # symbols an n-gram spans
    num_folds: int = 8  # of the training text, each predicted by the counts of the others
    base: transformer.Config = field(default_factory=transformer.Config)
    count_features: bool = (
        False  # the network also reads what the probabilities rest on: how often each context was counted
    )
    count_split: int = 0  # symbols at the beginning of the text that are counted and not trained on; 0: all, in folds


def build(spec: NetworkSpec, config: Config) -> "Ngram":
    if not (isinstance(spec.input, TokenSpace) and isinstance(spec.output, TokenSpace) and spec.is_causal):
        raise ValueError(
            "The n-gram network predicts the next symbol and does nothing else; "
            "choose another network for this objective."
        )
    if config.num_folds < 2:
        raise ValueError(f"The n-gram network needs 2 folds of the text or more, got folds {config.num_folds}.")
    if config.count_split < 0:
        raise ValueError(f"The n-gram network counts a beginning of 0 symbols or more, got apart {config.count_split}.")
    transformer.check_supported(spec, config.base)
    field_channels = spec.input.vocab_size + 2 * (config.order - 1) * config.count_features
    base_spec = replace(spec, condition=replace(spec.condition, field=field_channels))
    return Ngram(transformer.Transformer(base_spec, config.base), spec.input.vocab_size, config)


def default_config(size: int) -> dict[str, Any]:
    """Settings to begin with for so many bytes of training text: the tables of more text cost more time and memory."""
    fold_count = next((fold_count for max_bytes, fold_count in FOLDS_BY_BYTES.items() if size <= max_bytes), None)
    count_settings = {"apart": COUNT_SPLIT} if fold_count is None else {"folds": fold_count}
    return {"order": 8, **count_settings, "count_features": True, "base": transformer.default_config(size)}


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """The settings at a size of the dial's ladder; what a person has set stays."""
    return {**settings, "base": transformer.resize_config(settings.get("base", {}), width, depth, heads)}


def with_dropout(settings: Mapping[str, Any], dropout: float) -> dict[str, Any]:
    """The settings for a text that is read many times over; what a person has set stays."""
    return {**settings, "base": transformer.with_dropout(settings.get("base", {}), dropout)}


def num_folds(settings: Mapping[str, Any]) -> int:
    """Stretches that the training text is cut into, each of which has to hold some rows."""
    return 1 if settings.get("apart") else settings.get("folds", Config.num_folds)


def activations_per_token(config: Config, length: int) -> int:
    """Numbers a position that a step of training keeps for its backward pass."""
    return transformer.activations_per_token(config.base, length)


def estimate_table_bytes(config: Config, num_tokens: int) -> int:
    """Bytes of the tables that training keeps: one of the whole text and one without each fold."""
    num_entries = config.order * (min(config.count_split, num_tokens) if config.count_split else num_tokens)
    return (TABLE_BYTES * num_entries + TABLE_MIN_BYTES) * (1 if config.count_split else 1 + config.num_folds)


def build_count_model(config: Config, vocab: int, stream: np.ndarray) -> KneserNey:
    """The n-gram model that a network of these settings has once it is fitted to the training symbols."""
    return fit_count_models(stream, vocab, config)[0]


def fit_count_models(stream: np.ndarray, vocab: int, config: Config) -> tuple[KneserNey, tuple[KneserNey, ...]]:
    """What all of the text counts, and by fold what the other folds count.

    The latest is kept: who has measured what a network will learn from need not count again to train it. Raises
    ValueError where the tables take more memory than there is, or nothing is left to train on.
    """
    if config.count_split >= max(len(stream), 1):
        raise ValueError(
            f"network.count_split is {config.count_split:,}, and there are {len(stream):,} symbols of training text, of which none "
            "would be left to train on. Choose less, or 0 to count all in folds."
        )
    settings_key = repr((vocab, config.order, config.num_folds, config.count_split))
    key = hashlib.blake2b(np.ascontiguousarray(stream).data, key=settings_key.encode()).digest()
    if key not in COUNT_MODEL_CACHE:
        COUNT_MODEL_CACHE.clear()
        required_bytes, free_bytes = (
            estimate_table_bytes(config, len(stream)),
            psutil.virtual_memory().get_unavailable_reason,
        )
        if required_bytes > free_bytes:
            raise ValueError(
                f"Counting this text takes about {required_bytes / 1e9:,.1f} GB of memory, and there are {free_bytes / 1e9:.1f} GB. "
                "Close other programs, or count less of it and train on the rest: "
                f"--set network.count_split={len(stream) // 10:_}"
            )
        if config.count_split:
            COUNT_MODEL_CACHE[key] = KneserNey.fit(stream[: config.count_split], vocab, config.order), ()
        else:
            fold_size = len(stream) // config.num_folds
            fold_bounds = [(i * fold_size, (i + 1) * fold_size) for i in range(config.num_folds)]
            fold_complements = (np.concatenate([stream[:begin], stream[end:]]) for begin, end in fold_bounds)
            full_model = KneserNey.fit(stream, vocab, config.order)
            COUNT_MODEL_CACHE[key] = (
                full_model,
                tuple(KneserNey.fit(part, vocab, config.order) for part in fold_complements),
            )
    return COUNT_MODEL_CACHE[key]


COUNT_MODEL_CACHE: dict[bytes, tuple[KneserNey, tuple[KneserNey, ...]]] = {}
FOLDS_BY_BYTES = {2e6: 8, 6e6: 4, 32e6: 2}  # by bytes of training text, at most
COUNT_SPLIT = 16_000_000  # bytes that are counted of more text
TABLE_BYTES, TABLE_MIN_BYTES = 5, 50_000_000  # a symbol and order, and of any table, as measured on the built-in text


class Ngram(nn.Module):
    """Logits B L V, float32: the base network's plus `scale` times the log-probabilities of the counts."""

    def __init__(self, base: transformer.Transformer, vocab: int, config: Config):
        super().__init__()
        self.base, self.vocab, self.config, self.order, self.count_features = (
            base,
            vocab,
            config,
            config.order,
            config.count_features,
        )
        self.num_folds, self.count_split = 1 if config.count_split else config.num_folds, config.count_split
        self.scale = nn.Parameter(torch.ones(1))
        self.count_model: KneserNey | None = None
        self.fold_models: tuple[KneserNey, ...] = ()  # by fold: what the other folds count; made by `fit`, never stored
        self.current_fold = 0
        self.register_load_state_dict_pre_hook(allocate_count_buffers)

    def fit(self, stream: np.ndarray) -> None:
        """Count the training symbols. Must come before training; what is counted is kept with the weights."""
        count_model, self.fold_models = fit_count_models(stream, self.vocab, self.config)
        self.set_count_model(count_model)

    def begin_step(self, step: int) -> None:
        """Make ready for a training step, whose rows all come from fold `step` mod folds."""
        self.current_fold = step % self.num_folds

    def set_count_model(self, count_model: KneserNey) -> None:
        self.count_model = count_model
        for name, array in count_model.to_arrays().items():
            self.register_buffer(to_buffer_name(name), torch.from_numpy(to_integers(array).copy()))

    def init_cache(self, count: int, length: int) -> "NgramCache":
        context = np.full((count, self.order - 1), MISSING, np.int64)
        return NgramCache(self.base.init_cache(count, length), context)

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: "NgramCache | None" = None,
    ) -> Tensor:
        log_p_BLV, count_features_BL2K = (t.to(x.device) for t in self.compute_prior(x, lengths, cache))
        sqrt_probs_BLV = (log_p_BLV / 2).exp()
        base_condition = replace(
            cond or Condition(),
            field=(torch.cat([sqrt_probs_BLV, count_features_BL2K], 2) if self.count_features else sqrt_probs_BLV).mT,
        )
        logits_BLV = self.base(
            x, t, cond=base_condition, lengths=lengths, cache_folder=None if cache is None else cache.base
        )
        return logits_BLV.float() + self.scale.float() * log_p_BLV

    @torch.compiler.disable
    def compute_prior(self, x: Tensor, lengths: Tensor | None, cache: "NgramCache | None") -> tuple[Tensor, Tensor]:
        """Log-probabilities of the symbol after each position, B L V, and what they rest on, B L 2K.

        In training as the other folds have it.
        """
        K = self.order - 1
        count_model = (
            self.fold_models[self.current_fold] if self.training and self.fold_models else self.get_count_model()
        )
        x_BL = x.cpu().numpy()
        B, L = x_BL.shape
        context_BK = np.full((B, K), MISSING, np.int64) if cache is None else cache.context
        extended_BL = np.concatenate([context_BK, x_BL], 1)
        contexts_BLK = (
            np.lib.stride_tricks.sliding_window_view(extended_BL[:, 1:], K, axis=1)
            if K
            else np.zeros((B, L, 0), np.int64)
        )
        if cache is not None:
            ends = np.full(B, L) if lengths is None else lengths.cpu().numpy()
            cache.context = np.stack([row[end : end + K] for row, end in zip(extended_BL, ends, strict=True)])
        log_p_BLV, count_features_BL2K = count_model.predict_with_features(contexts_BLK)
        return torch.from_numpy(log_p_BLV), torch.from_numpy(count_features_BL2K)

    def get_count_model(self) -> KneserNey:
        if self.count_model is None:
            count_buffers = {n: b for n, b in self.named_buffers(recurse=False) if n.startswith("count_")}
            arrays = {to_array_name(n): to_floats(n, b.cpu().numpy()) for n, b in count_buffers.items()}
            if not arrays:
                raise ValueError("This n-gram network has no counts yet: it must be fitted to its training data first.")
            self.count_model = KneserNey.from_arrays(arrays)
        return self.count_model


@dataclass
class NgramCache:
    """The base network's memory, and the last symbols of each row, B K."""

    base: DecodingCache
    context: np.ndarray

    @property
    def lengths(self) -> Tensor:
        return self.base.lengths

    def select_rows(self, rows: Tensor) -> "NgramCache":
        return NgramCache(self.base.select_rows(rows), self.context[rows.cpu().numpy()])


def allocate_count_buffers(network: Ngram, state_dict: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """The size of the counts is known only from what is loaded."""
    count_buffers = {n.removeprefix(prefix): t for n, t in state_dict.items() if n.startswith(prefix + "count_")}
    for name, tensor in count_buffers.items():
        network.register_buffer(name, torch.empty_like(tensor))
    network.counts = None


# Buffers hold integers only: a copy of the network in lower precision must not round the discounts.
def to_integers(array: np.ndarray) -> np.ndarray:
    return array.view(np.int64) if array.dtype == np.float64 else array


def to_floats(name: str, array: np.ndarray) -> np.ndarray:
    return array.view(np.float64) if name.endswith("discount") else array


def to_buffer_name(name: str) -> str:
    return "count_" + name.replace(".", "_")


def to_array_name(name: str) -> str:
    depth, _, field_name = name.removeprefix("count_").partition("_")
    return f"{depth}.{field_name}" if field_name else depth
