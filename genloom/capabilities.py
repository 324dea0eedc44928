"""The optional abilities of networks, objectives, codecs, conditioners: one Protocol each, checked with `isinstance`.

A part has an ability if it defines the names of its Protocol. `PartModule` lists the optional names of the module
that defines a part; `plugins.get_hook` reads them. The abilities of media are in genloom/media/abilities.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from genloom.types import CausalNetwork

if TYPE_CHECKING:  # the table of parts must start without torch
    import numpy as np
    from torch import Tensor

    from genloom.codecs.chat_template import ChatTemplate
    from genloom.codecs.fill_tokens import FillTokens
    from genloom.codecs.text_tokens import DecodeStream
    from genloom.noise import Noise
    from genloom.types import Condition, DecodingCache, NetworkSpec, Objective, Parts, Phase, TokenContext


# Networks


@runtime_checkable
class CountingNetwork(Protocol):
    """A network that counts n-grams of the training text before it is trained on the rest, or on folds of it."""

    num_folds: int  # of the text: the counts of the others predict each fold
    count_split: int  # tokens at the start of the text that are counted and not trained on

    def fit(self, stream: np.ndarray) -> None:
        """Count the token stream."""
        ...


@runtime_checkable
class StepwiseNetwork(Protocol):
    """A network whose training depends on the step."""

    def begin_step(self, step: int) -> None: ...


@runtime_checkable
class OutputHeadNetwork(Protocol):
    """A network that can return its hidden states, with `return_logits` off, and the head that makes logits of them.

    It also reads rows of several documents (`segments`).
    """

    def get_output_head(self) -> tuple[Tensor, float]:
        """Return the output matrix (V, D), and the soft cap of the logits; 0: none."""
        ...


@runtime_checkable
class LogitsNetwork(Protocol):
    """A network that can compute logits from the hidden states it returns with `return_logits` off."""

    def compute_logits(self, h_BLD: Tensor) -> Tensor: ...


@runtime_checkable
class LastLogitsNetwork(Protocol):
    """A network that can compute only the logits after the last token of each row, B V."""

    def compute_last_logits(self, x: Tensor, lengths: Tensor, cache: DecodingCache) -> Tensor: ...


@runtime_checkable
class PrefixCachingNetwork(Protocol):
    """A network that keeps the cache of its last text; the bits of its logits do not depend on how a text is split."""

    def reuse_prefix(self, x_L: Tensor, length: int) -> DecodingCache:
        """Return a cache for a row of up to `length` positions, which holds a prefix of x, but never its last token."""
        ...


@runtime_checkable
class JointNetwork(CausalNetwork, Protocol):
    """A network that reads several texts, with a cache each, in one step; none changes the bits of another's logits."""

    def compute_joint_logits(self, pieces: Sequence[Tensor], caches: Sequence[Any]) -> Tensor:
        """Read the next tokens of every text into its cache of one row; return logits (B, V) after each piece."""
        ...

    def copy_prefix(self, sources: Sequence[Any], x_L: Tensor, length: int) -> Any:
        """Return a cache of up to `length` positions with the longest prefix of x in a source, never its last token."""
        ...


@runtime_checkable
class TruncatingNetwork(CausalNetwork, Protocol):
    """A network that computes the same bits for tokens read together as one by one, and can truncate its cache."""

    def truncate(self, cache: DecodingCache, length: int) -> None:
        """Remove all but the first `length` positions of every row from the cache."""
        ...


@runtime_checkable
class ResizableNetwork(Protocol):
    """A network that can read signals, or token grids, of another size than it was trained on."""

    def at_size(self, size: tuple[int, ...]) -> Any:
        """Return the network for inputs of this size, with the same weights; ValueError if its positions are fixed."""
        ...


