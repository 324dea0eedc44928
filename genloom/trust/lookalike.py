"""The training items that look most like each output, and whether they are nearer than chance brings them.

For media that are compared in features, as pictures are. Two looks: every training item is sketched, which is cheap,
and those whose sketch comes nearest are compared in features. Shape letters: N outputs, M items, S numbers of a sketch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.types import Item

Values = Sequence[Any]
Sketch = Callable[[Any], NDArray[np.floating]]
Features = Callable[[Iterable[Any]], NDArray[np.floating]]

_CANDIDATES = 12  # items with the nearest sketches, of which features tell the nearest
_AT_ONCE = 256
CHANCE = 0.05  # share of held-out items that are taken for near copies, by which the threshold is set


@dataclass(frozen=True)
class Match:
    """A training item and how far it lies: 1 - cosine of features, 0 for the same, about 1 with nothing in common."""

    distance: float
    item: Item


@dataclass(frozen=True)
class Lookalikes:
    """The nearest training items of each output, the nearest first, beside what held-out items show by chance."""

    matches: list[list[Match]]
    threshold: float | None  # 5 % of the held-out items lie nearer to a training item; None: nothing is held out
    held: int  # how many of them it rests on

    def near_copy(self, number: int) -> bool:
        """Whether an output lies nearer to a training item than 95 % of the held-out ones do."""
        nearest = self.matches[number]
        return self.threshold is not None and bool(nearest) and nearest[0].distance < self.threshold

    @property
    def near_copies(self) -> int:
        return sum(self.near_copy(number) for number in range(len(self.matches)))


def lookalikes(
    outputs: Values, documents: Iterable[Item], held: Values, sketch: Sketch, features: Features, count: int = 3
) -> Lookalikes:
    """`nearest` of the outputs and of held-out values, which cannot have been copied, in one pass over the documents.

    The threshold of a near copy is the 5 % quantile of the distances of held-out values to their nearest.
    """
    found = nearest([*outputs, *held], documents, sketch, features, count)
    apart = [matches[0].distance for matches in found[len(outputs) :] if matches]
    threshold = float(np.quantile(apart, CHANCE)) if apart else None
    return Lookalikes(found[: len(outputs)], threshold, len(apart))


def nearest(
    outputs: Values, documents: Iterable[Item], sketch: Sketch, features: Features, count: int = 3
) -> list[list[Match]]:
    """For each output the `count` training items that look most like it, the nearest first.

    One pass over the documents; memory depends on the outputs alone.
    """
    if not len(outputs):
        return []
    sketches_NS = np.stack([sketch(value) for value in outputs])
    best: list[list[tuple[float, int, Item]]] = [[] for _ in outputs]
    number = 0
    for items in _some(documents):
        others_MS = np.stack([sketch(item.value) for item in items])
        apart_NM = np.square(sketches_NS).sum(1)[:, None] + np.square(others_MS).sum(1) - 2 * sketches_NS @ others_MS.T
        for row, found in enumerate(best):
            nearer = np.argsort(apart_NM[row], kind="stable")[:_CANDIDATES].tolist()
            found += [(float(apart_NM[row, at]), number + at, items[at]) for at in nearer]
            best[row] = sorted(found, key=lambda one: one[:2])[:_CANDIDATES]
        number += len(items)
    return _by_features(outputs, best, features, count)


def _by_features(
    outputs: Values, best: list[list[tuple[float, int, Item]]], features: Features, count: int
) -> list[list[Match]]:
    items = {number: item for found in best for _, number, item in found}  # many outputs have candidates in common
    if not items:
        return [[] for _ in outputs]
    looked = dict(zip(items, _unit(features(item.value for item in items.values())), strict=True))
    own = _unit(features(outputs))
    matches = [
        [Match(max(0.0, 1 - float(mine @ looked[number])), item) for _, number, item in found]
        for mine, found in zip(own, best, strict=True)
    ]
    return [sorted(found, key=lambda match: match.distance)[:count] for found in matches]


def _unit(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _some(documents: Iterable[Item]) -> Iterator[list[Item]]:
    left = iter(documents)
    while items := list(islice(left, _AT_ONCE)):
        yield items
