"""Collect designs: documents with their goals, and tables of designs; the turns of one design are in one split."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genloom.collect import builtin, licence
from genloom.collect.defaults import note_other_files
from genloom.collect.duplicates import Sketches
from genloom.collect.options import Note, Options
from genloom.collect.parquet import open_parquet
from genloom.collect.preparation import Counters, Document, Skip
from genloom.collect.slug import escape_name
from genloom.collect.sources import SourceFile
from genloom.errors import GenloomError
from genloom.media import design as medium
from genloom.media.design.structure import Structure, write_structure

noun = "design"
accepted_files = "design.toml files, or parquet files with a column of designs, or of problems and densities"
drop_reasons = {
    "exact copy": "the same as another design",
    "near-duplicate": "nearly the same as another design",
    "only_goals": "that hold goals and no design yet",
}
builtin_sources = {"structures": Path(builtin.__file__).with_name("structures.parquet")}
HEAD_BYTES = 4096
DESIGN_COLUMNS = ("design", "content")  # of tables, with documents as bytes
ARRAY_COLUMNS = ("problem", "density")  # of tables, with a packed problem and bytes of densities
BATCH_ROWS = 256
NUM_TURNS = 8
MAX_DENSITY_BYTES = 250_000


@dataclass(frozen=True)
class RawDesign:
    """A document as bytes, or the bytes of a problem and of its densities."""

    data: bytes
    source: str
    problem: bytes = b""
    licence: str = ""
    is_whole_file: bool = True

    @property
    def size(self) -> int:
        return len(self.data) + len(self.problem)


def is_document(file: SourceFile) -> bool:
    """Return whether a .toml file begins like one of designs."""
    if file.path.suffix.lower() not in medium.suffixes:
        return False
    try:
        with file.path.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError:
        return False
    return (b"domain" in head and b"support" in head) or b"[density]" in head


def list_design_columns(file: SourceFile) -> tuple[str, ...]:
    """Return the columns of a table that hold designs; () if there are none."""
    if file.path.suffix.lower() != ".parquet":
        return ()
    try:
        with open_parquet(file.path) as table:
            names = table.schema_arrow.names
            if set(ARRAY_COLUMNS) <= set(names):
                return ARRAY_COLUMNS
            column = next((name for name in DESIGN_COLUMNS if name in names), "")
            if not column:
                return ()
            row = next(table.iter_batches(1, columns=[column]), None)
            value = row.to_pylist()[0][column] if row is not None and len(row) else None
    except (ValueError, OSError):
        return ()
    return (column,) if isinstance(value, bytes) and b"[density]" in value else ()


def count_matching_files(files: Sequence[SourceFile]) -> int:
    """Count documents with the pictures and solids of the same name beside them, and the rows of tables."""
    stems = {(file.path.parent, file.path.stem) for file in files if is_document(file)}
    beside = sum((file.path.parent, file.path.stem) in stems for file in files)
    tables = 0
    for file in files:
        if list_design_columns(file):
            with open_parquet(file.path) as table:
                tables += table.metadata.num_rows + 1
    return beside + tables


def select(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
    """Return the documents and tables of designs, and a note on the other files but those beside a document."""
    documents = [replace(file, format="design") for file in files if is_document(file)]
    tables = [replace(file, format="parquet", is_streamed=True) for file in files if list_design_columns(file)]
    used = {file.path for file in (*documents, *tables)}
    folders = {file.path.parent for file in documents}
    others = [file.path for file in files if file.path not in used and file.path.parent not in folders]
    return [*documents, *tables], note_other_files(Counter(escape_name(path.suffix.lower()) for path in others))


def read(file: SourceFile, options: Options) -> Iterator[RawDesign | Note]:
    """Yield the designs of a file; bad input yields a Note and never raises."""
    try:
        if columns := list_design_columns(file):
            yield from read_designs(file, columns)
        elif file.size > medium.MAX_BYTES:
            raise GenloomError("design.file_too_large", limit=medium.MAX_BYTES >> 20)
        else:
            folder_licence = licence.find_folder_licence(file.path.parent, file.root)
            yield RawDesign(file.path.read_bytes(), file.name, licence=folder_licence)
    except OSError as error:
        yield Note.from_error(file.name, GenloomError("collect.file_unreadable", reason=error.strerror or error))
    except ValueError as error:
        yield Note.from_error(file.name, error)


def read_designs(file: SourceFile, columns: Sequence[str]) -> Iterator[RawDesign]:
    """Yield the designs in the rows of a table."""
    number = 0
    with open_parquet(file.path) as table:
        texts = [name for name in ("source", "licence") if name in table.schema_arrow.names]
        for batch in table.iter_batches(BATCH_ROWS, columns=[*columns, *texts]):
            for row in batch.to_pylist():
                number += 1
                source = str(row.get("source") or f"{file.name}:{number}")
                data, problem = row[columns[-1]] or b"", row[columns[0]] or b"" if len(columns) > 1 else b""
                yield RawDesign(data, source, problem, str(row.get("licence") or ""), is_whole_file=False)


def decode_raw(raw: RawDesign) -> Structure:
    """Return the structure of a raw design; GenloomError for a damaged one."""
    if not raw.problem:
        return medium.decode(raw.data)
    from genloom.media.design.mechanics.packing import unpack_problem
    from genloom.media.design.problems import build_goals

    goals = build_goals(unpack_problem(raw.problem))
    levels = np.frombuffer(raw.data[: MAX_DENSITY_BYTES + 1], np.uint8)
    if levels.size != np.prod(goals.domain.shape):
        raise GenloomError("design.damaged_density", count=int(np.prod(goals.domain.shape)))
    return Structure(levels.reshape(goals.domain.shape).copy(), goals)


def build_document(raw: RawDesign, options: Options, counters: Counters) -> tuple[Document, np.ndarray]:
    """Return the design with the numbers that can be conditions, and its densities for the sketch."""
    try:
        structure = decode_raw(raw)
    except GenloomError as error:
        if error.code == "design.no_density":
            raise Skip("only_goals") from None
        raise
    data = write_structure(structure).encode()
    goals = structure.goals
    columns: dict[str, Any] = {
        "content": data,
        "volume": goals.limits.volume if goals else structure.volume,
        "cases": len(goals.cases) if goals else None,
    }
    document = Document(
        goals.title if goals else "",
        hashlib.sha256(data).digest(),
        raw.source,
        options.licence or raw.licence or licence.UNKNOWN_LICENCE,
        len(data),
        columns,
        review_reasons=tuple(medium.check(medium.Item(structure))) if raw.is_whole_file else (),
    )
    return document, structure.levels


def compute_sketches(sketch_inputs: list[np.ndarray], digests: list[bytes], should_find_near: bool) -> Sketches:
    """Return a key for each exact document, and a link that all turns and mirror images of a design share."""
    keys = np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)
    links = np.array([compute_link(levels) for levels in sketch_inputs], np.uint64)
    return Sketches(keys.reshape(-1, 1), np.zeros((len(digests), 0), np.uint8), links_B=links)


def compute_link(levels: np.ndarray) -> int:
    """Return a number, the same for all turns and mirror images of a plane design."""
    from genloom.media.design.mechanics.turning import turn_array

    turned = [levels] if levels.ndim != 2 else [turn_array(levels, turn) for turn in range(NUM_TURNS)]
    least = min(bytes(str(each.shape), "ascii") + each.tobytes() for each in turned)
    return int.from_bytes(hashlib.blake2b(least, digest_size=8).digest(), "little") or 1


def compute_similarity(signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
    raise AssertionError("designs have no sketches to compare: similar ones for other goals are no copies")
