"""The conditions of samples, encoded on disk, and their part of a batch.

Shape letters: N samples, B rows, P states of all texts, S states of one, D width, C channels.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genloom.conditioners import PROMPT, Conditioners, merge_conditions
from genloom.errors import GenloomError
from genloom.store.files import open_replacement
from genloom.train.data.order import build_rng
from genloom.types import Condition, Conditioner, Item, SignalSpace, Space, is_open_sequence

PAD_TO_MULTIPLE_OF = 8  # of texts, so that a compiled network sees few shapes
DROPOUT_STREAM = 1  # of the noise; 0 is the order
CondDropout = float | Mapping[str, float]  # the share of rows without any condition, or by condition


@dataclass(frozen=True)
class EncodedCondition:
    """A condition of N samples: vectors N D, fields N C *size, or the states P D of texts.

    The states of sample i are values[ends[i - 1] : ends[i]].
    """

    values: np.ndarray  # float16, float32 if vectors
    ends: np.ndarray | None = None  # of texts

    def build(self, indices: np.ndarray) -> Condition:
        """Return the condition of the samples with these indices."""
        if self.ends is None:
            values = torch.from_numpy(np.asarray(self.values[indices]).astype(np.float32))
            return Condition(vector=values) if values.ndim == 2 else Condition(field=values)
        starts = np.where(indices > 0, self.ends[indices - 1], 0)
        sizes = self.ends[indices] - starts
        padded_length = -(-max(int(sizes.max(initial=0)), 1) // PAD_TO_MULTIPLE_OF) * PAD_TO_MULTIPLE_OF
        tokens_BSD = np.zeros((len(indices), padded_length, self.values.shape[1]), np.float32)
        for row, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            tokens_BSD[row, :size] = self.values[start : start + size]
        mask_BS = np.arange(padded_length) < sizes[:, None]
        return Condition(torch.from_numpy(tokens_BSD), torch.from_numpy(mask_BS))

    @property
    def is_given(self) -> bool:
        """Whether any sample has the condition."""
        return len(self.values) > 0 and bool(self.ends is not None or self.values.any())


EncodedConditions = Mapping[str, EncodedCondition]


def encode_values(conditioners: Conditioners, given: Sequence[Mapping[str, Any]]) -> dict[str, EncodedCondition]:
    """Encode the values of samples, by condition."""
    return {
        name: encode_condition(conditioner.encode([values.get(name) for values in given]))
        for name, conditioner in conditioners.items()
    }


def encode_condition(cond: Condition) -> EncodedCondition:
    if cond.tokens is None:
        if cond.vector is not None:
            return EncodedCondition(cond.vector.numpy())
        assert cond.field is not None, "a condition has one kind"
        return EncodedCondition(cond.field.numpy().astype(np.float16))
    tokens_BSD = cond.tokens.numpy()
    mask_BS = np.ones(tokens_BSD.shape[:2], bool) if cond.mask is None else cond.mask.numpy()
    return EncodedCondition(tokens_BSD[mask_BS].astype(np.float16), np.cumsum(mask_BS.sum(1), dtype=np.int64))


def get_values(conditioners: Conditioners, item: Item) -> dict[str, Any]:
    """Return the values of a training item, by condition."""
    return {name: conditioner.get_value(item) for name, conditioner in conditioners.items()}


def concat_encoded(parts: Sequence[EncodedConditions]) -> dict[str, EncodedCondition]:
    """Concatenate the conditions of one or more sets of samples."""
    conditions = {}
    for name in parts[0]:
        values, ends = pad_fields([part[name].values for part in parts]), [part[name].ends for part in parts]
        offsets = np.cumsum([0, *map(len, values)])
        shifted_ends = [e + offset for e, offset in zip(ends, offsets, strict=False) if e is not None]
        conditions[name] = EncodedCondition(
            np.concatenate(values), np.concatenate(shifted_ends) if shifted_ends else None
        )
    return conditions


def pad_fields(fields: list[np.ndarray]) -> list[np.ndarray]:
    """Pad fields N C L … with zeros to the longest first axis."""
    if fields[0].ndim < 3:
        return fields
    length = max(field.shape[2] for field in fields)
    return [np.pad(f, [(0, 0)] * 2 + [(0, length - f.shape[2])] + [(0, 0)] * (f.ndim - 3)) for f in fields]


def build_condition(
    conditions: EncodedConditions, indices: np.ndarray, keep: Mapping[str, np.ndarray] | None = None
) -> Condition | None:
    """Return the merged condition of these samples; rows where `keep` is False lose that condition."""
    if not conditions:
        return None
    by_name = {name: condition.build(indices) for name, condition in conditions.items()}
    if keep is not None:
        by_name = {name: cond.mask_rows(torch.from_numpy(keep[name])) for name, cond in by_name.items()}
    return merge_conditions(by_name)


def draw_kept(
    names: Sequence[str], cond_dropout: CondDropout, count: int, seed: int, step: int
) -> dict[str, np.ndarray]:
    """Draw from (seed, step) which rows of a step keep each condition.

    Classifier-free guidance needs rows without (Ho and Salimans 2022). A share of the rows loses all conditions. If
    there are several, each is also lost on its own in that share of the rows, so that a model can be given any of them
    alone. With shares by condition, each is lost on its own only.
    """
    rng = build_rng(seed, step, DROPOUT_STREAM)
    if isinstance(cond_dropout, Mapping):
        return {name: rng.random(count) >= cond_dropout.get(name, 0.0) for name in names}
    keeps_any_B = rng.random(count) >= cond_dropout
    if len(names) == 1:
        return {names[0]: keeps_any_B}
    return {name: keeps_any_B & (rng.random(count) >= cond_dropout) for name in names}


def list_files(name: str, conditioner: Conditioner) -> tuple[str, ...]:
    """Return the names of a condition's files: of its values, and for texts of their ends."""
    prefix = "train." if name == PROMPT else f"train.{name}."
    if conditioner.spec.tokens:
        return (f"{prefix}states", f"{prefix}ends")
    return (f"{prefix}vectors",) if conditioner.spec.vector else (f"{prefix}fields",)


