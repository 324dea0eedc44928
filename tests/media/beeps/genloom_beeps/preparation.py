"""Collect melodies: one a file, with the rest of its content as columns; only exact copies are removed."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import genloom_beeps as beeps
from genloom.collect.duplicates import Sketches
from genloom.collect.options import Options
from genloom.collect.preparation import Counters, Document
from genloom.collect.sources import SourceFile

noun = "melody"


@dataclass(frozen=True)
class RawMelody:
    data: bytes
    source: str
    is_whole_file: bool = True

    @property
    def size(self) -> int:
        return len(self.data)


def count_matching_files(files: Sequence[SourceFile]) -> int:
    return sum(file.path.suffix in beeps.suffixes for file in files)


def read(file: SourceFile, options: Options) -> Iterator[RawMelody]:
    yield RawMelody(file.path.read_bytes(), file.name)


def build_document(raw: RawMelody, options: Options, counters: Counters) -> tuple[Document, None]:
    content = beeps.read_content(raw.data)
    data = beeps.encode(tuple(content.pop("notes")))
    columns = {"content": data, **content}
    return Document(
        "", hashlib.sha256(data).digest(), raw.source, options.licence or "unknown", len(data), columns
    ), None


def compute_sketches(sketch_inputs: list[Any], digests: list[bytes], should_find_near: bool) -> Sketches:
    keys = np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)
    return Sketches(keys.reshape(-1, 1), np.zeros((len(digests), 0), np.uint8))


def compute_similarity(signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
    raise AssertionError("melodies have no sketches to compare")
