"""Writes the training data of structures: random goals and their best designs, in shards, going on where it stopped.

nice python -m recipes.structures.make --out structures-64 --size 64 --count 10000
nice python -m recipes.structures.make --out structures-space --size 16 --kind space --shard 50
"""

import argparse
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.design_variables import OptimizationOptions
from genloom.media.design.mechanics.optimization import optimize
from genloom.media.design.mechanics.packing import pack_problem
from genloom.media.design.mechanics.parts import count_holes, find_parts
from genloom.media.design.mechanics.problem import Problem
from genloom.processors import count_processors
from recipes.structures.goals import KINDS, build_problem
from recipes.structures.space_goals import build_space_problem

SPACE = "space"  # the kind of goals in three dimensions
MAX_GREY = 0.06  # mean of 4 d (1 - d): designs whose members are too thin for the grid stay grey
SCHEMA = pa.schema(
    [
        ("seed", pa.int64()),
        ("index", pa.int64()),
        ("kind", pa.string()),
        ("rows", pa.int32()),
        ("columns", pa.int32()),
        ("problem", pa.binary()),  # as `unpack_problem` reads it
        ("density", pa.binary()),  # uint8 of 0 to 255, rows from the top
        ("volume", pa.float64()),  # the fraction that the goals allow
        ("compliance", pa.float64()),  # of the stored density
        ("grey", pa.float64()),
        ("holes", pa.int32()),
        ("steps", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Task:
    """The indices of a shard."""

    seed: int
    kind: str
    size: int
    start: int
    end: int
    filter_radius: float


def draw_problem(seed: int, index: int, size: int, kind: str) -> Problem:
    """Return the problem of an index on a grid with so many elements on each side."""
    if kind == SPACE:
        return build_space_problem(seed, index, (size, size, size))
    return build_problem(seed, index, (size, size), kind)


def build_row(task: Task, index: int) -> dict[str, Any] | None:
    """Return the design of an index; None if the grid is too coarse for it: grey, in pieces, or not held."""
    problem = draw_problem(task.seed, index, task.size, task.kind)
    *_, last = optimize(problem, OptimizationOptions(filter_radius=task.filter_radius))
    levels = np.round(255 * last.density).astype(np.uint8)
    density, parts = levels / 255, find_parts(problem, last.density)
    grey = float((4 * density * (1 - density)).mean())
    if not parts.is_sound or grey > MAX_GREY:
        return None
    return {
        "seed": task.seed,
        "index": index,
        "kind": task.kind,
        "rows": task.size,
        "columns": task.size,
        "problem": pack_problem(problem),
        "density": levels.tobytes(),
        "volume": problem.volume,
        "compliance": analyze(problem, density).compliance,
        "grey": grey,
        "holes": count_holes(density),
        "steps": last.number,
    }


def build_shard(task: Task) -> pa.Table:
    """Return the designs of a shard."""
    rows = [row for index in range(task.start, task.end) if (row := build_row(task, index))]
    return pa.Table.from_pylist(rows, SCHEMA)


def name_shard(folder: Path, task: Task) -> Path:
    return folder / f"{task.kind}-{task.seed}-{task.start:07d}-{task.end:07d}.parquet"


def write_shard(folder: Path, task: Task, table: pa.Table) -> None:
    """Write a shard aside and rename it: a file of that name is complete."""
    path = name_shard(folder, task)
    aside = path.with_suffix(".part")
    pq.write_table(table, aside, compression="zstd", compression_level=9)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.rename(path)


def end_with_parent() -> None:
    """Arrange that this worker ends when the process that started it does, even if that one is killed."""
    parent = parent_process()
    assert parent is not None, "a worker has a parent"

    def wait_for_end() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait_for_end, daemon=True).start()


def list_tasks(arguments: argparse.Namespace) -> Iterator[Task]:
    """Yield the shards that are not there."""
    for start in range(arguments.first, arguments.first + arguments.count, arguments.shard):
        end = start + arguments.shard
        task = Task(arguments.seed, arguments.kind, arguments.size, start, end, arguments.filter_radius)
        if not name_shard(arguments.out, task).exists():
            yield task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--size", type=int, default=64, help="elements on a side")
    parser.add_argument("--count", type=int, default=10_000, help="indices")
    parser.add_argument("--first", type=int, default=0, help="first index")
    parser.add_argument("--shard", type=int, default=250, help="indices of a file: a stop loses at most these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=(*KINDS, SPACE), default="usual")
    parser.add_argument("--filter-radius", type=float, default=1.5, help="in elements")
    parser.add_argument("--processes", type=int, default=count_processors())
    arguments = parser.parse_args()
    if arguments.count % arguments.shard or arguments.first % arguments.shard:
        parser.error("--count and --first are multiples of --shard")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # the processes are the parallel part; read when they start
    start, num_rows, num_indices = time.monotonic(), 0, 0
    tasks = list(list_tasks(arguments))
    context = get_context("spawn")
    with ProcessPoolExecutor(arguments.processes, mp_context=context, initializer=end_with_parent) as pool:
        for task, table in zip(tasks, pool.map(build_shard, tasks), strict=True):
            write_shard(arguments.out, task, table)
            num_rows, num_indices = num_rows + len(table), num_indices + task.end - task.start
            rate = num_rows / (time.monotonic() - start) * 3600
            print(f"{num_rows:,} designs of {num_indices:,} goals, {rate:,.0f} an hour", flush=True)


if __name__ == "__main__":
    main()
