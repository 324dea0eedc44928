"""Documents of data sets in a trace: their sources and licences with counts, and where a document is."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from genloom.store import manifest
from genloom.store.dataset import Dataset

_MAX_GROUPS = 12  # of documents that a trace tells apart
_ROW_NUMBER = re.compile(r"[#:]\d+$")  # of a document in a table or mailbox


@dataclass(frozen=True)
class DocumentGroup:
    """The documents of a data set with one licence and one source."""

    source: str  # a file or folder; "": several that have nothing in common
    licence: str
    count: int


@dataclass(frozen=True)
class FoundDocument:
    """A document of a data set."""

    id: str
    source: str
    licence: str
    dataset: Dataset
    is_same_content: bool  # otherwise only the name of its source is the same


def summarise_documents(dataset: Dataset) -> list[DocumentGroup]:
    """Return the documents of a data set by source and licence, most first, in at most 13 groups a licence.

    Sources are summarised by their folders until there are few. Raises GenloomError (store.damaged).
    """
    counts: Counter[tuple[str, str]] = Counter()
    for rows in _iter_columns(dataset, ("source", "licence")):
        counts.update((_ROW_NUMBER.sub("", str(source)), str(licence)) for source, licence in rows)
    groups: list[DocumentGroup] = []
    for licence in {licence for _, licence in counts}:
        own = Counter({source: count for (source, each), count in counts.items() if each == licence})
        groups += [DocumentGroup(source, licence, count) for source, count in _merge_sources(own).items()]
    return sorted(groups, key=lambda group: (-group.count, group.licence, group.source))


def find_documents(
    datasets: Sequence[Dataset], ids: Collection[str], prefix: str = "", file_name: str = ""
) -> list[FoundDocument]:
    """Return the documents with one of these ids, whose id begins with the prefix, or from a file of this name.

    Those that only have the name of the file are left out if others have its content. Damaged data sets are skipped.
    """
    found: list[FoundDocument] = []
    for dataset in datasets:
        try:
            for rows in _iter_columns(dataset, ("id", "source", "licence")):
                for id, source, licence in rows:
                    is_same = id in ids or bool(prefix and str(id).startswith(prefix))
                    has_name = bool(file_name) and PurePosixPath(_ROW_NUMBER.sub("", str(source))).name == file_name
                    if is_same or has_name:
                        found.append(FoundDocument(str(id), str(source), str(licence), dataset, is_same))
        except ValueError:
            continue  # its own trace and the doctor tell it
    same = [document for document in found if document.is_same_content]
    return same or found


def _merge_sources(counts: Counter[str]) -> Counter[str]:
    """Return counts by folder instead of by file until there are few; the rest is counted together."""
    while len(counts) > _MAX_GROUPS:
        merged: Counter[str] = Counter()
        for source, count in counts.items():
            parent = PurePosixPath(source).parent.as_posix()
            merged["" if parent in (".", "/") else parent] += count
        if len(merged) == len(counts):
            break
        counts = merged
    most = Counter(dict(counts.most_common(_MAX_GROUPS)))
    if rest := counts.total() - most.total():
        most[""] += rest
    return most


def _iter_columns(dataset: Dataset, columns: tuple[str, ...]) -> Iterator[Iterator[tuple[object, ...]]]:
    """Yield these columns of all rows, some thousand at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in sorted(dataset.folder.glob("part-*.parquet")):
        try:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(8192, columns=list(columns)):
                    yield zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it cannot be read as Parquet"
            raise manifest.damaged_error(part, reason) from error
