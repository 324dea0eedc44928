"""Samples of a split are representative, independent of the order of collection, and read no more than needed."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.media import image
from genloom.store.dataset import Dataset
from genloom.store.sampling import PASSAGE_BYTES
from genloom.store.workspace import Workspace
from genloom.types import Item

FULL = 300_000


def create_dataset(
    workspace: Workspace, values: Sequence[str | bytes], turns: Sequence[str] = (), rows: int = 8, split: str = "val"
) -> Dataset:
    """Create held-out documents in two parts with row groups of `rows`; bytes are images."""
    raw = [value.encode() if isinstance(value, str) else value for value in values]
    texts = all(isinstance(value, str) for value in values)
    columns: dict[str, Any] = {
        "id": [hashlib.sha256(value).hexdigest() for value in raw],
        "text": list(values) if texts else ["a tile"] * len(raw),
        "source": [str(n) for n in range(len(raw))],
        "licence": ["CC0-1.0"] * len(raw),
        "split": [split] * len(raw),
        "bytes": [len(value) for value in raw],
        **({} if texts else {"content": pa.array(raw, pa.binary())}),
        **({"turns": list(turns)} if turns else {}),
    }
    table, half = pa.table(columns), len(raw) // 2
    staged = workspace.create_dataset("mixed")
    with staged as folder:
        for number, part in enumerate((table[:half], table[half:])):
            pq.write_table(part, folder / f"part-{number:05}.parquet", row_group_size=rows)
        (folder / "manifest.json").write_text(json.dumps({"medium": "text" if texts else "image"}))
    return staged.result


def plays_and_code() -> list[str]:
    """Return one fifth plays in long documents, before code in short ones; the letters identify the kind."""
    plays = [f"{n:06}" + "p" * 49_994 for n in range(20)]
    return plays + [f"{n:06}" + "c" * 9_994 for n in range(400)]


def take_first(documents: Any, max_chars: int) -> list[Item]:
    items, remaining = [], max_chars
    for item in documents:
        if remaining <= 0:
            break
        items.append(item)
        remaining -= len(item.value)
    return items


@pytest.fixture(scope="module")
def mixed_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return create_dataset(Workspace(tmp_path_factory.mktemp("mixed")), plays_and_code())


def test_the_first_passages_are_representative(mixed_dataset: Dataset) -> None:
    text = "".join(item.value for item in take_first(mixed_dataset.iter_passages("val", FULL), FULL))
    assert FULL <= len(text) < FULL + PASSAGE_BYTES
    assert 0.1 < text.count("p") / len(text) < 0.3  # a fifth of all text is plays
    assert (
        text[:FULL] == "".join(item.value for item in take_first(mixed_dataset.iter_passages("val", FULL), FULL))[:FULL]
    )


def test_all_passages_are_the_complete_text(tmp_path: Path) -> None:
    dataset = create_dataset(Workspace(tmp_path), [f"{n} " + "wörter und 狐 " * n * 40 for n in range(40)])
    passages: dict[str, list[str]] = {}
    for item in dataset.iter_passages("val", 10_000):
        assert len(item.value.encode()) < 1.1 * PASSAGE_BYTES
        passages.setdefault(item.source, []).append(item.value)
    for item in dataset.iter_documents("val"):
        assert sorted("".join(passages[item.source])) == sorted(item.value)
        assert all(part in item.value for part in passages[item.source])


def test_neither_the_order_of_collection_nor_the_limit_matters(mixed_dataset: Dataset, tmp_path: Path) -> None:
    reversed_data = create_dataset(Workspace(tmp_path), plays_and_code()[::-1], rows=3)
    values = [item.value for item in take_first(mixed_dataset.iter_passages("val", FULL), FULL)]
    assert values == [item.value for item in take_first(reversed_data.iter_passages("val", FULL), FULL)]
    few = [item.value for item in take_first(mixed_dataset.iter_passages("val", 50_000), 50_000)]
    assert few == values[: len(few)]
    in_order, in_reverse = (
        {item.value for item in data.sample_documents("val", 100)} for data in (mixed_dataset, reversed_data)
    )
    assert in_order == in_reverse
    assert 1 <= sum("p" in value for value in in_order) <= 12  # a twentieth of the documents is plays


def test_a_split_within_the_limit_is_read_completely(tmp_path: Path) -> None:
    texts = [f"{n} " + "x" * 9_000 for n in range(10)]
    dataset = create_dataset(Workspace(tmp_path), texts)
    assert [item.value for item in dataset.iter_passages("val", FULL)] == texts
    assert [item.value for item in dataset.sample_documents("val", 10)] == texts
    assert list(dataset.iter_passages("test", FULL)) == list(dataset.sample_documents("test", 5)) == []


def test_a_conversation_is_never_split_nor_repeated(tmp_path: Path) -> None:
    conversations = [
        json.dumps([{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "y"}]) for n in range(60)
    ]
    dataset = create_dataset(Workspace(tmp_path), [f"{n} " + "y" * 9_000 for n in range(60)], conversations)
    passages = list(dataset.iter_passages("val", 20_000))
    assert sorted(int(item.value.split()[0]) for item in passages) == list(range(60))
    assert all(len(item.value) > 9_000 for item in passages)
    assert [item.source for item in passages] != [str(n) for n in range(60)]


def test_only_sampled_row_groups_are_read(mixed_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, list[str]]] = []
    iter_batches = pq.ParquetFile.iter_batches

    def spy(file: pq.ParquetFile, size: int, groups: list[int], columns: list[str]) -> Any:
        read.extend((group, columns) for group in groups)
        return iter_batches(file, size, groups, columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    assert len(take_first(mixed_dataset.iter_passages("val", 12_000), 12_000)) >= 3
    texts = [group for group, columns in read if "text" in columns]
    assert 1 <= len(texts) <= 6  # of 54: one for each passage at most
    assert all(set(columns) == {"id", "bytes", "split"} for _, columns in read if "text" not in columns)
    read.clear()
    assert len(list(mixed_dataset.sample_documents("val", 4))) == 4
    assert 1 <= sum("text" in columns for _, columns in read) <= 4


def test_only_sampled_images_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = [image.encode(np.full((4, 4, 3), n, np.uint8)) for n in range(60)]
    dataset, decode, decoded = create_dataset(Workspace(tmp_path), tiles), image.decode, []
    monkeypatch.setattr(image, "decode", lambda data: decoded.append(data) or decode(data))
    shades = [int(item.value[0, 0, 0]) for item in dataset.sample_documents("val", 20)]
    assert len(decoded) == len(set(shades)) == 20
    assert shades == sorted(shades), "in the order collected"
    assert shades != list(range(20))
    assert shades == [int(item.value[0, 0, 0]) for item in dataset.sample_documents("val", 20)]
