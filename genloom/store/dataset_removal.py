"""Removal of documents from a data set, as a new version."""

import json
import shutil
from collections.abc import Collection

from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace

MANIFEST_KEYS = ("name", "format", "created", "digest", "files")  # written by the store


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
    import pyarrow.parquet as pq

    staged_folder = workspace.create_dataset(dataset.name)
    with staged_folder as folder:
        shutil.copytree(dataset.folder, folder, dirs_exist_ok=True)
        for part in sorted(folder.glob("part-*.parquet")):
            with (
                pq.ParquetFile(dataset.folder / part.name) as file,
                pq.ParquetWriter(part, file.schema_arrow) as writer,
            ):
                for batch in file.iter_batches(256):
                    writer.write_batch(batch.filter(~pc.field("id").isin(sorted(items))))
        metadata = {key: value for key, value in dataset.manifest.items() if key not in MANIFEST_KEYS}
        metadata["without"] = sorted({*metadata.get("without", ()), *items})
        (folder / "manifest.json").write_text(json.dumps(metadata, ensure_ascii=False, indent=1), encoding="utf-8")
    return staged_folder.result
