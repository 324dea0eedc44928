"""The vocabulary every package shares; at run time it imports nothing of Genloom and no torch.

Shape letters: B batch, L length, V vocabulary, C channels, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True)
class TokenSpace:
    """A sequence of symbols: text, notes, codec codes, SELFIES."""

    vocab_size: int
    context_length: int  # the longest sequence a network is asked to read
    bos: int = 0  # the symbol that begins a document
    eos: int = 0  # the symbol that ends one
    grid: tuple[int, ...] = ()  # of codes that fill a grid after the start, as a picture's do; (): of any length


@dataclass(frozen=True)
class SignalSpace:
    """An array of numbers: size () vector, (L,) audio, (H, W) image, (T, H, W) video."""

    channels: int
    size: tuple[int, ...] = ()


Space = TokenSpace | SignalSpace


@dataclass(frozen=True)
class ConditionSpec:
    """Which conditions a role is given: the width of each kind, 0 where there is none."""

    tokens: int = 0
    vector: int = 0
    field: int = 0


@dataclass(frozen=True)
class NetworkSpec:
    """What an objective asks of a network. The only thing the two know of each other."""

    input: Space
    output: Space
    is_causal: bool = False
    has_time: bool = False
    condition: ConditionSpec = ConditionSpec()


@dataclass(frozen=True)
class Condition:
    """What a sample is made from. A row switched off by `keep` is the unconditional one of guidance."""

    tokens: Tensor | None = None  # B S D: a prompt's text states, for cross-attention
    mask: Tensor | None = None  # B S, True where `tokens` holds a state; None: everywhere
    vector: Tensor | None = None  # B D: class, target properties, pooled prompt
    field: Tensor | None = None  # B C *size, the grid of x: known pixels and their mask, loads and supports

    def map(self, fn: TensorFn) -> Condition:
        """The same condition with `change` applied to every tensor that is there."""
        return Condition(*(None if t is None else fn(t) for t in (self.tokens, self.mask, self.vector, self.field)))

    def select_rows(self, rows: slice | Tensor) -> Condition:
        return self.map(lambda t: t[rows])

    def mask_rows(self, keep_B: Tensor) -> Condition:
        """Switch off the rows where `rows_B` is False: no states to attend to, zero vector, zero field."""

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
    """One optimizer step: which parts learn in it. A GAN takes two, all others one."""

    name: str
    trained: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """Samples to learn from. Token sequences hold their first symbol, which is given and never predicted."""

    x: Tensor
    cond: Condition | None = None
    weight: Tensor | None = None  # B, from ratings; None counts every sample once
    mask: Tensor | None = None  # B L, or B *size of a signal: True where a position counts in the loss
    lengths: Tensor | None = None  # B, how many positions of each row are real; the rest is padding on the right
    segments: Tensor | None = None  # B L, numbers of the documents packed into a row, which must not see each other
    reference_nll: Tensor | None = None  # B, minus log-likelihoods before learning from ratings, where they are known

    def map(self, fn: TensorFn) -> Self:
        optional_fields = ("weight", "mask", "lengths", "segments", "reference_nll")
        tensors = {name: getattr(self, name) for name in optional_fields}
        mapped_tensors = {name: None if t is None else fn(t) for name, t in tensors.items()}
        cond = None if self.cond is None else self.cond.map(fn)
        return replace(self, x=fn(self.x), cond=cond, **mapped_tensors)

    def select_rows(self, rows: slice) -> Self:
        return self.map(lambda t: t[rows])

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class PreferencePairs:
    """The same prompts answered twice: row i of `win` was preferred to row i of `lose`."""

    chosen: Batch
    rejected: Batch
    weight: Tensor | None = None

    def map(self, fn: TensorFn) -> Self:
        weight = None if self.weight is None else fn(self.weight)
        return replace(self, chosen=self.chosen.map(fn), rejected=self.rejected.map(fn), weight=weight)

    def select_rows(self, rows: slice) -> Self:
        return self.map(lambda t: t[rows])

    def __len__(self) -> int:
        return len(self.chosen)


@dataclass(frozen=True)
class UnpairedPreferences:
    """Samples that were liked or disliked, each by itself."""

    batch: Batch
    desirable: Tensor  # B, True where a sample was liked
    mismatched: (
        Batch  # the same prompts, each answered by another row: what an answer gains without being the right one
    )
    baseline: Tensor | None = None  # B, that gain over the whole batch, which the loop asks for before it cuts it up
    weight: Tensor | None = None

    def map(self, fn: TensorFn) -> Self:
        baseline, weight = (None if t is None else fn(t) for t in (self.baseline, self.weight))
        batch, mismatched = self.batch.map(fn), self.mismatched.map(fn)
        return replace(
            self, batch=batch, desirable=fn(self.desirable), mismatched=mismatched, baseline=baseline, weight=weight
        )

    def select_rows(self, rows: slice) -> Self:
        return self.map(lambda t: t[rows])

    def __len__(self) -> int:
        return len(self.batch)


@dataclass(frozen=True)
class Rollouts:
    """Samples that a model drew itself, and how much better each did than the others of its group."""

    batch: Batch
    advantage: Tensor  # B
    old_nll: Tensor | None = None  # B, minus log-likelihoods when they were drawn; None: this model has just drawn them
    weight: Tensor | None = None
    reward: Tensor | None = None  # B, what the judges gave, to be told

    def map(self, fn: TensorFn) -> Self:
        tensors = {name: getattr(self, name) for name in ("old_nll", "weight", "reward")}
        mapped_tensors = {name: None if t is None else fn(t) for name, t in tensors.items()}
        return replace(self, batch=self.batch.map(fn), advantage=fn(self.advantage), **mapped_tensors)

    def select_rows(self, rows: slice) -> Self:
        return self.map(lambda t: t[rows])

    def __len__(self) -> int:
        return len(self.batch)


@dataclass(frozen=True)
class Loss:
    """What one turn costs each sample; reduced by the loop, never inside an objective."""

    per_sample: Tensor  # B, nats where the objective has a likelihood (or a bound on it)
    num_terms: Tensor  # B, how many terms each row sums (predicted tokens; 1 for a picture): the mean is sum / units
    metrics: Mapping[str, Tensor] = field(default_factory=dict)  # scalars, detached


TrainingBatch = TypeVar("TrainingBatch", bound=Batch | PreferencePairs | UnpairedPreferences | Rollouts)
TrainingBatch_contra = TypeVar("TrainingBatch_contra", contravariant=True)


class Objective(Protocol[TrainingBatch_contra]):
    """What learning means: the loss and the sampler that agree on one process."""

    @property
    def phases(self) -> tuple[Phase, ...]: ...

    @property
    def network_specs(self) -> dict[str, NetworkSpec]: ...

    def loss(self, parts: Parts, batch: TrainingBatch_contra, phase: Phase, noise: Noise) -> Loss: ...

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: Any) -> Iterator[Tensor]:
        """Yield ever better drafts, `count` rows each; the last one is the result."""
        ...


class DecodingCache(Protocol):
    """What a causal network remembers of the positions it has read: keys and values, or a state."""

    lengths: Tensor  # B, how many positions of each row were read

    def select_rows(self, rows: Tensor) -> DecodingCache:
        """The memory of the chosen rows, in the order given."""
        ...


class CausalNetwork(Protocol):
    """A network that reads left to right; reading in pieces through a cache equals reading at once."""

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
    """One thing of a medium with where it came from; for text, `value` is a str."""

    value: Any
    source: str = ""
    licence: str = "unknown"
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str  # "system", "user" or "assistant"
    content: str


@dataclass(frozen=True)
class DefaultRecipe:
    """What a model of a medium is first made of, for some objectives; the first of them where none is asked for."""

    objectives: tuple[str, ...]  # none: any
    network: str
    codecs: tuple[str, ...]  # the first whose trained model, if it needs one, is at hand
    max_bytes: float = float("inf")  # bytes of training data
    batch_size: int = 8
    context_length: int = 256  # 0: what the codec gives has one size
    text_encoder: str = ""


class Medium(Protocol):
    """How things of one kind are opened, saved, shown and checked. Starts without torch."""

    kind: str
    suffixes: tuple[str, ...]

    def open(self, path: Path) -> Item: ...

    def save(self, item: Item, path: Path) -> None: ...

    def preview(self, item: Item) -> str: ...

    def check(self, item: Item) -> list[str]: ...

    def encode(self, value: Any) -> bytes: ...

    def decode(self, data: bytes) -> Any: ...


class Codec(Protocol):
    """Media to tensors and back."""

    @property
    def space(self) -> Space: ...

    def encode(self, value: Any) -> np.ndarray: ...

    def encode_many(self, values: Iterable[Any]) -> Iterator[np.ndarray]: ...

    def decode(self, x: Sequence[int] | np.ndarray) -> Any: ...

    def save(self, folder: Path) -> None: ...


class TextEncoder(Protocol):
    """Prompts to the states that a network attends to."""

    @property
    def width(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """(S, width) float32 of root mean square 1 for every text; (0, width) for one that says nothing."""
        ...

    def compute_offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in the text what each of its states stands for begins and ends."""
        ...
