"""Canaries: random secrets put into training data, whose exposure a model shows afterwards (Carlini et al. 2019).

They are documents of a data set of their own, NAME-canaries, so that a run with canaries is recorded, repeated and
resumed like any other, and so that nobody trains on them by mistake.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from typing import Any

from genloom import plugins
from genloom.errors import GenloomError
from genloom.store import mirror
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.types import Item

SUFFIX, SOURCE = "-canaries", "canary:"
NUM_CANDIDATES = 511  # random ones that each secret is ranked among, so that the highest exposure is 9 bits


def add_canaries(workspace: Workspace, dataset: Dataset, count: int, seed: int = 0) -> Dataset:
    """Create and return the data set NAME-canaries: all documents, and `count` training documents with a secret each.

    The manifest tells how many there are and their seed. Raises GenloomError (trust.no_canaries) for a medium without
    canaries, and for data that hold some already.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_canary = find_canary_writer(dataset.medium)
    if write_canary is None or "canaries" in dataset.manifest:
        raise GenloomError("trust.no_canaries", data=dataset.name, medium=dataset.medium)
    texts = [write_canary(random.Random(f"{seed} {number}")) for number in range(count)]
    staged = workspace.create_dataset(f"{dataset.name}{SUFFIX}")
    with staged as folder:
        mirror.fetch_files(dataset.folder)
        shutil.copytree(dataset.folder, folder, dirs_exist_ok=True)
        schema = pq.read_schema(min(folder.glob("part-*.parquet")))
        facts: dict[str, list[Any]] = {
            "id": [hashlib.sha256(text.encode()).hexdigest() for text in texts],
            "text": texts,
            "source": [f"{SOURCE}{number}" for number in range(count)],
            "licence": ["CC0-1.0"] * count,
            "split": ["train"] * count,
            "bytes": [len(text.encode()) for text in texts],
        }
        columns = [
            pa.array(facts[field.name], field.type)
            if field.name in facts
            else pa.array([""] * count if pa.types.is_string(field.type) else [None] * count, field.type)
            for field in schema
        ]
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), folder / "part-canaries.parquet")
        metadata = {name: value for name, value in dataset.manifest.items() if name not in _STORE_KEYS}
        metadata["canaries"] = {"count": count, "seed": seed, "from": f"{dataset.name}@{dataset.digest}"}
        (folder / "manifest.json").write_text(json.dumps(metadata, ensure_ascii=False, indent=1), encoding="utf-8")
    return staged.result


_STORE_KEYS = ("name", "format", "created", "digest", "files", "sequence")


def iter_canaries(dataset: Dataset) -> Iterator[Item]:
    """Yield the documents with secrets."""
    if "canaries" in dataset.manifest:
        yield from (item for item in dataset.iter_documents("train") if item.source.startswith(SOURCE))


def draw_candidates(medium: str, seed: int = 1) -> list[Any]:
    """Return random values of the form of canaries, which no training data hold."""
    write_canary = find_canary_writer(medium)
    assert write_canary is not None, "the data have canaries"
    return [write_canary(random.Random(f"candidate {seed} {number}")) for number in range(NUM_CANDIDATES)]


def find_canary_writer(medium: str) -> Any:
    """Return the function of the medium that writes a canary of a random generator; None if it has none."""
    return getattr(plugins.find_medium_part("copies", medium), "write_canary", None)
