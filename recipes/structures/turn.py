"""Writes the designs of `recipes.structures.make` as a table to collect, turned and mirrored with their goals.

python -m recipes.structures.turn structures-32 --out structures.parquet
python -m recipes.structures.turn genloom/collect/builtin/structures.parquet --out structures.parquet
genloom collect structures.parquet --name structures --val 0.02 --test 0
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genloom.media import design as medium
from genloom.media.design.mechanics.packing import unpack_problem
from genloom.media.design.mechanics.turning import NUM_TURNS, turn_array, turn_problem
from genloom.media.design.problems import build_goals
from genloom.media.design.structure import Structure

LICENCE = "CC0-1.0"  # computed by this recipe from random goals
SCHEMA = pa.schema(
    [("design", pa.binary()), ("source", pa.string()), ("licence", pa.string()), ("volume", pa.float64())]
)


def choose_turns(seed: int, index: int, number: int) -> list[int]:
    """Return so many of the eight turns, drawn from the design's own number; the design as it is comes first."""
    others = np.random.default_rng([seed, index]).permutation(np.arange(1, NUM_TURNS))
    return [0, *others[: number - 1].tolist()]


def build_rows(path: Path, number: int) -> Iterator[dict[str, object]]:
    """Yield the rows of a shard, each design in `number` turns."""
    for row in pq.read_table(path).to_pylist():
        levels = np.frombuffer(row["density"], np.uint8).reshape(row["rows"], row["columns"])
        problem = unpack_problem(row["problem"])
        for turn in choose_turns(row["seed"], row["index"], number):
            goals = build_goals(turn_problem(problem, turn))
            yield {
                "design": medium.encode(Structure(turn_array(levels, turn), goals)),
                "source": f"structures:{row['kind']}:{row['seed']}:{row['index']}:{turn}",
                "licence": LICENCE,
                "volume": row["volume"],
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("path", type=Path, help="shards of recipes.structures.make, or one table of them")
    parser.add_argument("--out", type=Path, required=True, help="the table, .parquet")
    parser.add_argument("--turns", type=int, default=NUM_TURNS, choices=range(1, NUM_TURNS + 1), help="of each design")
    parser.add_argument("--count", type=int, default=0, help="the first shards only; 0: all")
    arguments = parser.parse_args()
    found = sorted(arguments.path.glob("*.parquet")) if arguments.path.is_dir() else [arguments.path]
    num_rows, shards = 0, found[: arguments.count or None]
    with pq.ParquetWriter(arguments.out, SCHEMA, compression="zstd") as writer:
        for shard in shards:
            table = pa.Table.from_pylist(list(build_rows(shard, arguments.turns)), SCHEMA)
            writer.write_table(table)
            num_rows += table.num_rows
            print(f"{num_rows:,} rows of {len(shards)} shards", end="\r", flush=True)
    print(f"{num_rows:,} rows in {arguments.out}")


if __name__ == "__main__":
    main()
