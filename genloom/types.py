"""The types that every package shares; imports neither torch nor other Genloom modules at run time.

Shape letters: B batch, L length, V vocabulary, C channels, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

if TYPE_CHECKING:  # media and stores use this vocabulary and must start without torch
    import numpy as np
    from torch import Tensor, nn

    from genloom.noise import Noise

    Parts = Mapping[str, nn.Module]
    TensorFn = Callable[[Tensor], Tensor]
else:
    Parts = Mapping
    TensorFn = Callable


Tree = TypeVar("Tree")


def tree_map(fn: Callable[[Any], Any], tree: Tree) -> Tree:
    """Apply `fn` to a tensor, or to every tensor in a dataclass and the dataclasses in its fields; None stays None."""
    node: Any = tree
    if node is None:
        return node
    if is_dataclass(node):
        return replace(node, **{f.name: tree_map(fn, getattr(node, f.name)) for f in fields(node)})
    return fn(node)


class TensorTree:
    """Base class of dataclasses whose fields are tensors with one row a sample, further tensor trees, or None."""

    def map(self, fn: TensorFn) -> Self:
        """Return a copy with `fn` applied to every tensor."""
        return tree_map(fn, self)

    def select_rows(self, rows: slice | Tensor) -> Self:
        return self.map(lambda t: t[rows])


@dataclass(frozen=True)
class TokenSpace:
    """A sequence of tokens: text, notes, codec codes, SELFIES."""

    vocab_size: int
    context_length: int  # the longest sequence that a network reads
    bos: int = 0  # the token that begins a document
    eos: int = 0  # the token that ends a document; in many codecs the same
    grid: tuple[int, ...] = ()  # shape of the grid of tokens after `bos`, e.g. of an image; (): any number of tokens


@dataclass(frozen=True)
class SignalSpace:
    """An array of numbers: size () vector, (L,) audio, (H, W) image, (T, H, W) video.

    With `has_lengths`, values can be shorter than the size on the first axis, which is then the maximum. Training data
    are padded with zeros on the right (`Batch.lengths`), and samples are cut.
    """

    channels: int
    size: tuple[int, ...] = ()
    has_lengths: bool = False  # whether values may be shorter than `size` on the first axis


Space = TokenSpace | SignalSpace


@dataclass(frozen=True)
class TokenContext:
    """The key of the noise of a row's next token, from a codec that has its own hashes of tokens (`MarkedCodec`)."""

    window: tuple[int, ...] | None  # hashes of the tokens before it; None: there are too few, or they occurred before
    candidates: np.ndarray  # the hash of each token of the vocabulary, V int64; allowed tokens have different ones


def is_open_sequence(space: Space) -> bool:
    """Return whether values are token sequences of any length that an EOS token ends, and not samples of one size."""
    return isinstance(space, TokenSpace) and not space.grid


@dataclass(frozen=True)
class ConditionSpec:
    """The conditions that a network receives: the width of each kind, 0 for none."""

    tokens: int = 0
    vector: int = 0
    field: int = 0


@dataclass(frozen=True)
class NetworkSpec:
    """The input and output that an objective asks of a network; the only interface between the two."""

    input: Space
    output: Space
    is_causal: bool = False
    has_time: bool = False
    condition: ConditionSpec = ConditionSpec()


@dataclass(frozen=True)
class Condition(TensorTree):
    """The conditions of a sample. `mask_rows` gives the unconditional rows of classifier-free guidance."""

    tokens: Tensor | None = None  # B S D: text states of a prompt, for cross-attention
    mask: Tensor | None = None  # B S, True where `tokens` holds a state; None: everywhere
    vector: Tensor | None = None  # B D: class, target properties, pooled prompt
    field: Tensor | None = None  # B C *size, on the grid of x: loads and supports; or a column for each token

    def mask_rows(self, keep_B: Tensor) -> Condition:
        """Make the rows where `keep_B` is False unconditional: no states to attend to, zero vector, zero field."""

        def zero_rows(t: Tensor | None) -> Tensor | None:
            return None if t is None else t * keep_B.view(-1, *[1] * (t.ndim - 1)).to(t.dtype)

        mask = self.mask
        if self.tokens is not None and mask is None:
            mask = self.tokens.new_ones(self.tokens.shape[:2], dtype=keep_B.dtype)
        return Condition(
            zero_rows(self.tokens),
            None if mask is None else mask & keep_B[:, None],
            zero_rows(self.vector),
            zero_rows(self.field),
        )


