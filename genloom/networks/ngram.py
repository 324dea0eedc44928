"""A transformer on top of a Kneser-Ney n-gram model: the weights need not learn what the counts know.

The counts give log-probabilities. The network reads them (square roots of probabilities, beside the tokens; with
`count_features` also how often each context was counted) and adds its logits to them. Counts of the very text that they
predict would teach the network to trust them too much, and leaving one occurrence out would reveal it by its absence.
So the training text is split into folds, and the counts of the other folds predict each fold, as they will predict a
new document (docs/log.md). Of a large text, the beginning is counted and the rest is trained on.

Shape letters: B batch, L length, K context length of the n-grams, V vocabulary.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.memory import measure_memory
from genloom.networks import transformer
from genloom.networks.kneser_ney import MISSING, KneserNey
from genloom.types import Condition, DecodingCache, NetworkSpec, TokenSpace


@dataclass(frozen=True)
class Config:
    order: int = 8  # tokens in an n-gram
    num_folds: int = 8  # folds of the training text; the counts of the others predict each fold
    base: transformer.Config = field(default_factory=transformer.Config)
    count_features: bool = False  # whether the network also reads how often each context was counted
    count_split: int = 0  # tokens at the beginning of the text that are counted, not trained on; 0: count all, in folds


def build(spec: NetworkSpec, config: Config) -> "Ngram":
    if not (isinstance(spec.input, TokenSpace) and isinstance(spec.output, TokenSpace) and spec.is_causal):
        raise GenloomError("networks.ngram_spec")
    if config.num_folds < 2:
        raise GenloomError("networks.ngram_folds", num_folds=config.num_folds)
    if config.count_split < 0:
        raise GenloomError("networks.ngram_count_split", count_split=config.count_split)
    transformer.check_supported(spec, config.base)
    feature_width = spec.input.vocab_size + 2 * (config.order - 1) * config.count_features
    return Ngram(transformer.Transformer(spec, config.base, feature_width), spec.input.vocab_size, config)


def default_config(size: int) -> dict[str, Any]:
    """Return the default settings for a training text of `size` bytes; tables of larger texts cost time and memory."""
    fold_count = next((fold_count for max_bytes, fold_count in FOLDS_BY_BYTES.items() if size <= max_bytes), None)
    count_settings = {"count_split": COUNT_SPLIT} if fold_count is None else {"num_folds": fold_count}
    return {"order": 8, **count_settings, "count_features": True, "base": transformer.default_config(size)}


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """Return the settings for one of the planner's model sizes; explicit settings win."""
    return {**settings, "base": transformer.resize_config(settings.get("base", {}), width, depth, heads)}


def with_dropout(settings: Mapping[str, Any], dropout: float) -> dict[str, Any]:
    """Return the settings for a text that training repeats many times; explicit settings win."""
    return {**settings, "base": transformer.with_dropout(settings.get("base", {}), dropout)}


def num_folds(settings: Mapping[str, Any]) -> int:
    """Return how many folds the training text has; each needs some rows."""
    return 1 if settings.get("count_split") else settings.get("num_folds", Config.num_folds)


def activations_per_token(config: Config, length: int) -> int:
    """Return how many numbers per position a training step keeps for its backward pass."""
    return transformer.activations_per_token(config.base, length)


def estimate_table_bytes(config: Config, num_tokens: int) -> int:
    """Return the bytes of the tables that training keeps: one of the whole text and one without each fold."""
    num_entries = config.order * (min(config.count_split, num_tokens) if config.count_split else num_tokens)
    return (TABLE_BYTES * num_entries + TABLE_MIN_BYTES) * (1 if config.count_split else 1 + config.num_folds)


def build_count_model(config: Config, vocab: int, stream: np.ndarray) -> KneserNey:
    """Return the n-gram model that a network with these settings has after fitting to the training tokens."""
    return fit_count_models(stream, vocab, config)[0]