@runtime_checkable
class ResizableCodec(Protocol):
    """A codec of signals that can hold values of another length than it was made for."""

    def with_length(self, length: int) -> Any:
        """Return the codec whose values have up to this many positions on the first axis."""
        ...


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network that returns the features of its layers, for feature matching."""

    def forward_features(
        self, x: Tensor, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> list[Tensor]: ...


@runtime_checkable
class SpecifiedNetwork(Protocol):
    """A network that keeps its spec, which checks of the same network after a conversion need."""

    spec: NetworkSpec


@runtime_checkable
class AdaptableLayer(Protocol):
    """A module with linear layers that adapters attach to."""

    def adaptable_layers(self) -> dict[str, dict[str, slice]]:
        """Return the linear layers by name: for each, the rows of every target."""
        ...


@runtime_checkable
class ParameterGroup(Protocol):
    """A module whose parameters have their own learning rate: `OptimizerConfig.lr_KIND`."""

    kind: str


# Objectives


@runtime_checkable
class BatchPreparing(Protocol):
    """An objective that needs the whole batch before the loop splits it, for example for a mean over it."""

    def prepare_batch(self, parts: Parts, batch: Any, phase: Phase, noise: Noise, micro_batch_size: int) -> Any: ...


@runtime_checkable
class ExactLikelihood(Protocol):
    """An objective whose loss is the likelihood itself, not a bound that depends on the noise."""

    has_exact_likelihood: Literal[True]


@runtime_checkable
class ScaledLikelihood(Protocol):
    """An objective whose loss is not in nats: `nats_per_term` nats per term."""

    @property
    def nats_per_term(self) -> float: ...


@runtime_checkable
class WrappingObjective(Protocol):
    """An objective that trains the networks of another one, and samples like it."""

    @property
    def base(self) -> Objective[Any]: ...


@runtime_checkable
class LearnedGuidance(Protocol):
    """An objective that trains a fixed scale of classifier-free guidance into the network."""

    @property
    def guidance_scale(self) -> float: ...


@runtime_checkable
class Distillable(Protocol):
    """An objective that can learn from the networks of a trained flow."""

    def with_teacher(self, flow: Parts) -> Objective[Any]: ...


@runtime_checkable
class InvertibleSampler(Protocol):
    """An objective of signals whose sampler can be solved backwards, from a sample to the noise that it began with."""

    def invert(self, parts: Parts, x_B: Tensor, cond: Condition | None, params: Any) -> Tensor:
        """Return estimates of the first noise of samples, B C *size; `params` are `flow.InversionParams`."""
        ...


@runtime_checkable
class QuantizedLatent(Protocol):
    """An objective whose latent can be quantized: the number of levels of each channel, () if it is continuous."""

    @property
    def levels(self) -> tuple[int, ...]: ...


def get_levels(objective: object) -> tuple[int, ...]:
    """Return the quantization levels of an objective's latent, () if it is continuous or there is none."""
    return tuple(objective.levels) if isinstance(objective, QuantizedLatent) else ()


def unwrap_objective(objective: Any) -> Any:
    """Return the objective that another one wraps, or the objective itself."""
    return objective.base if isinstance(objective, WrappingObjective) else objective


# Codecs


@runtime_checkable
class SpecialTokensCodec(Protocol):
    """A codec with named tokens that no value contains, for example the markers of a chat."""

    @property
    def special_tokens(self) -> Mapping[str, int]: ...


@runtime_checkable
class ChatCodec(Protocol):
    """A codec that can encode conversations; without a chat template, this one cannot."""

    @property
    def chat_template(self) -> ChatTemplate | None: ...

    @property
    def special_tokens(self) -> dict[str, int]: ...

    def encode(self, value: str) -> np.ndarray: ...

    def decode_bytes(self, ids: Sequence[int] | np.ndarray) -> bytes: ...


@runtime_checkable
class FillingCodec(Protocol):
    """A codec that can encode a text with a gap; without fill tokens, this one cannot."""

    @property
    def fill_tokens(self) -> FillTokens | None: ...


@runtime_checkable
class StreamingCodec(Protocol):
    """A codec of text: more tokens only append characters, so that a terminal can show the text as it grows."""

    def decode_stream(self) -> DecodeStream: ...


class TokenConstraint(Protocol):
    """Which tokens may follow; it keeps what it has read of each row, so it serves one run of a sampler."""

    def __call__(self, contexts: Sequence[np.ndarray]) -> np.ndarray:
        """Return which tokens may follow each row's tokens so far, B V; at least one in each row."""
        ...

    def describe(self) -> list[str]:
        """Return in words what each row must keep to because of its prompt or options; "" for nothing."""
        ...


@runtime_checkable
class PredictingConstraint(Protocol):
    """A constraint that knows where only one continuation is allowed."""

    def predict_tokens(self, contexts: Sequence[np.ndarray]) -> list[int]:
        """Return the tokens that are likely to follow in the only row; [] where several may."""
        ...


@runtime_checkable
class ConstrainedCodec(Protocol):
    """A codec that knows which tokens may follow, for values that are always valid and as the prompt asks."""

    def build_constraint(self, prompts: Sequence[str], max_length: int) -> TokenConstraint:
        """Return the constraint of outputs of up to `max_length` tokens with BOS, one for each prompt."""
        ...


class TokenContextReader(Protocol):
    """The contexts of marked noise; it keeps what it has read of each row, so it serves one run of a sampler."""

    def __call__(self, contexts: Sequence[np.ndarray]) -> list[TokenContext]:
        """Return the context of the next token of each row, whose tokens so far are given."""
        ...


@runtime_checkable
class MarkedCodec(Protocol):
    """A codec whose values change on their way, such as scores that are transposed, but not the hashes of its tokens.

    The marks of other codecs depend on the ids of tokens.
    """

    def read_token_contexts(self) -> TokenContextReader:
        """Return a new reader of contexts."""
        ...

    def list_encodings(self, value: Any) -> list[np.ndarray]:
        """Return the token ids of a value in the ways that a model may have written it, the most likely first."""
        ...