@dataclass(frozen=True)
class Phase:
    """One optimizer step and the parts that it trains. A GAN has two phases, all other objectives one."""

    name: str
    trained: tuple[str, ...]


@dataclass(frozen=True)
class Batch(TensorTree):
    """Samples to train on. The first token of a sequence is given and never predicted."""

    x: Tensor
    cond: Condition | None = None
    weight: Tensor | None = None  # B, from ratings; None: 1 for every sample
    mask: Tensor | None = None  # B L, or B *size of a signal: True where a position counts in the loss
    lengths: Tensor | None = None  # B, number of real positions in each row; the rest is padding on the right
    segments: Tensor | None = None  # B L, ids of the documents packed into a row, which must not attend to each other
    reference_nll: Tensor | None = None  # B, minus log-likelihoods under the reference model, if known

    def __len__(self) -> int:
        return len(self.x)

    def trim_padding(self, multiple: int) -> Batch:
        """Return sequences of tokens without the padding that all rows end with, as long as a multiple of this."""
        if self.lengths is None or self.x.ndim != 2:
            return self
        length = -(-int(self.lengths.max()) // multiple) * multiple
        return replace(self, x=self.x[:, :length], mask=None if self.mask is None else self.mask[:, :length])


@dataclass(frozen=True)
class PreferencePairs(TensorTree):
    """Two answers to each prompt: row i of `chosen` was preferred to row i of `rejected`."""

    chosen: Batch
    rejected: Batch
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.chosen)


@dataclass(frozen=True)
class UnpairedPreferences(TensorTree):
    """Samples with a thumbs up or down each (Ethayarajh et al. 2024, KTO)."""

    batch: Batch
    desirable: Tensor  # B, True where a sample was liked
    mismatched: Batch  # the same prompts with the answers of other rows, to estimate KTO's reference point
    baseline: Tensor | None = None  # B, that reference point over the whole batch, set before the loop splits it
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.batch)


@dataclass(frozen=True)
class Rollouts(TensorTree):
    """On-policy samples and their advantages over the other samples of their groups."""

    batch: Batch
    advantage: Tensor  # B
    old_nll: Tensor | None = None  # B, minus log-likelihoods at sampling time; None: the current model sampled them
    weight: Tensor | None = None
    reward: Tensor | None = None  # B, for reports only
    is_new: Tensor | None = None  # B, False for replayed rows; None: all are new

    def __len__(self) -> int:
        return len(self.batch)


@dataclass(frozen=True)
class Loss:
    """The loss of each sample in one phase. The training loop reduces it, never the objective."""

    per_sample: Tensor  # B, in nats if the objective has a likelihood or a bound on it
    num_terms: Tensor  # B, number of summed terms: predicted tokens, or 1 for an image; the divisor of the mean
    metrics: Mapping[str, Tensor] = field(default_factory=dict)  # scalars, detached


TrainingBatch = TypeVar("TrainingBatch", bound=Batch | PreferencePairs | UnpairedPreferences | Rollouts)
TrainingBatch_contra = TypeVar("TrainingBatch_contra", contravariant=True)


class Objective(Protocol[TrainingBatch_contra]):
    """A loss and the sampler that belongs to it."""

    @property
    def phases(self) -> tuple[Phase, ...]: ...

    @property
    def network_specs(self) -> dict[str, NetworkSpec]: ...

    def loss(self, parts: Parts, batch: TrainingBatch_contra, phase: Phase, noise: Noise) -> Loss: ...

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: Any) -> Iterator[Tensor]:
        """Yield increasingly refined drafts of `count` rows each; the last draft is the result."""
        ...


