"""Says of each file how its text is read, or why it is not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genloom.collect.options import Note
from genloom.collect.sources import BUILTIN_PREFIX, SourceFile
from genloom.media import text

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pdf": "document",
    ".docx": "document",
    ".epub": "document",
    **dict.fromkeys(text.MARKUP, "markup"),
}
CONVERSION_HINTS = {
    ".doc": "save it as .docx",
    ".rtf": "save it as .docx",
    ".odt": "save it as .docx",
    ".pages": "export it as .docx or .pdf",
    ".xls": "save it as .csv",
    ".xlsx": "save it as .csv",
    ".ods": "save it as .csv",
    ".mobi": "convert it to .epub",
    ".azw3": "convert it to .epub",
    ".zip": "unpack it first",
    ".tar": "unpack it first",
    ".tgz": "unpack it first",
    ".7z": "unpack it first",
    ".bz2": "unpack it first",
    ".xz": "unpack it first",
    ".zst": "unpack it first",
    ".ipynb": "export it as .py or .md",
}
MIN_STREAMED_BYTES = 4 << 20  # bytes


def match_count(files: Sequence[SourceFile]) -> int:
    """How many files are read as text by their suffix."""
    return sum(_inner_suffix(file.path) in text.suffixes or _inner_suffix(file.path) in FORMATS for file in files)


def select(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
    """All but what has to be converted first: a file of any other name may hold text."""
    selected_files, notes = [], []
    for file in files:
        suffix = file.path.suffix.lower()
        file_format = (
            "builtin" if file.name.startswith(BUILTIN_PREFIX) else FORMATS.get(_inner_suffix(file.path), "text")
        )
        if suffix in CONVERSION_HINTS:
            notes.append(Note(file.name, f"{suffix} files are not read; {CONVERSION_HINTS[suffix]}"))
        elif file.is_gzipped and file_format in ("document", "parquet"):
            notes.append(Note(file.name, f"{_inner_suffix(file.path)}.gz files are not read; unpack it first"))
        else:
            is_large = file.size > MIN_STREAMED_BYTES or file_format == "parquet" or file.is_gzipped
            selected_files.append(replace(file, format=file_format, streamed=file_format != "document" and is_large))
    return selected_files, notes


def _inner_suffix(path: Path) -> str:
    """The suffix, of a packed file that of what is in it."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix
