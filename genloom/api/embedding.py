"""The embeddings of texts in files, as a file: with the texts and their places, or the vectors alone."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.knowledge import embed
from genloom.errors import GenloomError
from genloom.store.files import expand_home, write_atomic

if TYPE_CHECKING:
    import numpy as np

    from genloom.api.workspace import Workspace
    from genloom.collect.options import Note

SUFFIXES = (".parquet", ".npy", ".jsonl")


@dataclass(frozen=True)
class EmbeddingReport:
    """The number of vectors, their width and the weights that gave them."""

    path: Path
    count: int
    width: int
    weights: str
    notes: "tuple[Note, ...]" = ()


@dataclass(frozen=True)
class PlacedText:
    """A text, and where it stands."""

    text: str
    source: str


def embed_file(
    workspace: "Workspace",
    source: str | Path,
    out: str | Path,
    *,
    column: str = "",
    is_full: bool = False,
    progress: bool | None = None,
) -> EmbeddingReport:
    """Write the embeddings of the texts in a file or folder.

    Parameters
    ----------
    source
        Table, whose rows are embedded, or document or folder, whose passages are.
    out
        File of the vectors, .parquet, .jsonl or .npy.
    column
        Column or key of the text of a row. "": one with a usual name such as text, else all columns.
    is_full, progress
        As for `Workspace.embed`.

    Raises
    ------
    GenloomError
        knowledge.vectors_suffix, knowledge.no_vectors, knowledge.no_column; collect.no_such_source.
    """
    path = expand_home(out)
    if path.suffix.lower() not in SUFFIXES:
        raise GenloomError("knowledge.vectors_suffix", path=path)
    texts, notes = read_texts(expand_home(source), workspace.folder, column)
    if not texts:
        reason = f": {notes[0].reason}" if notes else ""
        if len(notes) > 1:
            reason = f": {notes[0].source}: {notes[0].reason}"
        raise GenloomError("knowledge.no_vectors", source=source, reason=reason)
    vectors_ND = embed(workspace, [each.text for each in texts], is_full=is_full, progress=progress)
    write_atomic(path, render_vectors(texts, vectors_ND, path.suffix.lower()))
    weights = "float32" if is_full else "int8"
    return EmbeddingReport(path, len(texts), vectors_ND.shape[1], weights, tuple(notes))


def read_texts(source: Path, excluded_folder: Path, column: str) -> "tuple[list[PlacedText], list[Note]]":
    """Return the rows of tables and the passages of documents, and notes on what was not read."""
    from genloom.assistant.knowledge import tables
    from genloom.assistant.knowledge.documents import find_documents, read_documents
    from genloom.assistant.knowledge.passages import split_document
    from genloom.limited_process import LimitedProcess

    files, notes = find_documents([source], excluded_folder)
    texts: list[PlacedText] = []
    with LimitedProcess() as process:
        for file in files:
            documents, more_notes = read_documents(file, process, column)
            notes += more_notes
            for document in documents:
                if tables.is_table(file):
                    sheet = f"/{document.sheet}" if document.sheet else ""
                    texts.append(PlacedText(document.text, f"{file.name}{sheet}:{document.row}"))
                    continue
                for passage in split_document(document):
                    texts.append(PlacedText(passage.searched_text, f"{file.name}#{passage.start}-{passage.end}"))
    return texts, notes


def render_vectors(texts: Sequence[PlacedText], vectors_ND: "np.ndarray", suffix: str) -> bytes:
    """Return the file of vectors in the format of a suffix."""
    import numpy as np

    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, vectors_ND, allow_pickle=False)
        return buffer.getvalue()
    if suffix == ".jsonl":
        rows: list[dict[str, Any]] = [
            {"source": each.source, "text": each.text, "vector": [round(float(v), 7) for v in row]}
            for each, row in zip(texts, vectors_ND, strict=True)
        ]
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = pa.array(vectors_ND.reshape(-1), pa.float32())
    table = pa.table(
        {
            "source": pa.array([each.source for each in texts], pa.string()),
            "text": pa.array([each.text for each in texts], pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors_ND.shape[1]),
        }
    )
    pq.write_table(table, buffer)
    return buffer.getvalue()
