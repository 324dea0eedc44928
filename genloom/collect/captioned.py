"""Collections of values with captions: the reading of files and tables with notes, and reports on captions."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from genloom.collect import captions, licence, media_tables
from genloom.collect.defaults import note_other_files
from genloom.collect.options import Note, Report
from genloom.collect.slug import escape_name
from genloom.collect.sources import SourceFile
from genloom.collect.text_table import render_shares
from genloom.errors import GenloomError
from genloom.text_format import format_count

FROM_TABLE = "a column of the table"  # the origin of a caption


@dataclass(frozen=True)
class RawValue:
    """The bytes of a value with what is known of it. `source` ends in ":12" for a row or a part, counted from 1."""

    data: bytes
    source: str
    caption: str = ""
    caption_source: str = "none"  # where the caption was found
    licence: str = ""  # of this value, or ""
    is_whole_file: bool = True  # whether the value is the whole of its file
    kept_values: Mapping[str, Any] = field(default_factory=dict)  # values of the table's other columns

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


def iter_with_notes(file: SourceFile, values: Iterator[Any]) -> Iterator[Any]:
    """Yield the values of a file; what cannot be read yields a Note."""
    try:
        yield from values
    except OSError as error:
        yield Note.from_error(file.name, GenloomError("collect.file_unreadable", reason=error.strerror or error))
    except MemoryError:
        yield Note.from_error(file.name, GenloomError("collect.memory_limit"))
    except ValueError as error:
        yield Note.from_error(file.name, error)


def find_folder_licence(file: SourceFile) -> str:
    """Return the licence of a file beside this one, or "unknown"."""
    return licence.find_folder_licence(file.path.parent, file.root) or licence.UNKNOWN_LICENCE


def has_values(file: SourceFile, content_columns: Sequence[str], is_value: Callable[[bytes], bool]) -> bool:
    """Return whether a file is a table whose first row holds a value of the medium."""
    if file.path.suffix.lower() != ".parquet" or not media_tables.has_media(file.path, content_columns):
        return False
    try:
        row = next(iter(media_tables.read_media_rows(file.path, "", content_columns)), None)
    except (ValueError, OSError):
        return False
    return row is not None and is_value(row.data)


def count_files(
    files: Sequence[SourceFile], is_value: Callable[[SourceFile], bool], is_table: Callable[[SourceFile], bool]
) -> int:
    """Count the files of a medium, those of their captions beside them, and the rows of tables with its values.

    A table counts one more than for media that go by the names of its columns.
    """
    values = {file.path for file in files if is_value(file)}
    stems = {path.with_suffix("") for path in values}
    sidecars = {
        file.path
        for file in files
        if file.path.suffix.lower() in captions.SIDECAR_SUFFIXES and file.path.with_suffix("") in stems
    }
    num_rows = sum(media_tables.count_rows(file.path) + 1 for file in files if is_table(file))
    return len(values | sidecars) + num_rows


def select_files(
    files: Sequence[SourceFile],
    format: str,
    is_value: Callable[[SourceFile], bool],
    is_table: Callable[[SourceFile], bool],
) -> tuple[list[SourceFile], list[Note]]:
    """Return the files of a medium and its tables, and a note on the others but those that may describe values."""
    captions.clear_caches()
    values = [replace(file, format=format) for file in files if is_value(file)]
    tables = [replace(file, format="parquet", is_streamed=True) for file in files if is_table(file)]
    used = {file.path for file in (*values, *tables)}
    sidecars = {*captions.SIDECAR_SUFFIXES, *captions.TABLE_SUFFIXES} if values else set()
    suffixes = (file.path.suffix.lower() for file in files if file.path not in used)
    counts = Counter(escape_name(suffix) or "no suffix" for suffix in suffixes if suffix not in sidecars)
    notes = note_overruled(files) if values else []
    return [*values, *tables], [*notes, *note_other_files(counts)]


def note_overruled(files: Sequence[SourceFile]) -> list[Note]:
    """Return a note on the captions that are not used because of others for the same values, if there are any."""
    names = {file.path: file.name for file in files}
    overruled = captions.find_overruled(names)
    if not overruled:
        return []
    error = GenloomError("collect.captions_overruled", count=len(overruled), suffix=overruled[0].suffix.lower())
    return [Note.from_error(names[overruled[0]], error, is_skipped=False)]


def build_metadata(report: Report) -> dict[str, Any]:
    """Return the counts of formats, of the origins of captions, and of changes."""
    return {name: dict((+report.counters[name]).most_common()) for name in ("formats", "captions", "changed")}


def summarize(report: Report, noun: str) -> str:
    """Return the number of values, and how many of them have no caption."""
    count, uncaptioned = format_count(report.documents_kept, noun), report.counters["captions"]["none"]
    return f"{count}, {uncaptioned:,} of them without a caption" if uncaptioned else count


def describe_changes(report: Report, verb: str = "changed") -> list[str]:
    """Return lines on the origins of the captions, on how to add missing ones, and on what was changed."""
    origins = Counter({name: count for name, count in report.counters["captions"].items() if name != "none"})
    lines = [f"captions from {format_counts(origins)}"] if origins else []
    if report.counters["captions"]["none"]:
        lines.append(
            "to add a caption, put a .txt file of the same name, or a table with file_name and text, beside it"
        )
    if changes := +report.counters["changed"]:
        lines.append(f"{verb}: {format_counts(changes)}")
    return lines


def render_sections(report: Report, plural: str) -> list[str]:
    """Return sections on the origins of the captions and on the formats."""
    render = partial(render_shares, plural=plural)
    return [
        "## Captions",
        render(report.counters["captions"], "from"),
        "## Formats",
        render(report.counters["formats"], "format"),
    ]


def format_counts(counts: Counter[str]) -> str:
    """Return counts in one line, the largest first."""
    return ", ".join(f"{kind} ({count:,})" for kind, count in counts.most_common())
