"""Move written documents to the split of those that they overlap with."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from genloom.collect.options import Options
from genloom.collect.overlap import DuplicateGroups
from genloom.collect.shard_files import ShardFiles, open_writer
from genloom.collect.split import (
    NEGLIGIBLE_SHARE,
    SplitGroup,
    SplitItem,
    SplitTotals,
    has_enough_held_out,
    hash_to_unit,
    split_by_group,
    split_by_hash,
)

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa
    import pyarrow.parquet as pq

MIN_HELD_OUT_SHARE = 3 / 4  # of what would be held out if no documents overlapped


def assign_groups(
    all_files: Sequence[ShardFiles], duplicate_groups: DuplicateGroups, options: Options, split_totals: SplitTotals
) -> tuple[SplitTotals, bool]:
    """Place every group of a large collection in one split; return the new totals, and whether it was possible.

    A group with a document in train goes to train, so that only the files of held-out documents are rewritten. If that
    leaves too little, each group goes where its lowest digest puts it; if that fails too, every document stays.
    """
    total = sum(counts["bytes"] for counts in split_totals.values())
    items, old_splits = _read_constrained(all_files, duplicate_groups)

    def choose_splits(groups: Sequence[SplitGroup]) -> list[str]:
        return [_choose_split(group, options, total) for group in groups]

    new_splits = split_by_group(items, duplicate_groups, choose_splits)
    train_groups = {
        int(duplicate_groups.group_ids_D[item.number])
        for item, old in zip(items, old_splits, strict=True)
        if old == "train"
    }
    train_pinned_splits = [
        "train" if int(duplicate_groups.group_ids_D[item.number]) in train_groups else new
        for item, new in zip(items, new_splits, strict=True)
    ]
    for candidate_splits, min_share in ((train_pinned_splits, MIN_HELD_OUT_SHARE), (new_splits, NEGLIGIBLE_SHARE)):
        new_totals = _recount_splits(split_totals, items, old_splits, candidate_splits)
        if has_enough_held_out(split_totals, new_totals, min_share):
            _rewrite_files(
                all_files,
                {r.number: new for r, old, new in zip(items, old_splits, candidate_splits, strict=True) if new != old},
            )
            return new_totals, True
    return split_totals, False


def _recount_splits(
    split_totals: SplitTotals, items: Sequence[SplitItem], old_splits: Sequence[str], new_splits: Sequence[str]
) -> SplitTotals:
    new_totals = {split: dict(counts) for split, counts in split_totals.items()}
    for item, old, new in zip(items, old_splits, new_splits, strict=True):
        for split, sign in ((old, -1), (new, 1)):
            new_totals[split]["documents"] += sign
            new_totals[split]["bytes"] += sign * item.size
    return new_totals


def _choose_split(group: SplitGroup, options: Options, total: int) -> str:
    """Return the split by hash, but train for a group larger than half of the split's budget."""
    split = split_by_hash(hash_to_unit(group.digest, options.seed), options.val, options.test)
    budget = {"val": options.val, "test": options.test, "train": 1}[split] * total
    return "train" if group.is_excluded or group.size > budget / 2 else split


def _read_constrained(
    all_files: Sequence[ShardFiles], duplicate_groups: DuplicateGroups
) -> tuple[list[SplitItem], list[str]]:
    """Return the documents that are in groups, and their present splits."""
    import pyarrow.parquet as pq

    constrained_ids, items, splits = duplicate_groups.constrained_ids, [], []
    for files in all_files:
        start = 0
        for path in files.paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=["id", "bytes", "split"]):
                    numbers = np.array(files.document_numbers[start : start + batch.num_rows], np.int64)
                    positions = np.flatnonzero(np.isin(numbers, constrained_ids))
                    for number, row in zip(numbers[positions].tolist(), batch.take(positions).to_pylist(), strict=True):
                        items.append(SplitItem(number, bytes.fromhex(row["id"]), row["bytes"]))
                        splits.append(row["split"])
                    start += batch.num_rows
    return items, splits


def _rewrite_files(all_files: Sequence[ShardFiles], moves: Mapping[int, str]) -> None:
    """Rewrite the files in which a document moves."""
    import pyarrow.parquet as pq

    for files in all_files:
        start = 0
        for path in files.paths:
            with pq.ParquetFile(path) as file:
                numbers = files.document_numbers[start : start + file.metadata.num_rows]
                start += len(numbers)
                if moves.keys().isdisjoint(numbers):
                    continue
                temp_path = path.with_suffix(".new")
                with open_writer(temp_path, file.schema_arrow) as new_file:
                    for table in _iter_moved_tables(file, numbers, moves):
                        new_file.write_table(table)
            os.replace(temp_path, path)


def _iter_moved_tables(
    file: "pq.ParquetFile", numbers: Sequence[int], moves: Mapping[int, str]
) -> Iterator["pa.Table"]:
    """Yield the row groups of a file with the new splits; `numbers` are those of its documents."""
    import pyarrow as pa

    start = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        old_splits = table.column("split").to_pylist()
        splits = [moves.get(number, split) for number, split in zip(numbers[start:], old_splits, strict=False)]
        split_index = table.schema.get_field_index("split")
        yield table.set_column(split_index, "split", pa.array(splits, pa.string()))
        start += table.num_rows
