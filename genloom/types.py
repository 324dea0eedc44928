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
    Change = Callable[[Tensor], Tensor]
else:
    Parts = Mapping
    Change = Callable


@dataclass(frozen=True)
class Tokens:
    """A sequence of symbols: text, notes, codec codes, SELFIES."""

    vocab: int
    length: int  # the longest sequence a network is asked to read
    start: int = 0  # the symbol that begins a document
    stop: int = 0  # the symbol that ends one
    grid: tuple[int, ...] = ()  # of codes that fill a grid after the start, as a picture's do; (): of any length


@dataclass(frozen=True)
class Signal:
    """An array of numbers: size () vector, (L,) audio, (H, W) image, (T, H, W) video."""

    channels: int
    size: tuple[int, ...] = ()


Space = Tokens | Signal


@dataclass(frozen=True)
class Cond:
    """Which conditions a role is given: the width of each kind, 0 where there is none."""

    tokens: int = 0
    vector: int = 0
    field: int = 0


@dataclass(frozen=True)
class Role:
    """What an objective asks of a network. The only thing the two know of each other."""

    takes: Space
    gives: Space
    causal: bool = False
    timed: bool = False
    cond: Cond = Cond()


@dataclass(frozen=True)
class Condition:
    """What a sample is made from. A row switched off by `keep` is the unconditional one of guidance."""

    tokens: Tensor | None = None  # B S D: a prompt's text states, for cross-attention
    mask: Tensor | None = None  # B S, True where `tokens` holds a state; None: everywhere
    vector: Tensor | None = None  # B D: class, target properties, pooled prompt
    field: Tensor | None = None  # B C *size, the grid of x: known pixels and their mask, loads and supports

    def map(self, change: Change) -> Condition:
        """The same condition with `change` applied to every tensor that is there."""
        return Condition(*(None if t is None else change(t) for t in (self.tokens, self.mask, self.vector, self.field)))

    def rows(self, rows: slice | Tensor) -> Condition:
        return self.map(lambda t: t[rows])

    def keep(self, rows_B: Tensor) -> Condition:
        """Switch off the rows where `rows_B` is False: no states to attend to, zero vector, zero field."""

        def off(t: Tensor | None) -> Tensor | None:
            return None if t is None else t * rows_B.view(-1, *[1] * (t.ndim - 1)).to(t.dtype)

        mask = self.mask
        if self.tokens is not None and mask is None:
            mask = self.tokens.new_ones(self.tokens.shape[:2], dtype=rows_B.dtype)
        return Condition(
            off(self.tokens), None if mask is None else mask & rows_B[:, None], off(self.vector), off(self.field)
        )


@dataclass(frozen=True)
class Turn:
    """One optimizer step: which parts learn in it. A GAN takes two, all others one."""

    name: str
    trains: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """Samples to learn from. Token sequences hold their first symbol, which is given and never predicted."""

    x: Tensor
    cond: Condition | None = None
    weight: Tensor | None = None  # B, from ratings; None counts every sample once
    mask: Tensor | None = None  # B L, or B *size of a signal: True where a position counts in the loss
    lengths: Tensor | None = None  # B, how many positions of each row are real; the rest is padding on the right
    segments: Tensor | None = None  # B L, numbers of the documents packed into a row, which must not see each other
    reference: Tensor | None = None  # B, minus log-likelihoods before learning from ratings, where they are known

    def map(self, change: Change) -> Self:
        optional = ("weight", "mask", "lengths", "segments", "reference")
        there = {name: getattr(self, name) for name in optional}
        changed = {name: None if t is None else change(t) for name, t in there.items()}
        cond = None if self.cond is None else self.cond.map(change)
        return replace(self, x=change(self.x), cond=cond, **changed)

    def rows(self, rows: slice) -> Self:
        return self.map(lambda t: t[rows])

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Pairs:
    """The same prompts answered twice: row i of `win` was preferred to row i of `lose`."""

    win: Batch
    lose: Batch
    weight: Tensor | None = None

    def map(self, change: Change) -> Self:
        weight = None if self.weight is None else change(self.weight)
        return replace(self, win=self.win.map(change), lose=self.lose.map(change), weight=weight)

    def rows(self, rows: slice) -> Self:
        return self.map(lambda t: t[rows])

    def __len__(self) -> int:
        return len(self.win)