@runtime_checkable
class AugmentingCodec(Protocol):
    """A codec that encodes a value in several ways for training, such as tasks of filling."""

    def encode_variants(self, value: Any, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the token ids of each variant, and where they count in the loss."""
        ...


@runtime_checkable
class TurnableCodec(Protocol):
    """A codec of signals whose samples, turned or mirrored, are samples too, if their conditions are turned along."""

    @property
    def turns(self) -> Sequence[int]:
        """The numbers of the turns, 0 (as it is) first."""
        ...

    def turn_samples(self, x: np.ndarray, turn: int) -> np.ndarray:
        """Return samples B C *size in this turn."""
        ...


@runtime_checkable
class TurnableConditioner(Protocol):
    """A conditioner whose fields can be turned along with the samples of a `TurnableCodec`."""

    def turn_fields(self, fields: np.ndarray, turn: int) -> np.ndarray:
        """Return fields B C *size in this turn."""
        ...


@runtime_checkable
class ResamplingConditioner(Protocol):
    """A conditioner whose values may be on another grid than the samples that a network is trained on.

    They are part of the medium's values, so that an output tells under which ones it was generated.
    """

    def resample_value(self, value: Any, size: Sequence[int] = ()) -> Any:
        """Return a value on the grid of this size; (): of the training samples."""
        ...


@runtime_checkable
class GridCodec(Protocol):
    """A codec of values that may have been drawn on another grid than that of the training samples."""

    def encode_whole(self, value: Any) -> np.ndarray:
        """Return a value as `encode` does, on the grid that a model draws it on."""
        ...


@runtime_checkable
class ContinuationCodec(Protocol):
    """A codec that decodes what continues a text differently from a text: some add a space before every text."""

    def decode_continuation(self, x: Sequence[int] | np.ndarray) -> Any: ...


@runtime_checkable
class AutoencoderCodec(Protocol):
    """A codec that is a trained autoencoder around another codec."""

    @property
    def autoencoder(self) -> Any: ...


@runtime_checkable
class StoredCodec(Protocol):
    """A codec of signals that needs another number format on disk than float16, such as float32 for physical units."""

    @property
    def dtype(self) -> str: ...


def get_storage_dtype(codec: object) -> str:
    """Return the NumPy name of the number format of a codec's signals on disk."""
    return codec.dtype if isinstance(codec, StoredCodec) else "float16"


def get_chat_template(codec: object) -> ChatTemplate | None:
    """Return the chat template of a codec, or None."""
    return codec.chat_template if isinstance(codec, ChatCodec) else None


def get_fill_tokens(codec: object) -> FillTokens | None:
    """Return the tokens of a codec for filling in the middle, or None."""
    return codec.fill_tokens if isinstance(codec, FillingCodec) else None


def get_special_tokens(codec: object) -> Mapping[str, int]:
    """Return the special tokens of a codec by name."""
    return codec.special_tokens if isinstance(codec, SpecialTokensCodec) else {}


# Modules of parts


class PartModule(Protocol):
    """The optional names of a part's module. A module defines those that its part needs."""

    # An objective: training settings unless a job sets others.
    TRAIN_DEFAULTS: Mapping[str, Any]

    # Any part: its default settings for this many bytes of training data.
    default_config: Callable[[int], Mapping[str, Any]]

    # A conditioner: its settings with statistics of the training data, `fit(items, config)`. If it has the setting
    # `column`, the items hold only that column.
    fit: Callable[[Iterable[Any], Any], Any]

    # A codec: its instance from a trained model, `from_model(model, values, config)`, in place of `Codec.fit`.
    from_model: Callable[[Any, Iterable[Any], Any], Any]

    # A network: its settings for a model size, `resize_config(settings, width, depth, heads)`; explicit settings win.
    resize_config: Callable[[Mapping[str, Any], int, int, int], Mapping[str, Any]]

    # A network: its settings for data that training repeats many times, `with_dropout(settings, dropout)`.
    with_dropout: Callable[[Mapping[str, Any], float], Mapping[str, Any]]

    # A network: the numbers per position that a training step keeps, `activations_per_token(config, length)`.
    activations_per_token: Callable[[Any, int], int]

    # A counting network: its number of folds with these settings, and its count model of a token stream.
    num_folds: Callable[[Mapping[str, Any]], int]
    build_count_model: Callable[[Any, int, Any], Any]

    # The comparison of copies of a medium: the evidence of noise keys in a value that a sampler's noise does not mark,
    # `find_value_marks(value, noise_keys)`, a `trust.marks.ValueMark` for each key.
    find_value_marks: Callable[[Any, Sequence[int]], Sequence[Any]]


Hook = Literal[
    "TRAIN_DEFAULTS",
    "default_config",
    "fit",
    "from_model",
    "resize_config",
    "with_dropout",
    "activations_per_token",
    "num_folds",
    "build_count_model",
    "find_value_marks",
]
