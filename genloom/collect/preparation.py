"""The interface between the collection and a medium: a preparation, found by the medium's name like every plugin."""

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
from genloom.errors import GenloomError

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

Counters = dict[str, Counter[str]]  # counters by name


class RawDocument(Protocol):
    """A document as it was read from a source, not yet processed."""

    @property
    def source(self) -> str: ...

    @property
    def is_whole_file(self) -> bool:
        """Whether the document is the whole of its file."""
        ...

    @property
    def size(self) -> int:
        """Bytes or characters, by which the size of jobs is bounded."""
        ...


@dataclass(frozen=True)
class Document:
    """A document as it is stored, except for its split."""

    text: str  # the text itself, or the caption
    digest: bytes  # SHA-256 of the content that defines an exact copy
    source: str
    licence: str
    size: int  # bytes of UTF-8, or of the encoded content
    columns: Mapping[str, Any] = field(default_factory=dict)  # further columns of the medium
    counter_values: Mapping[str, str] = field(default_factory=dict)  # counted in the report if the document is kept
    review_reasons: tuple[str, ...] = ()  # why a person should look at it


class Preparation(Protocol):
    """The processing of a medium's documents: which files hold them, how to read, normalise and compare them."""

    noun: str  # the word for a document
    accepted_files: str  # the files that can be collected, for people
    drop_reasons: Mapping[str, str]  # reasons why a document is dropped → their texts for people
    unsupported_options: tuple[str, ...]  # the options that do not apply to this medium

    def match_count(self, files: Sequence[SourceFile]) -> int:
        """Count the files, or the documents in them, that belong to this medium by their names."""
        ...

    def select(self, files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
        """Return the files to read, each with its format, and a note for every other file."""
        ...

    def resolve(self, options: Options, source_files: Sequence[SourceFile]) -> Options:
        """Return the options with every automatic value chosen."""
        ...

    def read(self, file: SourceFile, options: Options) -> Iterator[Any]:
        """Yield a RawDocument for every document of a file; bad input yields a Note and never raises."""
        ...

    def build_document(self, raw: Any, options: Options, counters: Counters) -> tuple[Document, Any]:
        """Return the document to store and the input for its sketch; count in `counters` what was changed.

        Raises ValueError if the raw document cannot be decoded, and Skip if the options exclude it.
        """
        ...

    def compute_sketches(self, sketch_inputs: list[Any], digests: list[bytes], should_find_near: bool) -> Sketches:
        """Return the sketches by which copies are found; without `should_find_near` only for exact copies."""
        ...

    def similarity(self, signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
        """Return the similarity of one signature to each of N others, at most 1."""
        ...

    def describe_splits(self, report: Report, options: Options) -> str:
        """Return the card's paragraph on the splits: how they were made, and how far they are independent."""
        ...

    def build_columns(self, documents: Sequence[Document]) -> dict[str, "pa.Array"]:
        """Return the medium's own columns of the data set."""
        ...

    def build_metadata(self, report: Report) -> dict[str, Any]:
        """Return the medium's own counts for the manifest."""
        ...

    def summary(self, report: Report) -> str:
        """Return the content of the data set in a few words, for people."""
        ...

    def describe_changes(self, report: Report) -> list[str]:
        """Return a line for each kind of change in the documents, for people."""
        ...

    def render_sections(self, report: Report) -> list[str]:
        """Return the card's sections on the medium's own counts, in Markdown."""
        ...


class Skip(Exception):
    """Raised for a document that the options exclude; its text is a key of the preparation's `drop_reasons`."""


@functools.cache  # called for each batch; listing the plugins takes as long as processing some batches
def get_preparation(medium: str) -> Preparation:
    """Return the preparation of a medium; raises ValueError for a medium that cannot be collected."""
    return cast(Preparation, plugins.find_part("preparation", medium))


def check_options(options: Options, medium: str) -> None:
    """Raise GenloomError if an option is set that does not apply to the medium."""
    for name in get_preparation(medium).unsupported_options:
        if getattr(options, name) != getattr(Options, name):
            raise GenloomError("collect.unsupported_option", option=name.replace("_", "-"), medium=medium)
