"""The value of the medium: how dense every element of a grid is, and the goals that it was made for."""

import base64
import binascii
import zlib
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.design.document import parse_document
from genloom.media.design.document_writing import write_goals
from genloom.media.design.goals import MAX_ELEMENTS, DesignGoals
from genloom.media.design.units import shorten_value

LEVELS = 255
LINE_CHARS = 120


@dataclass(frozen=True, eq=False)
class Structure:
    """A density from 0 (empty) to 255 (solid) of each element, [*shape], and goals; None: they are not known."""

    levels: np.ndarray  # uint8
    goals: DesignGoals | None = None

    def __post_init__(self) -> None:
        assert self.levels.dtype == np.uint8, "densities are bytes"
        assert self.goals is None or self.goals.domain.shape == self.levels.shape, "goals and density have one grid"

    @classmethod
    def from_density(cls, density: np.ndarray, goals: DesignGoals | None = None) -> "Structure":
        """Return the structure of a density from 0 to 1, rounded to 1/255."""
        return cls(np.rint(np.clip(np.asarray(density, np.float64), 0, 1) * LEVELS).astype(np.uint8), goals)

    @cached_property
    def density(self) -> np.ndarray:
        """The density from 0 to 1, float32 [*shape]."""
        return (self.levels / LEVELS).astype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.levels.shape

    @property
    def axes(self) -> int:
        return self.levels.ndim

    @property
    def volume(self) -> float:
        """The solid fraction of the domain."""
        return float(self.levels.mean(dtype=np.float64)) / LEVELS

    def with_goals(self, goals: DesignGoals | None) -> "Structure":
        return Structure(self.levels, goals)

    def __eq__(self, other: object) -> bool:
        is_alike = isinstance(other, Structure) and self.goals == other.goals
        return is_alike and np.array_equal(self.levels, other.levels)

    def __hash__(self) -> int:
        return hash((self.levels.tobytes(), self.goals))


def write_structure(structure: Structure) -> str:
    """Return the document of a structure: its goals, and its density compressed."""
    data = base64.b64encode(zlib.compress(structure.levels.tobytes(), 9)).decode()
    lines = [data[first : first + LINE_CHARS] for first in range(0, len(data), LINE_CHARS)]
    goals = f"{write_goals(structure.goals)}\n" if structure.goals else ""
    shape = ", ".join(map(str, structure.shape))
    return f'{goals}[density]\nshape = [{shape}]\nlevels = """\n' + "\n".join(lines) + '\n"""\n'


def read_structure(text: str) -> Structure:
    """Return the structure of a document; GenloomError for one without a density, and for damaged ones."""
    goals, table = parse_document(text)
    if not table:
        raise GenloomError("design.no_density")
    levels = read_levels(table)
    if goals is not None and goals.domain.shape != levels.shape:
        raise GenloomError("design.density_of_other_grid", shape=levels.shape, expected=goals.domain.shape)
    return Structure(levels, goals)


def read_levels(table: Any) -> np.ndarray:
    """Return the densities of the table [density]."""
    shape, text = table.get("shape"), table.get("levels")
    are_numbers = isinstance(shape, list) and all(type(size) is int and 2 <= size <= MAX_ELEMENTS for size in shape)
    if not are_numbers or not 2 <= len(shape) <= 3 or prod(shape) > MAX_ELEMENTS:
        raise GenloomError("design.bad_density_shape", value=shorten_value(shape))
    try:
        packed = base64.b64decode("".join(str(text).split()), validate=True)
        decompressor = zlib.decompressobj()
        data = decompressor.decompress(packed, prod(shape) + 1)
        is_whole = len(data) == prod(shape) and decompressor.eof
    except (binascii.Error, zlib.error, ValueError):
        is_whole, data = False, b""
    if not is_whole:
        raise GenloomError("design.damaged_density", count=prod(shape))
    return np.frombuffer(data, np.uint8).reshape(shape)


def build_empty(goals: DesignGoals) -> Structure:
    """Return goals without a design yet: a structure of zeros."""
    return Structure(np.zeros(goals.domain.shape, np.uint8), goals)