class DecodingCache(Protocol):
    """The keys and values, or the state, of the positions that a causal network has read."""

    lengths: Tensor  # B, number of positions read in each row

    def select_rows(self, rows: Tensor) -> DecodingCache:
        """Return the cache of these rows, in this order."""
        ...


class CausalNetwork(Protocol):
    """A network that reads left to right. Reading in pieces through a cache equals reading at once."""

    def init_cache(self, count: int, length: int) -> DecodingCache: ...

    def __call__(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: DecodingCache | None = None,
    ) -> Tensor: ...


@dataclass(frozen=True)
class Item:
    """A value of a medium and its provenance; for text, `value` is a str."""

    value: Any
    source: str = ""
    licence: str = "unknown"
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Display:
    """A value, or several, for people: as bytes of a MIME type, and as text for a terminal."""

    mime: str
    data: bytes
    text: str


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str  # "system", "user" or "assistant"
    content: str
    is_learned: bool = True  # whether a model learns to write it, if it is an assistant's
    is_trusted: bool = True  # whether no text of others is in it, such as a passage of a document


@dataclass(frozen=True)
class DefaultRecipe:
    """The default parts of a model of a medium, for these objectives; without a choice, the first objective."""

    objectives: tuple[str, ...]  # (): any
    network: str
    codecs: tuple[str, ...]  # the first one is used whose trained model, if it needs one, is available
    max_bytes: float = float("inf")  # bytes of training data
    batch_size: int = 8
    context_length: int = 256  # 0: the codec gives values of one size
    text_encoder: str = ""
    persons: str = ""  # what of persons the data must be stated to hold, such as "voice"; "": anything
    # By table of the job: "plan", "conditions", or a part; for the first codec and objective, and the network.
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Medium(Protocol):
    """Opens, saves, previews and checks values of one kind. Must import without torch."""

    kind: str
    suffixes: tuple[str, ...]

    def open(self, path: Path) -> Item: ...

    def save(self, item: Item, path: Path) -> None: ...

    def preview(self, item: Item) -> str: ...

    def check(self, item: Item) -> list[str]: ...

    def encode(self, value: Any) -> bytes: ...

    def decode(self, data: bytes) -> Any: ...


class Codec(Protocol):
    """Encodes values of a medium as arrays, and decodes them."""

    @property
    def space(self) -> Space: ...

    def encode(self, value: Any) -> np.ndarray: ...

    def encode_many(self, values: Iterable[Any]) -> Iterator[np.ndarray]: ...

    def decode(self, x: Sequence[int] | np.ndarray) -> Any: ...

    def save(self, folder: Path) -> None: ...


class TextEncoder(Protocol):
    """Encodes prompts as the states that a network attends to."""

    @property
    def width(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return (S, width) float32 of root mean square 1 for every text; (0, width) for a text without words."""
        ...

    def compute_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return the begin and end in the text of what each state stands for."""
        ...


class Conditioner(Protocol):
    """Reads, encodes and records the values of one named condition: a prompt, a number, a class, an array."""

    @property
    def spec(self) -> ConditionSpec:
        """The sizes that the condition adds to the input of a network; one kind is not 0."""
        ...

    def get_value(self, item: Item) -> Any:
        """Return the value of a training item; None if it has none."""
        ...

    def encode(self, values: Sequence[Any]) -> Condition:
        """Encode one value per row; None is "not given" and equals the row without the condition."""
        ...

    def parse(self, text: str) -> Any:
        """Return the value that a person wrote: "2.5", "loads.npy", a prompt. Raise ValueError if it is invalid."""
        ...

    def format(self, value: Any) -> str:
        """Return the value as text, the same for equal values; it identifies the task of an output."""
        ...

    def pack(self, value: Any, save_blob: Callable[[bytes, str], str]) -> Any:
        """Return the value for JSON; `save_blob` stores bytes under a suffix and returns their digest."""
        ...

    def unpack(self, stored: Any, load_blob: Callable[[str], bytes]) -> Any:
        """Return the value that `pack` stored."""
        ...
