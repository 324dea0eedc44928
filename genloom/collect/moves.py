"""Moves documents of the parts to the split of those that they are alike with, once all have been written."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from genloom.collect.files import Files, writer
from genloom.collect.options import Options
from genloom.collect.overlap import Kinship
from genloom.collect.split import AS_GOOD_AS_NOTHING, Group, Row, Sums, by_border, enough, place, together

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa
    import pyarrow.parquet as pq

FAIR = 3 / 4  # of what would be held back if no document were like another


def unite(all_files: Sequence[Files], kinship: Kinship, options: Options, sums: Sums) -> tuple[Sums, bool]:
    """Puts every group of a large collection into one split; what the splits hold then, and whether it was done.

    A group that has a document in train goes there, so that only files of what is held back are written anew. Where
    that leaves too little, groups go where their lowest digest says, whichever files it takes; where that does not
    help, all stays as it is.
    """
    total = sum(facts["bytes"] for facts in sums.values())
    rows, before = _tied(all_files, kinship)

    def choose(groups: Sequence[Group]) -> list[str]:
        return [_split(group, options, total) for group in groups]

    anew = together(rows, kinship, choose)
    trained = {int(kinship.groups_D[row.number]) for row, old in zip(rows, before, strict=True) if old == "train"}
    joined = [
        "train" if int(kinship.groups_D[row.number]) in trained else new for row, new in zip(rows, anew, strict=True)
    ]
    for after, least in ((joined, FAIR), (anew, AS_GOOD_AS_NOTHING)):
        found = _moved_sums(sums, rows, before, after)
        if enough(sums, found, least):
            _write(all_files, {r.number: new for r, old, new in zip(rows, before, after, strict=True) if new != old})
            return found, True
    return sums, False


def _moved_sums(sums: Sums, rows: Sequence[Row], before: Sequence[str], after: Sequence[str]) -> Sums:
    found = {split: dict(facts) for split, facts in sums.items()}
    for row, old, new in zip(rows, before, after, strict=True):
        for split, sign in ((old, -1), (new, 1)):
            found[split]["documents"] += sign
            found[split]["bytes"] += sign * row.size
    return found


def _split(group: Group, options: Options, total: int) -> str:
    """By the border, but a group that would be more than half of its share is in train."""
    split = by_border(place(group.digest, options.seed), options.val, options.test)
    room = {"val": options.val, "test": options.test, "train": 1}[split] * total
    return "train" if group.barred or group.size > room / 2 else split


def _tied(all_files: Sequence[Files], kinship: Kinship) -> tuple[list[Row], list[str]]:
    """The documents that may not be parted, and their splits."""
    import pyarrow.parquet as pq

    tied, rows, splits = kinship.tied, [], []
    for files in all_files:
        start = 0
        for path in files.paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=["id", "bytes", "split"]):
                    numbers = np.array(files.numbers[start : start + batch.num_rows], np.int64)
                    found = np.flatnonzero(np.isin(numbers, tied))
                    for number, row in zip(numbers[found].tolist(), batch.take(found).to_pylist(), strict=True):
                        rows.append(Row(number, bytes.fromhex(row["id"]), row["bytes"]))
                        splits.append(row["split"])
                    start += batch.num_rows
    return rows, splits


def _write(all_files: Sequence[Files], moves: Mapping[int, str]) -> None:
    """Writes those files anew of which a document moves."""
    import pyarrow.parquet as pq

    for files in all_files:
        start = 0
        for path in files.paths:
            with pq.ParquetFile(path) as file:
                numbers = files.numbers[start : start + file.metadata.num_rows]
                start += len(numbers)
                if moves.keys().isdisjoint(numbers):
                    continue
                aside = path.with_suffix(".new")
                with writer(aside, file.schema_arrow) as new:
                    for table in _moved(file, numbers, moves):
                        new.write_table(table)
            os.replace(aside, path)


def _moved(file: "pq.ParquetFile", numbers: Sequence[int], moves: Mapping[int, str]) -> Iterator["pa.Table"]:
    """The row groups of a file, whose documents have these numbers, with the new splits."""
    import pyarrow as pa

    start = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        old = table.column("split").to_pylist()
        splits = [moves.get(number, split) for number, split in zip(numbers[start:], old, strict=False)]
        at = table.schema.get_field_index("split")
        yield table.set_column(at, "split", pa.array(splits, pa.string()))
        start += table.num_rows
