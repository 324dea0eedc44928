"""The fingerprints of all training molecules in a file, and the nearest of them to others.

Shape letters: N molecules, M training molecules, B bytes of a fingerprint.
"""

import json
from collections.abc import Iterator, Sequence

import numpy as np

from genloom.media.molecule.fingerprints import NUM_BITS, compute_fingerprint, to_bits
from genloom.media.molecule.molecule import Molecule, find_mol
from genloom.store import files
from genloom.store.dataset import Dataset
from genloom.trust.copies import Chance, TrainingData, read_numbered
from genloom.trust.near_copies import FALSE_POSITIVE_RATE
from genloom.types import Item

KIND = "morgan-2"  # of the index
NUM_BYTES = NUM_BITS // 8
BATCH_ROWS = 1 << 15  # training molecules that are compared at once


def find_nearest_molecules(
    values: Sequence[Molecule], data: TrainingData, count: int
) -> list[list[tuple[Item, float]]]:
    """Return for each value the nearest training molecules with their similarities, nearest first."""
    found: list[list[tuple[Item, float]]] = [[] for _ in values]
    bits_NB = encode_molecules(values)
    for dataset in data.datasets:
        stored_MB = open_fingerprints(data, dataset)
        rows = [find_top(bits_B, stored_MB, count) if bits_B.any() else [] for bits_B in bits_NB]
        items = read_by_number(dataset, {number for row in rows for number, _ in row})
        for result, row in zip(found, rows, strict=True):
            result += [(items[number], similarity) for number, similarity in row]
    return [sorted(result, key=lambda pair: -pair[1])[:count] for result in found]


def read_by_number(dataset: Dataset, numbers: set[int]) -> dict[int, Item]:
    """Return training documents by their numbers."""
    return dict(zip(sorted(numbers), read_numbered(dataset, numbers), strict=True)) if numbers else {}


def find_top(bits_B: np.ndarray, stored_MB: np.ndarray, count: int) -> list[tuple[int, float]]:
    """Return the numbers and similarities of the most similar rows, the first of equal ones first."""
    similarities = np.concatenate([compute_tanimoto(bits_B, stored_MB[n : n + BATCH_ROWS])
                                   for n in range(0, len(stored_MB), BATCH_ROWS)] or [np.zeros(0)])  # fmt: skip
    order = np.argsort(-similarities, kind="stable")[:count]
    return [(int(number), float(similarities[number])) for number in order if similarities[number] > 0]


def compute_tanimoto(bits_B: np.ndarray, stored_MB: np.ndarray) -> np.ndarray:
    """Return the Tanimoto similarity of packed bits to rows of them, M; 0 for empty rows."""
    words, rows = bits_B.view(np.uint64), np.ascontiguousarray(stored_MB).view(np.uint64)
    shared = np.bitwise_count(rows & words).sum(1, dtype=np.int64)
    union = np.bitwise_count(rows).sum(1, dtype=np.int64) + int(np.bitwise_count(words).sum()) - shared
    return shared / np.maximum(union, 1)


def encode_molecules(values: Sequence[Molecule]) -> np.ndarray:
    """Return the packed fingerprints of molecules, N B; zeros for an invalid one."""
    bits_NB = np.zeros((len(values), NUM_BYTES), np.uint8)
    for row, value in enumerate(values):
        if (mol := find_mol(value)) is not None:
            bits_NB[row] = to_bits([compute_fingerprint(mol)])[0]
    return bits_NB


def open_fingerprints(data: TrainingData, dataset: Dataset) -> np.ndarray:
    """Open the fingerprints of a data set, M B; compute them, about 5,000 a second, if they are not there yet."""
    folder = data.get_index_folder(dataset, KIND)
    if not (folder / "fingerprints.npy").is_file():
        files.remove_stale_drafts(folder.parent)
        with files.temp_folder(folder.parent) as draft:
            shape = (dataset.count_documents("train"), NUM_BYTES)
            stored = np.lib.format.open_memmap(draft / "fingerprints.npy", "w+", np.uint8, shape)
            for first, batch in iter_batches(dataset):
                stored[first : first + len(batch)] = encode_molecules(batch)
            stored.flush()
            files.commit_folder(draft, folder)
    return np.load(folder / "fingerprints.npy", mmap_mode="r", allow_pickle=False)


def iter_batches(dataset: Dataset, size: int = 1024) -> Iterator[tuple[int, list[Molecule]]]:
    """Yield the training molecules of a data set in batches, with the number of the first."""
    batch: list[Molecule] = []
    first = 0
    for item in dataset.iter_documents("train"):
        batch.append(item.value)
        if len(batch) == size:
            yield first, batch
            first, batch = first + size, []
    if batch:
        yield first, batch


def measure_chance(data: TrainingData) -> Chance | None:
    """Return the similarities of held-out molecules to their nearest training molecules; computed once."""
    path = data.get_chance_path(KIND)
    if path.is_file():
        stored = json.loads(path.read_text())
        return Chance(**stored) if stored else None
    held_out = [item.value for item in data.sample_held_out()]
    nearest = [found[0][1] for found in find_nearest_molecules(held_out, data, 1) if found]
    chance = None
    if nearest:
        limit = float(np.quantile(nearest, 1 - FALSE_POSITIVE_RATE))
        chance = Chance(len(nearest), float(np.median(nearest)), limit)
    files.write_atomic(path, json.dumps(chance and chance.to_json()))
    return chance