class ConditionWriter:
    """Appends the conditions of one chunk of samples after another to their files."""

    def __init__(self, files: Mapping[str, Sequence[Any]]):
        self.files, self.num_values = files, dict.fromkeys(files, 0)

    def write(self, conditions: EncodedConditions) -> None:
        for name, condition in conditions.items():
            values_file, *ends_files = self.files[name]
            values_file.write(condition.values.tobytes())
            if condition.ends is not None:
                ends_files[0].write((condition.ends + self.num_values[name]).tobytes())
            self.num_values[name] += len(condition.values)


@contextmanager
def open_writer(folder: Path, conditioners: Conditioners) -> Generator[ConditionWriter]:
    """Open the files of all conditions; they replace earlier ones when all is written."""
    with ExitStack() as stack:
        yield ConditionWriter(
            {
                name: [
                    stack.enter_context(open(stack.enter_context(open_replacement(folder / file)), "wb"))
                    for file in list_files(name, conditioner)
                ]
                for name, conditioner in conditioners.items()
            }
        )


def read_conditions(folder: Path, conditioners: Conditioners) -> dict[str, EncodedCondition]:
    """Memory-map the conditions in a run's folder."""
    conditions = {}
    for name, conditioner in conditioners.items():
        values_path, *ends_paths = [folder / file for file in list_files(name, conditioner)]
        spec = conditioner.spec
        if ends_paths:
            states = open_memmap(values_path, np.float16, (spec.tokens,))
            conditions[name] = EncodedCondition(states, np.fromfile(ends_paths[0], np.int64))
        elif spec.vector:
            conditions[name] = EncodedCondition(open_memmap(values_path, np.float32, (spec.vector,)))
        else:
            empty_field = conditioner.encode([None]).field
            assert empty_field is not None, "a condition has one kind"
            conditions[name] = EncodedCondition(open_memmap(values_path, np.float16, empty_field.shape[1:]))
    return conditions


def check_fields(conditions: EncodedConditions, space: Space) -> None:
    """Raise ValueError for a field that is not on the grid of x; of a sequence, it has one axis of any length."""
    for name, condition in conditions.items():
        size, grid = condition.values.shape[2:], space.size if isinstance(space, SignalSpace) else space.grid
        if is_open_sequence(space) or (isinstance(space, SignalSpace) and space.has_lengths):
            is_on_grid = len(size) == max(len(grid), 1) and size[1:] == grid[1:] and (not grid or size[0] <= grid[0])
        else:
            is_on_grid = size == grid
        if condition.values.ndim > 2 and not is_on_grid:
            raise GenloomError("train.field_off_grid", condition=name, size=size, grid=grid or ("any length",))


def open_memmap(path: Path, dtype: type | np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if path.stat().st_size == 0:
        return np.zeros((0, *shape), dtype)
    return np.memmap(path, dtype, mode="r").reshape(-1, *shape)
