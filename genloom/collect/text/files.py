"""Decide for each file how its text is read, or why not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genloom.collect.options import Note
from genloom.collect.sources import BUILTIN_PREFIX, SourceFile
from genloom.collect.text import chat_exports
from genloom.collect.unread_suffixes import CONVERSION_HINTS
from genloom.errors import GenloomError
from genloom.media import text

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".canvas": "json",  # of JSON Canvas, as Obsidian writes it
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    **dict.fromkeys(text.DOCUMENTS, "document"),
    **dict.fromkeys(text.SHEETS, "sheets"),
    **dict.fromkeys(text.MARKUP, "markup"),
}
MIN_STREAMED_BYTES = 4 << 20


def count_matching_files(files: Sequence[SourceFile]) -> int:
    """Count the files that hold text by their suffix."""
    return sum(get_inner_suffix(file.path) in text.suffixes or get_inner_suffix(file.path) in FORMATS for file in files)


def select(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
    """Return all files except those to convert first, since a file of any other name may hold text."""
    selected_files, notes = [], []
    for file in files:
        suffix = file.path.suffix.lower()
        file_format = (
            "builtin" if file.name.startswith(BUILTIN_PREFIX) else FORMATS.get(get_inner_suffix(file.path), "text")
        )
        if suffix == chat_exports.ARCHIVE_SUFFIX and chat_exports.find_members(file.path):
            selected_files.append(replace(file, format="chat export"))
        elif suffix in CONVERSION_HINTS:
            error = GenloomError("collect.unsupported_suffix", suffix=suffix, cure=CONVERSION_HINTS[suffix])
            notes.append(Note.from_error(file.name, error))
        elif file.is_gzipped and file_format in ("document", "sheets", "parquet"):
            suffix = f"{get_inner_suffix(file.path)}.gz"
            error = GenloomError("collect.unsupported_suffix", suffix=suffix, cure="unpack it first")
            notes.append(Note.from_error(file.name, error))
        else:
            is_large = file.size > MIN_STREAMED_BYTES or file_format == "parquet" or file.is_gzipped
            is_streamed = is_large and file_format not in ("document", "sheets")
            selected_files.append(replace(file, format=file_format, is_streamed=is_streamed))
    return selected_files, notes


def get_inner_suffix(path: Path) -> str:
    """Return the suffix, for a .gz the suffix before it."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix
