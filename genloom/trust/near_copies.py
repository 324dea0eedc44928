"""The nearest training items of each output, and whether they are nearer than chance explains.

For media that are compared in features, as images are. The search has two stages: a cheap coarse embedding of every
training item selects candidates, and these are ranked by features. A model whose codec loses something cannot give a
training item back as it is, so the nearest ones are also compared as the codec gives them back; so are the held-out
values that set the threshold. Shape letters: N outputs, M items, D features.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.memory import split_items
from genloom.types import Item

Values = Sequence[Any]
CoarseEmbedding = Callable[[Any], NDArray[np.floating]]
Reconstruct = Callable[[Any], Any]  # a value as the codec of a model gives it back
FeatureExtractor = Callable[[Iterable[Any]], NDArray[np.floating]]

_NUM_CANDIDATES = 12  # per output, that are ranked by features
_NUM_RECONSTRUCTED = 4  # of them, the nearest, that are also compared as the codec gives them back
_BATCH_SIZE, _BATCH_BYTES = 256, 1 << 23  # stored bytes of values that are compared together
FALSE_POSITIVE_RATE = 0.05  # share of held-out items that count as near copies; it sets the threshold


def build_reconstruction(codec: Any) -> Reconstruct:
    """Return the way of a value through a codec, to its tensors and back."""
    return lambda value: codec.decode(codec.encode(value))


@dataclass(frozen=True)
class NearestItem:
    """A training item and its distance, 1 - cosine of features: 0 if equal, about 1 if unrelated."""

    distance: float
    item: Item


@dataclass(frozen=True)
class NearCopyReport:
    """The nearest training items of each output, nearest first, and the threshold from held-out items."""

    matches: list[list[NearestItem]]
    threshold: float | None  # 5 % of the held-out items are nearer to a training item; None without held-out items
    num_held_out: int  # items behind the threshold

    def is_near_copy(self, index: int) -> bool:
        """Whether an output is nearer to a training item than 95 % of the held-out items are."""
        nearest = self.matches[index]
        return self.threshold is not None and bool(nearest) and nearest[0].distance < self.threshold

    @property
    def num_near_copies(self) -> int:
        return sum(self.is_near_copy(index) for index in range(len(self.matches)))


def find_near_copies(
    outputs: Values,
    documents: Iterable[Item],
    held_out: Values,
    coarse_embedding: CoarseEmbedding,
    extract_features: FeatureExtractor,
    count: int = 3,
    reconstruct: Reconstruct | None = None,
) -> NearCopyReport:
    """Find the nearest items of outputs and of held-out values, which cannot have been copied, in one pass.

    The threshold of a near copy is the 5 % quantile of the held-out values' distances to their nearest item.
    """
    held_out = held_out if reconstruct is None else [reconstruct(value) for value in held_out]
    matches_by_value = find_nearest_items(
        [*outputs, *held_out], documents, coarse_embedding, extract_features, count, reconstruct
    )
    held_out_distances = [matches[0].distance for matches in matches_by_value[len(outputs) :] if matches]
    threshold = float(np.quantile(held_out_distances, FALSE_POSITIVE_RATE)) if held_out_distances else None
    return NearCopyReport(matches_by_value[: len(outputs)], threshold, len(held_out_distances))


def find_nearest_items(
    outputs: Values,
    documents: Iterable[Item],
    coarse_embedding: CoarseEmbedding,
    extract_features: FeatureExtractor,
    count: int = 3,
    reconstruct: Reconstruct | None = None,
) -> list[list[NearestItem]]:
    """Find the `count` training items nearest to each output, nearest first.

    It takes one pass over the documents; memory depends on the outputs alone. With `reconstruct`, the distance to an
    item is the smaller one of those to the item and to its reconstruction.
    """
    if not len(outputs):
        return []
    output_embeddings_NS = np.stack([coarse_embedding(value) for value in outputs])
    candidates: list[list[tuple[float, int, Item]]] = [[] for _ in outputs]
    item_offset = 0
    for items in split_items(documents, _BATCH_BYTES, _BATCH_SIZE):
        item_embeddings_MS = np.stack([coarse_embedding(item.value) for item in items])
        distances_NM = (
            np.square(output_embeddings_NS).sum(1)[:, None]
            + np.square(item_embeddings_MS).sum(1)
            - 2 * output_embeddings_NS @ item_embeddings_MS.T
        )
        for row, row_candidates in enumerate(candidates):
            closest = np.argsort(distances_NM[row], kind="stable")[:_NUM_CANDIDATES].tolist()
            row_candidates += [
                (float(distances_NM[row, index]), item_offset + index, items[index]) for index in closest
            ]
            candidates[row] = sorted(row_candidates, key=lambda candidate: candidate[:2])[:_NUM_CANDIDATES]
        item_offset += len(items)
    return _rank_by_features(outputs, candidates, extract_features, count, reconstruct)


def _rank_by_features(
    outputs: Values,
    candidates: list[list[tuple[float, int, Item]]],
    extract_features: FeatureExtractor,
    count: int,
    reconstruct: Reconstruct | None,
) -> list[list[NearestItem]]:
    items = {number: item for row_candidates in candidates for _, number, item in row_candidates}
    if not items:
        return [[] for _ in outputs]
    item_features = _extract_numbered({number: item.value for number, item in items.items()}, extract_features)
    output_features_ND = _normalize_rows(extract_features(outputs))
    rows = [
        {number: _measure_distance(features_D, item_features[number]) for _, number, _ in row_candidates}
        for features_D, row_candidates in zip(output_features_ND, candidates, strict=True)
    ]
    if reconstruct is not None:
        nearest = [sorted(row, key=lambda number: row[number])[:_NUM_RECONSTRUCTED] for row in rows]
        values = {number: reconstruct(items[number].value) for number in {n for numbers in nearest for n in numbers}}
        given_back = _extract_numbered(values, extract_features)
        for features_D, row, numbers in zip(output_features_ND, rows, nearest, strict=True):
            row |= {n: min(row[n], _measure_distance(features_D, given_back[n])) for n in numbers}
    return [
        [NearestItem(row[number], items[number]) for number in sorted(row, key=lambda number: row[number])[:count]]
        for row in rows
    ]


def _extract_numbered(values: Mapping[int, Any], extract_features: FeatureExtractor) -> dict[int, NDArray[np.floating]]:
    """Return the normalized features of values by their numbers."""
    return dict(zip(values, _normalize_rows(extract_features(values.values())), strict=True))


def _measure_distance(first_D: NDArray[np.floating], second_D: NDArray[np.floating]) -> float:
    return max(0.0, 1 - float(first_D @ second_D))


def _normalize_rows(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
