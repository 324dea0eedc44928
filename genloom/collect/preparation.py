"""The interface between the collection and a medium: a preparation, found by the medium's name like every plugin."""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from genloom import plugins
from genloom.collect.duplicates import Sketches
from genloom.collect.options import Note, Options, Report, to_flag
from genloom.collect.sources import SourceFile
from genloom.errors import GenloomError

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

Counters = dict[str, Counter[str]]  # counters by name


class RawDocument(Protocol):
    """A document as it was read from a source, not yet processed; one of a table may have `kept_values` by column."""

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
    kept_values: Mapping[str, Any] = field(
        default_factory=dict
    )  # values of its table's other columns, from the raw document


class Preparation(Protocol):
    """The processing of a medium's documents: which files hold them, how to read, normalise and compare them.

    A module defines count_matching_files, read, build_document, compute_sketches and compute_similarity; all else has
    a default in genloom/collect/defaults.py.
    """

    Config: type[Options]  # the options of the medium, a subclass of Options with fields by `settings.option`
    noun: str  # the word for a document
    plural: str  # for several; by default as the medium says
    accepted_files: str  # the files that can be collected, for people
    drop_reasons: Mapping[str, str]  # reasons why a document is dropped → their texts for people
    accepts_any_file: bool  # whether a file of any name may belong to the medium
    reads_files_apart: bool  # whether a file means the same without those beside it
    decodes_documents: bool  # whether `build_document` decodes bytes from outside, which may take time and memory
    builtin_sources: Mapping[str, Path]  # name → file, for sources such as "builtin:shakespeare"

    def count_matching_files(self, files: Sequence[SourceFile]) -> int:
        """Count the files, or the documents in them, that belong to this medium by their names."""
        ...

    def select(self, files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
        """Return the files to read, each with its format, and a note for every other file."""
        ...

    def resolve(self, options: Any, source_files: Sequence[SourceFile]) -> Any:
        """Return the options with every automatic value chosen."""
        ...

    def read(self, file: SourceFile, options: Any) -> Iterator[Any]:
        """Yield a RawDocument for every document of a file; bad input yields a Note and never raises."""
        ...

    def build_document(self, raw: Any, options: Any, counters: Counters) -> tuple[Document, Any]:
        """Return the document to store and the input for its sketch; count in `counters` what was changed.

        Raises ValueError if the raw document cannot be decoded, and Skip if the options exclude it.
        """
        ...

    def compute_sketches(self, sketch_inputs: list[Any], digests: list[bytes], should_find_near: bool) -> Sketches:
        """Return the sketches by which copies are found; without `should_find_near` only for exact copies."""
        ...

    def compute_similarity(self, signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
        """Return the similarity of one signature to each of N others, at most 1."""
        ...

    def note_content(self, report: Report, options: Any) -> list[Note]:
        """Return notes on the documents as a whole, when all were counted."""
        ...

    def describe_splits(self, report: Report, options: Any) -> str:
        """Return the card's paragraph on the splits: how they were made, and how far they are independent."""
        ...

    def build_columns(self, documents: Sequence[Document]) -> dict[str, "pa.Array"]:
        """Return the medium's own columns of the data set; other `Document.columns` get the types of their values."""
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
    """Return the preparation of a medium with its defaults; raises ValueError for one that cannot be collected."""
    from genloom.collect.defaults import build_defaults

    module = plugins.find_part("preparation", medium)
    defaults = build_defaults(plugins.find_part("medium", medium), module)
    own_names = {name: value for name, value in vars(module).items() if name in {*defaults, *REQUIRED_NAMES}}
    return cast(Preparation, SimpleNamespace(**{**defaults, **own_names}))


REQUIRED_NAMES = ("count_matching_files", "read", "build_document", "compute_sketches", "compute_similarity")


def check_shared_options(given: Mapping[str, Any]) -> None:
    """Raise GenloomError for an option of all media that is not allowed, before the medium is known."""
    Options(**{f.name: given[f.name] for f in fields(Options) if f.name in given})


def build_options(medium: str, given: Mapping[str, Any]) -> Options:
    """Return the options of a collection. Raises GenloomError for one that is unknown, not allowed or of others."""
    config: Any = get_preparation(medium).Config
    defaults = {f.name: f.default for f in fields(config)}
    for name in given:
        if name not in defaults:
            other_media = [other for other in plugins.list_part_names("preparation") if other != medium]
            if any(name in {f.name for f in fields(get_preparation(other).Config)} for other in other_media):
                raise GenloomError("collect.unsupported_option", option=to_flag(name), medium=medium)
            known = ", ".join(map(to_flag, defaults))
            raise GenloomError("collect.unknown_option", option=to_flag(name), medium=medium, known=known)
    values = {name: _to_tuple(value) if defaults[name] == () else value for name, value in given.items()}
    return config(**values)


def _to_tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
