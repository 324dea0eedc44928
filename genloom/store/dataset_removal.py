"""Changes of a data set as a new version: documents are removed, or get other captions."""

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from genloom.store import mirror
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST_KEYS = ("name", "format", "created", "digest", "files", "record_digest")  # written by the store


def has_document(dataset: Dataset, item: str) -> bool:
    """Return whether a document with this id is in any split of the data set."""
    import pyarrow.parquet as pq

    parts = dataset.folder.glob("part-*.parquet")
    return any(pq.read_table(part, columns=["id"], filters=[("id", "==", item)]).num_rows for part in parts)


def remove_documents(workspace: Workspace, dataset: Dataset, items: Collection[str]) -> Dataset:
    """Create and return a version of the data set without the documents with these ids.

    The other documents keep their order and splits. Nothing is removed from the disk: the given version stays.
    """
    import pyarrow.compute as pc

    gone = sorted(items)
    known = dataset.manifest.get("without", ())
    return _rewrite_rows(
        workspace,
        dataset,
        lambda batch: batch.filter(~pc.field("id").isin(gone)),
        {"without": sorted({*known, *gone})},
    )


def replace_captions(workspace: Workspace, dataset: Dataset, captions: Mapping[str, str]) -> Dataset:
    """Create and return a version of the data set in which the documents with these ids have other captions."""
    import pyarrow as pa

    def replace_texts(batch: "pa.RecordBatch") -> "pa.RecordBatch":
        ids, texts = batch.column("id").to_pylist(), batch.column("text").to_pylist()
        replaced = [captions.get(id, text) for id, text in zip(ids, texts, strict=True)]
        number = batch.schema.get_field_index("text")
        return batch.set_column(number, batch.schema.field(number), pa.array(replaced, batch.schema.field(number).type))

    return _rewrite_rows(workspace, dataset, replace_texts, {"captions_changed": len(captions)})


def _rewrite_rows(
    workspace: Workspace,
    dataset: Dataset,
    change: "Callable[[pa.RecordBatch], pa.RecordBatch]",
    facts: Mapping[str, Any],
) -> Dataset:
    """Create a version with every batch of rows changed, and these facts in its manifest."""
    import pyarrow.parquet as pq

    staged_folder = workspace.create_dataset(dataset.name)
    with staged_folder as folder:
        mirror.fetch_files(dataset.folder)
        shutil.copytree(dataset.folder, folder, dirs_exist_ok=True)
        for part in sorted(folder.glob("part-*.parquet")):
            with (
                pq.ParquetFile(dataset.folder / part.name) as file,
                pq.ParquetWriter(part, file.schema_arrow) as writer,
            ):
                for batch in file.iter_batches(256):
                    writer.write_batch(change(batch))
        metadata = {key: value for key, value in dataset.manifest.items() if key not in MANIFEST_KEYS} | dict(facts)
        (folder / "manifest.json").write_text(json.dumps(metadata, ensure_ascii=False, indent=1), encoding="utf-8")
    return staged_folder.result
