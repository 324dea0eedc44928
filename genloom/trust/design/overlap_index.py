"""The material of all training designs as bits in a file, and those with most of it in common with others.

Shape letters: N designs, M training designs, T turns, B bytes of a signature.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from genloom.media.design.mechanics.resampling import resample_density
from genloom.media.design.mechanics.turning import NUM_TURNS, turn_array
from genloom.media.design.structure import Structure
from genloom.store import files
from genloom.store.dataset import Dataset
from genloom.trust.copies import Chance, TrainingData, read_numbered
from genloom.trust.near_copies import FALSE_POSITIVE_RATE
from genloom.types import Item

KIND = "overlap-1"  # of the index
GRIDS = {2: 32, 3: 12}  # elements on a side, by the number of axes, to which designs are resampled
NUM_BYTES = 224  # the bits of 12³ elements, and the number of axes in the last byte
BATCH_ROWS = 4096


def encode_density(density: np.ndarray) -> np.ndarray:
    """Return the packed bits of a density on the grid of comparison, B."""
    solid = resample_density(density, (GRIDS[density.ndim],) * density.ndim) >= 0.5
    signature = np.zeros(NUM_BYTES, np.uint8)
    bits = np.packbits(solid)
    signature[: len(bits)], signature[-1] = bits, density.ndim
    return signature


def encode_turns(value: Structure) -> np.ndarray:
    """Return the signatures of the turns and mirror images of a plane design, T B; of another one, its own."""
    turns = range(NUM_TURNS) if value.axes == 2 else (0,)
    return np.stack(
        [encode_density(turn_array(value.density, turn) if value.axes == 2 else value.density) for turn in turns]
    )


def measure_overlaps(turns_TB: np.ndarray, stored_MB: np.ndarray) -> np.ndarray:
    """Return the greatest intersection over union of a design's turns with each stored one, M; 0 for other axes."""
    rows = np.array(stored_MB)
    has_axes = rows[:, -1] == turns_TB[0, -1]
    rows[:, -1] = 0
    stored, best = rows.view(np.uint64), np.zeros(len(rows))
    for turn_B in turns_TB:
        words = np.append(turn_B[:-1], np.uint8(0)).view(np.uint64)
        shared = np.bitwise_count(stored & words).sum(1, dtype=np.int64)
        union = np.bitwise_count(stored | words).sum(1, dtype=np.int64)
        best = np.maximum(best, shared / np.maximum(union, 1))
    return np.where(has_axes, best, 0.0)


def find_nearest_designs(values: Sequence[Structure], data: TrainingData, count: int) -> list[list[tuple[Item, float]]]:
    """Return for each value the training designs with most material in common, nearest first."""
    found: list[list[tuple[Item, float]]] = [[] for _ in values]
    for dataset in data.datasets:
        stored_MB = open_signatures(data, dataset)
        rows = [find_top(encode_turns(value), stored_MB, count) for value in values]
        numbers = sorted({number for row in rows for number, _ in row})
        items = dict(zip(numbers, read_numbered(dataset, numbers), strict=True)) if numbers else {}
        for result, row in zip(found, rows, strict=True):
            result += [(items[number], overlap) for number, overlap in row]
    return [sorted(result, key=lambda pair: -pair[1])[:count] for result in found]


def find_top(turns_TB: np.ndarray, stored_MB: np.ndarray, count: int) -> list[tuple[int, float]]:
    """Return the numbers and overlaps of the nearest stored designs."""
    parts = [measure_overlaps(turns_TB, stored_MB[n : n + BATCH_ROWS]) for n in range(0, len(stored_MB), BATCH_ROWS)]
    overlaps = np.concatenate(parts or [np.zeros(0)])
    order = np.argsort(-overlaps, kind="stable")[:count]
    return [(int(number), float(overlaps[number])) for number in order if overlaps[number] > 0]


def open_signatures(data: TrainingData, dataset: Dataset) -> np.ndarray:
    """Open the signatures of a data set, M B; compute them, some hundred a second, if they are not there yet."""
    folder = data.get_index_folder(dataset, KIND)
    if not (folder / "signatures.npy").is_file():
        files.remove_stale_drafts(folder.parent)
        with files.temp_folder(folder.parent) as draft:
            shape = (dataset.count_documents("train"), NUM_BYTES)
            stored = np.lib.format.open_memmap(draft / "signatures.npy", "w+", np.uint8, shape)
            for number, signature in enumerate(iter_signatures(dataset)):
                stored[number] = signature
            stored.flush()
            files.commit_folder(draft, folder)
    return np.load(folder / "signatures.npy", mmap_mode="r", allow_pickle=False)


def iter_signatures(dataset: Dataset) -> Iterator[np.ndarray]:
    return (encode_density(item.value.density) for item in dataset.iter_documents("train"))


def measure_chance(data: TrainingData) -> Chance | None:
    """Return how much held-out designs have in common with their nearest training design; None without any."""
    held_out = [item.value for item in data.sample_held_out()]
    if not held_out:
        return None
    overlaps = np.array([row[0][1] if row else 0.0 for row in find_nearest_designs(held_out, data, 1)])
    return Chance(len(held_out), float(np.median(overlaps)), float(np.quantile(overlaps, 1 - FALSE_POSITIVE_RATE)))
