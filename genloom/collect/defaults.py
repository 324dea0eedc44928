"""Defaults of a preparation: one file a document, no options of its own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from genloom.collect.options import Note, Options, Report
from genloom.collect.slug import escape_name
from genloom.collect.text_table import describe_held_out
from genloom.errors import format_message
from genloom.media.abilities import get_ability
from genloom.text_format import format_count

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

    from genloom.collect.preparation import Document
    from genloom.collect.sources import SourceFile


def build_defaults(medium: Any, preparation: Any = None) -> dict[str, Any]:
    """Return every optional name of a preparation with its value for this medium, in the preparation's own words."""
    noun = getattr(preparation, "noun", medium.kind)
    plural = getattr(preparation, "plural", get_ability(medium, "plural"))
    return {
        "Config": Options,
        "noun": noun,
        "plural": plural,
        "accepted_files": f"{', '.join(suffix.removeprefix('.') for suffix in medium.suffixes)} files",
        "drop_reasons": {
            "exact copy": f"the same as another {noun}",
            "near-duplicate": f"nearly the same as another {noun}",
        },
        "accepts_any_file": False,
        "reads_files_apart": False,
        "decodes_documents": True,
        "builtin_sources": {},
        "select": partial(select, medium.suffixes),
        "resolve": lambda options, source_files: options,
        "note_content": lambda report, options: [],
        "describe_splits": partial(describe_splits, noun),
        "build_columns": build_columns,
        "build_metadata": lambda report: {},
        "summary": lambda report: format_count(report.documents_kept, noun, plural),
        "describe_changes": lambda report: [],
        "render_sections": lambda report: [],
    }


def select(suffixes: Sequence[str], files: "Sequence[SourceFile]") -> "tuple[list[SourceFile], list[Note]]":
    """Return the files with these suffixes, and a note on the others."""
    selected_files = [file for file in files if file.path.suffix.lower() in suffixes]
    counts = Counter(escape_name(file.path.suffix.lower()) or "no suffix" for file in files)
    for file in selected_files:
        counts[escape_name(file.path.suffix.lower())] -= 1
    return selected_files, note_other_files(+counts)


def note_other_files(counts: Mapping[str, int]) -> list[Note]:
    """Return a note on the files that do not belong to the medium, by their suffixes; none without such files."""
    if not counts:
        return []
    suffixes = ", ".join(f"{count:,} {suffix}" for suffix, count in Counter(counts).most_common(6))
    files = format_count(sum(counts.values()), "other file")
    reason = format_message("collect.other_files", files=files, suffixes=suffixes)
    return [Note("the sources", reason, is_skipped=False)]


def describe_splits(noun: str, report: Report, options: Options) -> str:
    """Return how the splits were made, and how different the held-out documents are from the rest."""
    sentences = describe_held_out(options, noun, "its content")
    if not (options.val or options.test):
        return " ".join(sentences)
    if not options.near_duplicates:
        twins = f"Only exact copies were removed: a held-out {noun} may have near-duplicates in `train`."
    elif report.is_split_by_group:
        twins = f"Near-duplicates were removed, so that no held-out {noun} has a near-duplicate in `train`."
    else:
        twins = f"Near-duplicates were removed, but parts of a held-out {noun} may be in `train`."
    return " ".join([*sentences, twins])


def build_columns(documents: "Sequence[Document]") -> "dict[str, pa.Array]":
    """Return the column of the encoded values, for media whose documents have one."""
    import pyarrow as pa

    if not any("content" in document.columns for document in documents):
        return {}
    return {"content": pa.array([document.columns["content"] for document in documents], pa.binary())}
