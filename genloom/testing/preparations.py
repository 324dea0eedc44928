"""The contract of the preparation of a medium for the collection.

Shape letters: B documents, K keys, P bytes of a signature.
"""

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np

from genloom import plugins
from genloom.testing.comparison import check_raises_only_value_error


def check_preparation(name: str, files: Sequence[Path]) -> None:
    """Check the preparation of a medium over files of that medium, as the collection uses it.

    It must select the files, read raw documents and build from each the same document at every call; both pass
    between processes. A damaged file is a Note or a ValueError, never another error. Sketches have a
    row for each document that does not depend on the batch. The columns must decode with the medium.
    """
    from genloom.collect.options import Note, Options, Report
    from genloom.collect.preparation import Skip, get_preparation
    from genloom.collect.sources import SourceFile

    preparation, medium = get_preparation(name), plugins.find_part("medium", name)

    def list_sources(paths: Sequence[Path]) -> list[SourceFile]:
        return [SourceFile(path, path.name, path.stat().st_size, path.parent) for path in paths]

    def read(file: SourceFile) -> list[Any]:
        raw_documents = []
        for raw in preparation.read(file, options):
            is_raw = isinstance(raw, Note) or (isinstance(raw.source, str) and raw.size > 0)
            assert is_raw, f"read must yield documents with a source and a size, or a Note (got {raw!r:.80})"
            raw_documents += [] if isinstance(raw, Note) else [raw]
        return raw_documents

    def build(raw: Any) -> tuple[Any, Any]:
        try:
            return preparation.build_document(raw, options, defaultdict(Counter))
        except Skip as skip:
            assert str(skip) in preparation.drop_reasons, f"drop_reasons has no text for {str(skip)!r}"
            raise

    sources = list_sources(files)
    assert preparation.count_matching_files(sources) > 0, "count_matching_files must count the files of the medium"
    selected, _ = preparation.select(sources)
    assert {file.path for file in selected} == set(files), "select must return every file of the medium"
    assert issubclass(preparation.Config, Options), "Config must be a subclass of genloom.collect.options.Options"
    options = preparation.resolve(preparation.Config(), selected)
    assert preparation.resolve(options, selected) == options, "resolve must keep what is already resolved"
    assert {"exact copy", "near-duplicate"} <= set(preparation.drop_reasons), "drop_reasons lacks those of duplicates"

    raw_documents = [raw for file in selected for raw in read(file)]
    assert raw_documents, "read must yield documents"
    pairs = [build(raw) for raw in raw_documents]
    documents, sketch_inputs = [document for document, _ in pairs], [sketch_input for _, sketch_input in pairs]
    for raw, document in zip(raw_documents, documents, strict=True):
        assert build(raw)[0] == document, "build_document must return the same document at every call"
        for passed in (raw, document):
            try:
                ForkingPickler.dumps(passed)
            except Exception as error:
                raise AssertionError(f"a {type(passed).__name__} must pass between processes: {error}") from error
        assert isinstance(document.digest, bytes) and len(document.digest) == 32, "the digest must be SHA-256"
        assert document.size > 0, "a document must have a size"
    columns = preparation.build_columns(documents)
    clashes = set(columns) & {"id", "text", "source", "licence", "split", "bytes"}
    assert not clashes, f"build_columns returns columns that every data set has: {', '.join(sorted(clashes))}"
    assert all(len(column) == len(documents) for column in columns.values()), "a column has another length"
    for content in columns["content"].to_pylist() if "content" in columns else ():
        medium.decode(content)
    check_sketches(preparation, sketch_inputs, [document.digest for document in documents])

    with tempfile.TemporaryDirectory() as folder:
        damaged_path = Path(folder) / f"damaged{medium.suffixes[0]}"
        damaged_path.write_bytes(b"\xff\x00\xff damaged")
        damaged, _ = preparation.select(list_sources([damaged_path]))
        for raw in [raw for file in damaged for raw in read(file)]:
            with suppress(Skip):
                check_raises_only_value_error(lambda raw=raw: build(raw), "build_document of a damaged file")
    report = Report(name="checked", medium=name, documents_kept=len(documents))
    json.dumps(preparation.build_metadata(report))
    lines = [preparation.describe_splits(report, options), preparation.summary(report), preparation.noun]
    lines += [*preparation.describe_changes(report), *preparation.render_sections(report), preparation.accepted_files]
    assert all(isinstance(line, str) for line in lines), "what describes the data set must be text"


def check_sketches(preparation: Any, sketch_inputs: list[Any], digests: list[bytes]) -> None:
    """Check that a document's sketch is its own, and that its first key stands for its content."""
    sketches = preparation.compute_sketches(sketch_inputs, digests, should_find_near=True)
    keys_BK, signatures_BP = sketches.keys_BK, sketches.signatures_BP
    assert len(keys_BK) == len(signatures_BP) == len(digests), "compute_sketches must return a row for each document"
    assert keys_BK.dtype == np.uint64 and signatures_BP.dtype == np.uint8, "keys are uint64, signatures uint8"
    is_same_key = keys_BK[:, :1] == keys_BK[None, :, 0]
    is_same_digest = np.array([[a == b for b in digests] for a in digests])
    assert np.array_equal(is_same_key, is_same_digest), "equal first keys must mean equal digests"
    for row, (sketch_input, digest) in enumerate(zip(sketch_inputs, digests, strict=True)):
        alone = preparation.compute_sketches([sketch_input], [digest], should_find_near=True)
        is_same = np.array_equal(alone.keys_BK[0], keys_BK[row])
        assert is_same and np.array_equal(alone.signatures_BP[0], signatures_BP[row]), "a sketch depends on its batch"
    if signatures_BP.shape[1]:
        similarities = preparation.compute_similarity(signatures_BP[0], signatures_BP)
        is_valid = similarities.shape == (len(digests),) and similarities.max() <= 1 + 1e-6
        assert is_valid and similarities[0] >= 1 - 1e-6, (
            "compute_similarity must be at most 1, and 1 of a document to itself"
        )
