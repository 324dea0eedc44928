"""Collect melodies: one a file, with its tempo and chords as columns; only exact copies are removed."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

import genloom_beeps as beeps
from genloom.collect.duplicates import Sketches
from genloom.collect.options import Note, Options, Report
from genloom.collect.preparation import Counters, Document
from genloom.collect.sources import SourceFile

noun = "melody"
accepted_files = "beep files"
drop_reasons = {"exact copy": "the same as another melody", "near-duplicate": "nearly the same as another melody"}
unsupported_options = ("scrub", "min_quality", "languages", "chunk_chars", "size", "background", "column")


@dataclass(frozen=True)
class RawMelody:
    data: bytes
    source: str
    is_whole_file: bool = True

    @property
    def size(self) -> int:
        return len(self.data)


def match_count(files: Sequence[SourceFile]) -> int:
    return sum(file.path.suffix in beeps.suffixes for file in files)


def select(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
    melodies = [file for file in files if file.path.suffix in beeps.suffixes]
    return melodies, [Note(file.name, "it is no melody") for file in files if file not in melodies]


def resolve(options: Options, source_files: Sequence[SourceFile]) -> Options:
    return replace(options, near_duplicates=0.0)


def read(file: SourceFile, options: Options) -> Iterator[RawMelody]:
    yield RawMelody(file.path.read_bytes(), file.name)


def build_document(raw: RawMelody, options: Options, counters: Counters) -> tuple[Document, None]:
    content = beeps.read_content(raw.data)
    data = beeps.encode(tuple(content["notes"]))
    columns = {"content": data, **{name: content.get(name) for name in COLUMNS}}
    digest = hashlib.sha256(data).digest()
    return Document("", digest, raw.source, options.licence or "unknown", len(data), columns), None


COLUMNS = {"tempo": pa.float64(), "chords": pa.list_(pa.list_(pa.list_(pa.list_(pa.float32()))))}


def build_columns(documents: Sequence[Document]) -> dict[str, pa.Array]:
    types = {"content": pa.binary(), **COLUMNS}
    return {name: pa.array([document.columns[name] for document in documents], types[name]) for name in types}


def compute_sketches(sketch_inputs: list[Any], digests: list[bytes], should_find_near: bool) -> Sketches:
    keys = np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)
    return Sketches(keys.reshape(-1, 1), np.zeros((len(digests), 0), np.uint8))


def similarity(signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
    raise AssertionError("melodies have no sketches to compare")


def describe_splits(report: Report, options: Options) -> str:
    return "The split of a melody depends on its notes and the seed alone."


def build_metadata(report: Report) -> dict[str, Any]:
    return {}


def summary(report: Report) -> str:
    return f"{report.documents_kept} melodies"


def describe_changes(report: Report) -> list[str]:
    return []


def render_sections(report: Report) -> list[str]:
    return []
