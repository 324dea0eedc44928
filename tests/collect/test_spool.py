"""Documents and sketches that are set aside in files come back as they were, in order."""

from pathlib import Path

import numpy as np
import pytest

from genloom.collect import spool
from genloom.collect.duplicates import Sketches
from genloom.collect.preparation import Document
from genloom.collect.spool import DocumentSpool, SpoolWriter, read_documents, read_sketches


def build_document(number: int) -> Document:
    return Document(
        f"Grüße {number} 狐 \n\x1e",
        bytes([number % 256]) * 32,
        f"notes/{number}.txt:3#1",
        "MIT",
        100 + number,
        {"content": bytes(range(number % 7)), "quality": 0.1 + number, "turns": "", "hash": None},
        {"languages": "en"},
        ("look", "at it") if number % 2 else (),
        {"logp": 2.5, "count": number, "name": 'a "b"', "loads": np.arange(6, dtype=np.float32).reshape(2, 3)},
    )


def as_plain(document: Document) -> tuple[object, ...]:
    kept = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in document.kept_values.items()}
    return (
        *(document.text, document.digest, document.source, document.licence, document.size),
        *(dict(document.columns), dict(document.counter_values), document.review_reasons, kept),
    )


@pytest.mark.parametrize("max_bytes", [1 << 30, 1000])  # in memory, and in files
def test_documents_come_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_bytes: int) -> None:
    monkeypatch.setattr(spool, "MAX_BYTES_IN_MEMORY", max_bytes)
    documents, kept = [build_document(n) for n in range(60)], DocumentSpool(tmp_path)
    for start in range(0, 60, 7):
        kept.add(documents[start : start + 7])
    found = [document for batch in kept for document in batch]
    assert list(map(as_plain, found)) == list(map(as_plain, documents))
    assert any(tmp_path.iterdir()) == (max_bytes == 1000)
    loads = found[3].kept_values["loads"]
    assert (loads.dtype, loads.shape) == (np.float32, (2, 3))


def test_files_of_parts_stand_between_other_documents(tmp_path: Path) -> None:
    documents, sketches = [build_document(n) for n in range(6)], Sketches(
        np.arange(12, dtype=np.uint64).reshape(2, 6),
        np.arange(8, dtype=np.uint8).reshape(2, 4),
        np.array([5, 2**64 - 1], np.uint64),
        np.array([0, 1]),
        np.array([1, 0], np.uint8),
        np.array([0, 9], np.uint64),
    )  # fmt: skip
    paths = tmp_path / "documents", tmp_path / "sketches"
    writer = SpoolWriter(*paths)
    writer.write(documents[2:4], sketches)
    writer.close()
    kept = DocumentSpool(tmp_path)
    kept.add(documents[:2])
    kept.add_file(paths[0])
    kept.add(documents[4:])
    assert [as_plain(d) for batch in kept for d in batch] == list(map(as_plain, documents))
    (found,) = read_sketches(paths[1])
    for name, value in vars(sketches).items():
        assert np.array_equal(getattr(found, name), value), name
        assert getattr(found, name).dtype == value.dtype, name


def test_a_part_without_documents_has_empty_files(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "documents", tmp_path / "sketches")
    writer.close()
    assert list(read_documents(tmp_path / "documents")) == list(read_sketches(tmp_path / "sketches")) == []
