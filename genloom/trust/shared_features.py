"""The training items nearest to values in the features of their medium, by an index of coarse embeddings.

The index holds the coarse embedding of every training item; the exact ranking is that of `near_copies`, also of the
items as the codec of a model gives them back. Media without features are compared by their encoded bytes.
Shape letters: N values, M items, S numbers of an embedding.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import plugins
from genloom.media.abilities import get_ability
from genloom.store import files
from genloom.store.dataset import Dataset
from genloom.trust.copies import NUM_MATCHES, Chance, CopyReport, Match, TrainingData, read_numbered
from genloom.trust.near_copies import (
    FALSE_POSITIVE_RATE,
    NearestItem,
    Reconstruct,
    build_reconstruction,
    find_nearest_items,
)
from genloom.types import Item

CompareValues = Callable[[Any, Any], float]  # how far two values are apart, 0 if equal
Embeddings = NDArray[np.floating]

_BATCH_ROWS = 8192
_NUM_CANDIDATES = 12  # of each value, that are ranked by features


def find_shared_features(
    values: Sequence[Any], data: TrainingData, compare_values: CompareValues | None = None
) -> list[CopyReport]:
    """Find the items nearest to each value; `compare_values` gives their difference in pixels."""
    name = get_ability(data.medium, "feature_extractor")
    if not name:
        return find_identical(values, data)
    features = plugins.find_part("features", name)
    extract = features.build_extractor()
    reconstruct = None if data.load_codec is None else build_reconstruction(data.load_codec())
    chance = _measure_chance(data, features, extract, reconstruct)
    return [
        CopyReport(tuple(_build_match(value, match, data.medium, compare_values) for match in matches), chance)
        for value, matches in zip(values, _find_nearest(values, data, features, extract, reconstruct), strict=True)
    ]


def find_identical(values: Sequence[Any], data: TrainingData) -> list[CopyReport]:
    """Find the training items whose encoded bytes are those of a value, in one pass."""
    wanted: dict[str, list[Match]] = {_hash_value(data.medium, value): [] for value in values}
    for item in data.iter_documents():
        found = wanted.get(_hash_value(data.medium, item.value))
        if found is not None and len(found) < NUM_MATCHES:
            found.append(Match.from_item(item, is_identical=True))
    return [CopyReport(tuple(wanted[_hash_value(data.medium, value)]), None) for value in values]


def _hash_value(medium: ModuleType, value: Any) -> str:
    return hashlib.sha256(medium.encode(value)).hexdigest()


def _find_nearest(
    values: Sequence[Any], data: TrainingData, features: ModuleType, extract: Any, reconstruct: Reconstruct | None
) -> list[list[NearestItem]]:
    if not len(values):
        return []
    embeddings_NS = np.stack([features.compute_coarse_embedding(value) for value in values])
    items: list[Item] = []
    for dataset in data.datasets:
        stored = _open_embeddings(data, dataset, features)
        items += read_numbered(dataset, _find_candidates(embeddings_NS, stored)) if len(stored) else []
    return find_nearest_items(values, items, features.compute_coarse_embedding, extract, NUM_MATCHES, reconstruct)


def _find_candidates(embeddings_NS: Embeddings, stored_MS: Embeddings) -> set[int]:
    """Return the numbers of the items that are nearest to any of the values; reads a batch at a time."""
    best_distances = np.full((len(embeddings_NS), 0), np.inf)
    best_numbers = np.zeros((len(embeddings_NS), 0), np.int64)
    for first in range(0, len(stored_MS), _BATCH_ROWS):
        batch_MS = np.asarray(stored_MS[first : first + _BATCH_ROWS], np.float32)
        distances_NM = np.square(batch_MS).sum(1) - 2 * embeddings_NS @ batch_MS.T
        numbers = np.broadcast_to(np.arange(first, first + len(batch_MS)), distances_NM.shape)
        distances = np.concatenate([best_distances, distances_NM], 1)
        numbers = np.concatenate([best_numbers, numbers], 1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :_NUM_CANDIDATES]
        best_distances, best_numbers = (np.take_along_axis(each, order, 1) for each in (distances, numbers))
    return set(best_numbers.ravel().tolist())


def _open_embeddings(data: TrainingData, dataset: Dataset, features: ModuleType) -> Embeddings:
    """Open the coarse embeddings of a data set; compute them if they are not there yet."""
    folder = data.get_index_folder(dataset, "coarse-" + features.KEY)
    if not (folder / "embeddings.npy").is_file():
        files.remove_stale_drafts(folder.parent)
        with files.temp_folder(folder.parent) as draft:
            _write_embeddings(draft / "embeddings.npy", dataset, features)
            files.commit_folder(draft, folder)
    return np.load(folder / "embeddings.npy", mmap_mode="r")


def _write_embeddings(path: Path, dataset: Dataset, features: ModuleType) -> None:
    """Write M S in half precision; memory holds one item at a time."""
    count, stored = dataset.count_documents("train"), None
    for number, item in enumerate(dataset.iter_documents("train")):
        embedding_S = features.compute_coarse_embedding(item.value)
        if stored is None:
            stored = np.lib.format.open_memmap(path, "w+", np.float16, (count, len(embedding_S)))
        stored[number] = embedding_S
    if stored is None:
        np.save(path, np.zeros((0, 1), np.float16))
    else:
        stored.flush()


def _measure_chance(
    data: TrainingData, features: ModuleType, extract: Any, reconstruct: Reconstruct | None
) -> Chance | None:
    """Return the similarities of held-out items to their nearest training items; computed once for data and codec."""
    path = data.get_chance_path("-".join(filter(None, (features.KEY, data.codec_key))))
    if path.is_file():
        stored = json.loads(path.read_text())
        return Chance(**stored) if stored else None
    held_out = [item.value for item in data.sample_held_out()]
    held_out = held_out if reconstruct is None else [reconstruct(value) for value in held_out]
    matches_by_value = _find_nearest(held_out, data, features, extract, reconstruct)
    nearest = [matches[0].distance for matches in matches_by_value if matches]
    chance = None
    if nearest:
        limit = 1 - float(np.quantile(nearest, FALSE_POSITIVE_RATE))
        chance = Chance(len(nearest), 1 - float(np.median(nearest)), limit)
    files.write_atomic(path, json.dumps(chance and chance.to_json()))
    return chance


def _build_match(value: Any, match: NearestItem, medium: ModuleType, compare_values: CompareValues | None) -> Match:
    difference = None if compare_values is None else compare_values(value, match.item.value)
    is_identical = medium.encode(value) == medium.encode(match.item.value)
    return Match.from_item(
        match.item, similarity=1 - match.distance, pixel_difference=difference, is_identical=is_identical
    )
