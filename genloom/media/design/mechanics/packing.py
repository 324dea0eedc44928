"""Problems as bytes: a few hundred for a plane one, bounded when they are read.

A line of JSON (shape, counts, volume, material), then the supports as bits, the passive regions as bytes, the indices
and values of the forces that are not 0; all of it compressed by zlib.
"""

import json
import zlib
from math import isfinite, prod

import numpy as np

from genloom.errors import GenloomError
from genloom.media.design.mechanics.problem import EMPTY, SOLID, Problem, count_nodes

_MATERIAL = ("elastic_modulus", "poisson_ratio", "element_size", "thickness")
_FORMAT = 1
MAX_CASES = 64
MAX_NODE_ENTRIES = 3_000_000  # of the forces of all cases
_MAX_BYTES = 64 << 20


def pack_problem(problem: Problem) -> bytes:
    """Return a problem as bytes."""
    loaded = np.flatnonzero(problem.forces)
    header = {
        "format": _FORMAT,
        "shape": problem.shape,
        "cases": problem.cases,
        "forces": len(loaded),
        "volume": problem.volume,
    } | {name: getattr(problem, name) for name in _MATERIAL}
    parts = (
        json.dumps(header).encode() + b"\n",
        np.packbits(problem.fixed).tobytes(),
        problem.passive.astype(np.int8).tobytes(),
        loaded.astype("<i8").tobytes(),
        problem.forces.ravel()[loaded].astype("<f8").tobytes(),
    )
    return zlib.compress(b"".join(parts), 9)


def unpack_problem(data: bytes) -> Problem:
    """Return the problem of bytes; GenloomError if they hold none."""
    try:
        return _read_problem(data)
    except (zlib.error, ValueError, KeyError, TypeError, OverflowError) as error:
        raise GenloomError("mechanics.damaged_problem", reason=str(error) or type(error).__name__) from error


def _read_problem(data: bytes) -> Problem:
    decompressor = zlib.decompressobj()
    content = decompressor.decompress(data, _MAX_BYTES)
    if not decompressor.eof:
        raise ValueError("it is cut off, or larger than a problem can be")
    head, _, body = content.partition(b"\n")
    header = json.loads(head)
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ValueError("it has another format")
    shape, cases, num_forces = tuple(map(int, header["shape"])), int(header["cases"]), int(header["forces"])
    if len(shape) not in (2, 3) or min(shape) < 1 or not 1 <= cases <= MAX_CASES:
        raise ValueError("its grid or its number of load cases is impossible")
    nodes, axes = count_nodes(shape), len(shape)
    num_freedoms = prod(nodes) * axes
    if num_freedoms * cases > MAX_NODE_ENTRIES or not 0 <= num_forces <= num_freedoms * cases:
        raise ValueError("its grid is too large")
    sizes = (num_freedoms + 7) // 8, prod(shape), 8 * num_forces, 8 * num_forces
    if sum(sizes) != len(body):
        raise ValueError("its parts have other sizes than it says")
    ends = np.cumsum(sizes).tolist()
    bits, cells, places, values = (body[end - size : end] for size, end in zip(sizes, ends, strict=True))
    fixed = np.unpackbits(np.frombuffer(bits, np.uint8), count=num_freedoms).astype(bool).reshape(*nodes, axes)
    passive = np.frombuffer(cells, np.int8).reshape(shape).copy()
    loaded, loads = np.frombuffer(places, "<i8"), np.frombuffer(values, "<f8").astype(float)
    if num_forces and not (loaded.min() >= 0 and loaded.max() < num_freedoms * cases):
        raise ValueError("a force is outside the grid")
    numbers = {name: float(header[name]) for name in (*_MATERIAL, "volume")}
    if not (np.isin(passive, (0, SOLID, EMPTY)).all() and np.isfinite(loads).all()):
        raise ValueError("a value is impossible")
    if not all(isfinite(number) and number > 0 for number in numbers.values()) or numbers["poisson_ratio"] >= 0.5:
        raise ValueError("its volume or its material is impossible")
    forces = np.zeros(num_freedoms * cases)
    forces[loaded] = loads
    return Problem(fixed, forces.reshape(cases, *nodes, axes), passive, **numbers)
