"""Write documents to Parquet files, and choose their splits."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from genloom.collect import publish
from genloom.collect.kept_columns import ColumnBuilder
from genloom.collect.options import Options
from genloom.collect.overlap import DuplicateGroups
from genloom.collect.preparation import Document, Preparation
from genloom.collect.shard_files import ShardFiles
from genloom.collect.split import (
    SMALL_BYTES,
    SMALL_DOCUMENTS,
    SplitGroup,
    SplitItem,
    has_enough_held_out,
    hash_to_unit,
    split_by_group,
    split_by_hash,
    split_by_rank,
    sum_splits,
)


class ShardWriter:
    """Writer of the files part-00000.parquet and so on in `folder`; a context manager, left after `finish`.

    Columns are id, text, source, licence, split, bytes, those of the medium and kept ones, in the order of adding. In a
    large collection the documents first chosen for val and test are in files of their own. `split_totals` counts.
    """

    def __init__(self, folder: Path, options: Options, preparation: Preparation) -> None:
        self._folder = folder
        self._options = options
        self._buffer: list[Document] | None = []  # None once the collection is not small
        self._buffer_bytes = 0
        self.kept_columns = kept_columns = ColumnBuilder(options.keep)
        self._train_files = ShardFiles(folder, "part", preparation, kept_columns)
        # In a large collection some documents move when all are known, nearly always documents of these few files.
        self._held_out_files = ShardFiles(folder, "part-held", preparation, kept_columns)
        self._next_number = 0
        self.split_totals = sum_splits([], [])

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for files in (self._train_files, self._held_out_files):
            files.close(should_flush=error is None)

    def finish(self, duplicate_groups: DuplicateGroups) -> bool:
        """Write the rest; return whether each of the groups could be placed in one split."""
        if self._buffer is not None:
            splits, is_grouped = self._split_by_rank(self._buffer, duplicate_groups)
            self._flush_buffer(splits, self._train_files)
            return is_grouped
        for files in (self._train_files, self._held_out_files):
            files.close(should_flush=True)
        if not len(duplicate_groups.constrained_ids):
            return True
        self.split_totals, is_grouped = publish.assign_groups(
            [self._train_files, self._held_out_files], duplicate_groups, self._options, self.split_totals
        )
        return is_grouped

    def add(self, documents: Sequence[Document]) -> None:
        """Add documents; they are on disk after `finish`."""
        if self._buffer is not None:
            self._buffer.extend(documents)
            self._buffer_bytes += sum(document.size for document in documents)
            if len(self._buffer) > SMALL_DOCUMENTS or self._buffer_bytes > SMALL_BYTES:
                self._flush_buffer([self._choose_split(document) for document in self._buffer], self._held_out_files)
            return
        for document in documents:
            self._write_document(document, self._choose_split(document), self._held_out_files)

    def _choose_split(self, document: Document) -> str:
        return split_by_hash(hash_to_unit(document.digest, self._options.seed), self._options.val, self._options.test)

    def _split_by_rank(
        self, documents: Sequence[Document], duplicate_groups: DuplicateGroups
    ) -> tuple[list[str], bool]:
        """Return the splits of all documents of a small collection, and whether each group is in one split."""

        def rank(groups: Sequence[SplitGroup]) -> list[str]:
            positions = [hash_to_unit(group.digest, self._options.seed) for group in groups]
            sizes, excluded = [group.size for group in groups], [group.is_excluded for group in groups]
            return split_by_rank(positions, sizes, self._options.val, self._options.test, excluded)

        items = [SplitItem(number, document.digest, document.size) for number, document in enumerate(documents)]
        sizes = [item.size for item in items]
        ungrouped_splits = rank([SplitGroup(item.digest, item.size) for item in items])
        splits = split_by_group(items, duplicate_groups, rank)
        is_grouped = has_enough_held_out(sum_splits(sizes, ungrouped_splits), sum_splits(sizes, splits))
        return (splits if is_grouped else ungrouped_splits), is_grouped

    def _flush_buffer(self, splits: Sequence[str], held_out_files: ShardFiles) -> None:
        documents, self._buffer = self._buffer or [], None
        for document, split in zip(documents, splits, strict=True):
            self._write_document(document, split, held_out_files)

    def _write_document(self, document: Document, split: str, held_out_files: ShardFiles) -> None:
        files = self._train_files if split == "train" else held_out_files
        files.add(document, split, self._next_number)
        self._next_number += 1
        self.split_totals[split]["documents"] += 1
        self.split_totals[split]["bytes"] += document.size