@dataclass(frozen=True)
class Opinions:
    """Samples that were liked or disliked, each by itself."""

    batch: Batch
    good: Tensor  # B, True where a sample was liked
    others: Batch  # the same prompts, each answered by another row: what an answer gains without being the right one
    baseline: Tensor | None = None  # B, that gain over the whole batch, which the loop asks for before it cuts it up
    weight: Tensor | None = None

    def map(self, change: Change) -> Self:
        baseline, weight = (None if t is None else change(t) for t in (self.baseline, self.weight))
        batch, others = self.batch.map(change), self.others.map(change)
        return replace(self, batch=batch, good=change(self.good), others=others, baseline=baseline, weight=weight)

    def rows(self, rows: slice) -> Self:
        return self.map(lambda t: t[rows])

    def __len__(self) -> int:
        return len(self.batch)


@dataclass(frozen=True)
class Attempts:
    """Samples that a model drew itself, and how much better each did than the others of its group."""

    batch: Batch
    advantage: Tensor  # B
    before: Tensor | None = None  # B, minus log-likelihoods when they were drawn; None: this model has just drawn them
    weight: Tensor | None = None
    earned: Tensor | None = None  # B, what the judges gave, to be told

    def map(self, change: Change) -> Self:
        there = {name: getattr(self, name) for name in ("before", "weight", "earned")}
        changed = {name: None if t is None else change(t) for name, t in there.items()}
        return replace(self, batch=self.batch.map(change), advantage=change(self.advantage), **changed)

    def rows(self, rows: slice) -> Self:
        return self.map(lambda t: t[rows])

    def __len__(self) -> int:
        return len(self.batch)


@dataclass(frozen=True)
class Loss:
    """What one turn costs each sample; reduced by the loop, never inside an objective."""

    per_sample: Tensor  # B, nats where the objective has a likelihood (or a bound on it)
    units: Tensor  # B, how many terms each row sums (predicted tokens; 1 for a picture): the mean is sum / units
    metrics: Mapping[str, Tensor] = field(default_factory=dict)  # scalars, detached


Learned = TypeVar("Learned", bound=Batch | Pairs | Opinions | Attempts)
Learned_contra = TypeVar("Learned_contra", contravariant=True)


class Objective(Protocol[Learned_contra]):
    """What learning means: the loss and the sampler that agree on one process."""

    @property
    def turns(self) -> tuple[Turn, ...]: ...

    @property
    def roles(self) -> dict[str, Role]: ...

    def loss(self, parts: Parts, batch: Learned_contra, turn: Turn, noise: Noise) -> Loss: ...

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, controls: Any) -> Iterator[Tensor]:
        """Yield ever better drafts, `count` rows each; the last one is the result."""
        ...


class Cache(Protocol):
    """What a causal network remembers of the positions it has read: keys and values, or a state."""

    lengths: Tensor  # B, how many positions of each row were read

    def rows(self, rows: Tensor) -> Cache:
        """The memory of the chosen rows, in the order given."""
        ...


class CausalNetwork(Protocol):
    """A network that reads left to right; reading in pieces through a cache equals reading at once."""

    def start(self, count: int, length: int) -> Cache: ...

    def __call__(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: Cache | None = None,
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
class Beginning:
    """What a model of a medium is first made of, for some objectives; the first of them where none is asked for."""

    objectives: tuple[str, ...]  # none: any
    network: str
    codecs: tuple[str, ...]  # the first whose trained model, if it needs one, is at hand
    up_to: float = float("inf")  # bytes of training data
    rows: int = 8
    length: int = 256  # 0: what the codec gives has one size
    prompts: str = ""


class Medium(Protocol):
    """How things of one kind are opened, saved, shown and checked. Starts without torch."""

    kind: str
    suffixes: tuple[str, ...]

    def open(self, path: Path) -> Item: ...

    def save(self, item: Item, path: Path) -> None: ...

    def preview(self, item: Item) -> str: ...

    def check(self, item: Item) -> list[str]: ...

    def pack(self, value: Any) -> bytes: ...

    def unpack(self, data: bytes) -> Any: ...


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

    def states(self, texts: Sequence[str]) -> list[np.ndarray]:
        """(S, width) float32 of root mean square 1 for every text; (0, width) for one that says nothing."""
        ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in the text what each of its states stands for begins and ends."""
        ...
