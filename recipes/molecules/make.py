"""Writes the training data of the built-in model of molecules: those of MOSES, a share of them with properties.

python -m recipes.molecules.make --out molecules
genloom collect molecules/molecules.parquet --name molecules --val 0.005 --test 0
"""

import argparse
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from genloom.media.molecule.molecule import Molecule
from genloom.media.molecule.properties import compute_table
from genloom.processors import count_processors
from recipes.molecules.fetch import fetch_wheel, iter_smiles

PROPERTIES = ("logp", "qed", "mw", "tpsa", "sa", "donors", "acceptors", "rings")
LICENCE = "MIT (MOSES, from ZINC Clean Leads)"
CHUNK = 4096  # molecules in memory, and in a row group
SCHEMA = pa.schema(
    [("smiles", pa.string()), ("source", pa.string()), ("licence", pa.string())]
    + [(name, pa.float64()) for name in PROPERTIES]
)


def compute_columns(smiles: tuple[str, ...], period: int) -> dict[str, list[float | None]]:
    """Return the properties of one in so many molecules; None for the others, since they take a millisecond each."""
    table = compute_table([Molecule(each) for each in smiles[::period]], PROPERTIES)
    columns: dict[str, list[float | None]] = {name: [None] * len(smiles) for name in PROPERTIES}
    for name, values in zip(PROPERTIES, table.T.tolist(), strict=True):
        columns[name][::period] = values
    return columns


def build_tables(smiles: Iterable[str], period: int, pool: Executor) -> Iterator[pa.Table]:
    """Yield the rows of the file, a chunk at a time."""
    remaining, number = iter(smiles), 0
    while chunks := [chunk for _ in range(2 * count_processors()) if (chunk := tuple(islice(remaining, CHUNK)))]:
        for chunk, columns in zip(chunks, pool.map(compute_columns, chunks, [period] * len(chunks)), strict=True):
            sources = [f"moses:train:{number + index + 1}" for index in range(len(chunk))]
            number += len(chunk)
            rows = {"smiles": chunk, "source": sources, "licence": [LICENCE] * len(chunk), **columns}
            yield pa.table(rows, SCHEMA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for molecules.parquet and the package")
    parser.add_argument("--count", type=int, default=0, help="the first molecules only; 0: all 1,584,663")
    parser.add_argument("--share", type=float, default=0.2, help="of the molecules, with properties")
    arguments = parser.parse_args()
    if not 0 < arguments.share <= 1:
        parser.error("--share is above 0 and at most 1")
    smiles = islice(iter_smiles(fetch_wheel(arguments.out), "train"), arguments.count or None)
    path, num_rows = arguments.out / "molecules.parquet", 0
    with ProcessPoolExecutor(count_processors()) as pool, pq.ParquetWriter(path, SCHEMA) as writer:
        for table in build_tables(smiles, math.ceil(1 / arguments.share), pool):
            writer.write_table(table)
            num_rows += table.num_rows
            print(f"{num_rows:,} molecules", end="\r", flush=True)
    print(f"{num_rows:,} molecules in {path}")


if __name__ == "__main__":
    main()