def fit_count_models(stream: np.ndarray, vocab: int, config: Config) -> tuple[KneserNey, tuple[KneserNey, ...]]:
    """Return the counts of the whole text, and for each fold the counts of the other folds.

    The latest result stays in a cache, so that training need not count again after planning. Raise GenloomError if the
    tables need more memory than is available, or no text remains to train on.
    """
    if config.count_split >= max(len(stream), 1):
        raise GenloomError("networks.count_split_too_large", count_split=config.count_split, num_tokens=len(stream))
    settings_key = repr((vocab, config.order, config.num_folds, config.count_split))
    key = hashlib.blake2b(np.ascontiguousarray(stream).data, key=settings_key.encode()).digest()
    if key not in COUNT_MODEL_CACHE:
        COUNT_MODEL_CACHE.clear()
        required_bytes, free_bytes = estimate_table_bytes(config, len(stream)), measure_memory().available
        if required_bytes > free_bytes:
            raise GenloomError(
                "networks.counts_memory",
                required_gb=required_bytes / 1e9,
                free_gb=free_bytes / 1e9,
                count_split=len(stream) // 10,
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
FOLDS_BY_BYTES = {2e6: 8, 6e6: 4, 32e6: 2}  # number of folds by the maximum bytes of training text
COUNT_SPLIT = 16_000_000  # bytes to count of a larger text
TABLE_BYTES, TABLE_MIN_BYTES = 5, 50_000_000  # per token and order, and of any table, measured on the built-in text


class Ngram(nn.Module):
    """Gives logits B L V, float32: the base network's plus `scale` times the log-probabilities of the counts."""

    def __init__(self, base: transformer.Transformer, vocab: int, config: Config):
        super().__init__()
        self.base, self.vocab, self.config = base, vocab, config
        self.order, self.count_features = config.order, config.count_features
        self.num_folds, self.count_split = 1 if config.count_split else config.num_folds, config.count_split
        self.scale = nn.Parameter(torch.ones(1))
        self.count_model: KneserNey | None = None
        self.fold_models: tuple[
            KneserNey, ...
        ] = ()  # for each fold the counts of the others; set by `fit`, never saved
        self.current_fold = 0
        self.register_load_state_dict_pre_hook(allocate_count_buffers)

    def fit(self, stream: np.ndarray) -> None:
        """Count the training tokens, before training; the counts are saved with the weights."""
        count_model, self.fold_models = fit_count_models(stream, self.vocab, self.config)
        self.set_count_model(count_model)

    def begin_step(self, step: int) -> None:
        """Prepare for a training step, whose rows all come from fold `step` mod `num_folds`."""
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
        features_BLF = (log_p_BLV / 2).exp()
        if self.count_features:
            features_BLF = torch.cat([features_BLF, count_features_BL2K], 2)
        base_cache = None if cache is None else cache.base
        logits_BLV = self.base(x, t, cond, lengths, base_cache, features_BFL=features_BLF.mT)
        return logits_BLV.float() + self.scale.float() * log_p_BLV

    @torch.compiler.disable
    def compute_prior(self, x: Tensor, lengths: Tensor | None, cache: "NgramCache | None") -> tuple[Tensor, Tensor]:
        """Return log-probabilities of the token after each position, B L V, and count features, B L 2K.

        In training, the counts are those of the other folds.
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
                raise GenloomError("networks.ngram_not_fitted")
            self.count_model = KneserNey.from_arrays(arrays)
        return self.count_model


@dataclass
class NgramCache:
    """The base network's cache, and the last tokens of each row, B K."""

    base: DecodingCache
    context: np.ndarray

    @property
    def lengths(self) -> Tensor:
        return self.base.lengths

    def select_rows(self, rows: Tensor) -> "NgramCache":
        return NgramCache(self.base.select_rows(rows), self.context[rows.cpu().numpy()])


def allocate_count_buffers(network: Ngram, state_dict: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """Create buffers for the counts, whose sizes only the loaded state dict knows."""
    count_buffers = {n.removeprefix(prefix): t for n, t in state_dict.items() if n.startswith(prefix + "count_")}
    for name, tensor in count_buffers.items():
        network.register_buffer(name, torch.empty_like(tensor))
    network.count_model = None


# Buffers hold only integers, so that a copy of the network in lower precision does not round the discounts.
def to_integers(array: np.ndarray) -> np.ndarray:
    return array.view(np.int64) if array.dtype == np.float64 else array


def to_floats(name: str, array: np.ndarray) -> np.ndarray:
    return array.view(np.float64) if name.endswith("discount") else array


def to_buffer_name(name: str) -> str:
    return "count_" + name.replace(".", "_")


def to_array_name(name: str) -> str:
    depth, _, field_name = name.removeprefix("count_").partition("_")
    return f"{depth}.{field_name}" if field_name else depth
