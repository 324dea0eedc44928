"""Moves documents of the parts to the split of those that they are alike with, once all have been written."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genloom.collect.options import Options
from genloom.collect.overlap import Kinship
from genloom.collect.split import Group, Row, Sums, by_border, enough, place, together

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa
    import pyarrow.parquet as pq


def writer(path: Path, schema: "pa.Schema") -> "pq.ParquetWriter":
    """For a part. Texts are all different: a dictionary of them only costs."""
    import pyarrow.parquet as pq

    few = ["licence", "split"]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=few)


def unite(folder: Path, kinship: Kinship, options: Options, sums: Sums) -> tuple[Sums, bool]:
    """Puts every group of a large collection into one split; what the splits hold then, and whether it was done.

    It is not where hardly anything would be held back. Only those files are written anew of which a document moves.
    """
    total = sum(facts["bytes"] for facts in sums.values())

    def choose(groups: Sequence[Group]) -> list[str]:
        return [_split(group, options, total) for group in groups]

    rows, before = _tied(folder, kinship)
    moves, after = {}, {split: dict(facts) for split, facts in sums.items()}
    for row, old, new in zip(rows, before, together(rows, kinship, choose), strict=True):
        if new != old:
            moves[row.number] = new
            for split, sign in ((old, -1), (new, 1)):
                after[split]["documents"] += sign
                after[split]["bytes"] += sign * row.size
    if not enough(sums, after):
        return sums, False
    _write(folder, moves)
    return after, True


def _split(group: Group, options: Options, total: int) -> str:
    """By the border, but a group that would be more than half of its share is in train."""
    split = by_border(place(group.digest, options.seed), options.val, options.test)
    room = {"val": options.val, "test": options.test, "train": 1}[split] * total
    return "train" if group.barred or group.size > room / 2 else split


def _tied(folder: Path, kinship: Kinship) -> tuple[list[Row], list[str]]:
    """The documents that may not be parted, and their splits."""
    import pyarrow.parquet as pq

    tied, rows, splits, start = kinship.tied, [], [], 0
    for path in _parts(folder):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["id", "bytes", "split"]):
                numbers = _within(tied, start, batch.num_rows)
                for number, row in zip(numbers, batch.take(numbers - start).to_pylist(), strict=True):
                    rows.append(Row(int(number), bytes.fromhex(row["id"]), row["bytes"]))
                    splits.append(row["split"])
                start += batch.num_rows
    return rows, splits


def _write(folder: Path, moves: dict[int, str]) -> None:
    import pyarrow.parquet as pq

    moved, start = np.array(sorted(moves), np.int64), 0
    for path in _parts(folder):
        with pq.ParquetFile(path) as file:
            count = file.metadata.num_rows
            if len(_within(moved, start, count)):
                aside = path.with_suffix(".new")
                with writer(aside, file.schema_arrow) as new:
                    for table in _moved(file, start, moves):
                        new.write_table(table)
                os.replace(aside, path)
            start += count


def _moved(file: "pq.ParquetFile", start: int, moves: dict[int, str]) -> Iterator["pa.Table"]:
    """The row groups of a part whose first document has the number `start`, with the new splits."""
    import pyarrow as pa

    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        old = table.column("split").to_pylist()
        splits = [moves.get(number, split) for number, split in enumerate(old, start)]
        at = table.schema.get_field_index("split")
        yield table.set_column(at, "split", pa.array(splits, pa.string()))
        start += table.num_rows


def _within(numbers: np.ndarray, start: int, count: int) -> np.ndarray:
    return numbers[np.searchsorted(numbers, start) : np.searchsorted(numbers, start + count)]


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))
