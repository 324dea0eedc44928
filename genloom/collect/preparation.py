"""What collecting a medium needs beyond what is common to all: found by the medium's name, like every part."""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from genloom import plugins
from genloom.collect.duplicates import Sketches
from genloom.collect.options import Note, Options, Report
from genloom.collect.sources import SourceFile

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

Counters = dict[str, Counter[str]]  # what is counted, by its name


class RawDocument(Protocol):
    """Something read from a source, before any work was done on it."""

    @property
    def source(self) -> str: ...

    @property
    def is_whole_file(self) -> bool:
        """Whether it is all of its file."""
        ...

    @property
    def size(self) -> int:
        """Bytes or characters, for the size of jobs."""
        ...


@dataclass(frozen=True)
class Document:
    """A document as it will be stored, but for its split."""

    text: str  # itself, or the caption of what it is
    digest: bytes  # SHA-256 of what counts as the same document
    source: str
    licence: str
    size: int  # bytes of UTF-8, or of packed content
    columns: Mapping[str, Any] = field(default_factory=dict)  # what the medium keeps besides
    counter_values: Mapping[str, str] = field(default_factory=dict)  # counted in the report if the document is kept
    review_reasons: tuple[str, ...] = ()  # why a person should look at it


class Preparation(Protocol):
    """The work on the documents of a medium: which files hold them, how they are read, made uniform and compared."""

    noun: str  # what a document is called
    accepted_files: str  # the files that can be collected, for people
    drop_reasons: Mapping[str, str]  # reasons why a document is left out → what people are told of it
    unsupported_options: tuple[str, ...]  # the options that mean nothing here

    def match_count(self, files: Sequence[SourceFile]) -> int:
        """How many of the files, or of the documents in them, are of this medium by their names."""
        ...

    def select(self, files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
        """The files to be read, each with its format, and a note of every other."""
        ...

    def resolve(self, options: Options, source_files: Sequence[SourceFile]) -> Options:
        """The options with everything chosen that was left to be chosen."""
        ...

    def read(self, file: SourceFile, options: Options) -> Iterator[Any]:
        """A Raw for every document of a file; bad input yields a Note and never raises."""
        ...

    def build_document(self, raw: Any, options: Options, counters: Counters) -> tuple[Document, Any]:
        """What is stored of a Raw, and its likeness, which `sketch` takes. ValueError where it cannot be read.

        Raises Left where the options do not want it. Counts in `tallies` what it changed.
        """
        ...

    def compute_sketches(self, sketch_inputs: list[Any], digests: list[bytes], should_find_near: bool) -> Sketches:
        """What copies are found by; without `near` only exact ones."""
        ...

    def similarity(self, signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
        """How alike documents are by their marks, up to 1."""
        ...

    def describe_splits(self, report: Report, options: Options) -> str:
        """What the card says of the splits: how they were made, and what is not in both sides of them."""
        ...

    def build_columns(self, documents: Sequence[Document]) -> dict[str, "pa.Array"]:
        """The columns of the medium for the data set."""
        ...

    def build_metadata(self, report: Report) -> dict[str, Any]:
        """What the manifest holds of the medium's own counts."""
        ...

    def summary(self, report: Report) -> str:
        """What the data set holds, in a few words for people."""
        ...

    def describe_changes(self, report: Report) -> list[str]:
        """What was changed in the documents, a line each, for people."""
        ...

    def render_sections(self, report: Report) -> list[str]:
        """Sections of the card about the medium's own counts, in Markdown."""
        ...


class Skip(Exception):
    """Raised for a document that the options do not want; its reason is one of the preparation's `removed`."""


@functools.cache  # it is asked for each batch, and looking through the files of a folder takes as long as some do
def get_preparation(medium: str) -> Preparation:
    """The preparation of a medium; ValueError for a medium that cannot be collected."""
    return cast(Preparation, plugins.find_part("preparation", medium))


def check_options(options: Options, medium: str) -> None:
    """ValueError where something is asked for that means nothing for the medium."""
    for name in get_preparation(medium).unsupported_options:
        if getattr(options, name) != getattr(Options, name):
            raise ValueError(f"{name} means nothing where the medium is {medium}; leave it out")
