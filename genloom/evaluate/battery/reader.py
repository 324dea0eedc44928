"""How likely a model finds continuations of a text, and whether it would write them: read in batches, beginnings once.

Shape letters: B rows, L length, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from genloom.model import Model
from genloom.types import CausalNetwork, Tokens

ROWS = 16  # contexts read side by side


@dataclass(frozen=True)
class Continued:
    """What a continuation costs a model."""

    nats: float  # minus log-likelihood given the context
    guessed: bool  # whether each of its symbols was the likeliest one


class Reader(Protocol):
    """Whoever can say of each context what its continuations cost."""

    def __call__(self, asked: Sequence[tuple[str, Sequence[str]]]) -> Iterator[list[Continued]]: ...


@dataclass(frozen=True)
class Cut:
    """A context and its continuations in symbols."""

    begun: np.ndarray  # what all continuations share of it, after the symbol that starts a document
    rest: list[np.ndarray]  # one row a continuation, with what of the context is not in `begun`


def reader(model: Model) -> Reader:
    """The reader that a model is; ValueError for one that does not write from left to right."""
    if set(model.objective.roles) != {"model"} or not model.objective.roles["model"].causal:
        raise ValueError(
            f"The battery asks how a text goes on, and {model.ref} does not write from left to right. "
            "Choose a model with the objective autoregressive."
        )

    def read(asked: Sequence[tuple[str, Sequence[str]]]) -> Iterator[list[Continued]]:
        for first in range(0, len(asked), ROWS):
            yield from _batch(model, [cut(model, *pair) for pair in asked[first : first + ROWS]])

    return read


def cut(model: Model, context: str, continuations: Sequence[str]) -> Cut:
    """The symbols of each whole text, parted where all of them still agree and the context has not ended."""
    codec, space = cast(Any, model.codec), model.codec.space
    assert isinstance(space, Tokens)
    rows = [np.asarray(codec.encode(context + text), dtype=np.int64) for text in continuations]
    shared = min(_inside(codec, row, context, context + text) for row, text in zip(rows, continuations, strict=True))
    shared = min(shared, _agreed(rows))
    return Cut(np.concatenate([[space.start], rows[0][:shared]]), [row[shared:] for row in rows])


def _inside(codec: Any, row: np.ndarray, context: str, whole: str) -> int:
    """How many symbols of a row lie in the context with all their bytes."""
    ends = np.cumsum([len(codec.bytes_of(row[i : i + 1])) for i in range(len(row))])
    ends -= ends[-1] - len(whole.encode())  # some vocabularies write a blank before the text
    return int((ends <= len(context.encode())).sum())


def _agreed(rows: Sequence[np.ndarray]) -> int:
    """How many symbols all rows have in common at their beginning."""
    return sum(
        1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*(r.tolist() for r in rows), strict=False))
    )


@torch.inference_mode()
def _batch(model: Model, cuts: list[Cut]) -> Iterator[list[Continued]]:
    """Reads what all contexts share once, then each context once, then every continuation."""
    network = cast(CausalNetwork, model.parts["model"])
    begun = [c.begun for c in cuts]
    shared = min(_agreed(begun), min(map(len, begun)) - 1)
    tails = [row for c in cuts for row in c.rest]
    room = max(map(len, begun)) + max(map(len, tails))
    cache = network.start(1, room)
    if shared:
        network(torch.from_numpy(begun[0][None, :shared]).to(model.device), cache=cache)
    cache = cache.rows(torch.zeros(len(cuts), dtype=torch.long, device=model.device))
    before_BV = _read(network, [row[shared:] for row in begun], cache, model.device, last=True)[:, 0]
    of = torch.tensor([i for i, c in enumerate(cuts) for _ in c.rest], device=model.device)
    after_BLV = _read(network, tails, cache.rows(of), model.device)
    logits_BLV = torch.cat([before_BV[of][:, None], after_BLV[:, :-1]], 1)
    costs = iter([_cost(row_LV[: len(tail)], tail) for row_LV, tail in zip(logits_BLV, tails, strict=True)])
    for c in cuts:
        yield [next(costs) for _ in c.rest]


def _read(
    network: CausalNetwork, rows: list[np.ndarray], cache: Any, device: torch.device, last: bool = False
) -> Tensor:
    """The logits (B L V) after every symbol, or only after each row's last (B 1 V)."""
    longest = max(map(len, rows))
    x_BL = torch.from_numpy(np.stack([np.pad(row, (0, longest - len(row))) for row in rows])).to(device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    logits_BLV = network(x_BL, lengths=lengths, cache=cache).float()
    return logits_BLV[torch.arange(len(rows), device=device), lengths - 1][:, None] if last else logits_BLV


def _cost(logits_LV: Tensor, row: np.ndarray) -> Continued:
    wanted = torch.from_numpy(row).to(logits_LV.device)
    nats = torch.nn.functional.cross_entropy(logits_LV, wanted, reduction="sum")
    return Continued(float(nats), bool((logits_LV.argmax(1) == wanted).all()))
