"""Says of each file how its text is read, or why it is not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genloom.collect.options import Note
from genloom.collect.sources import BUILTIN, Found
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
CURES = {
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
STREAMED_FROM = 4 << 20  # bytes


def claims(files: Sequence[Found]) -> int:
    """How many files are read as text by their suffix."""
    return sum(_inner(one.path) in text.suffixes or _inner(one.path) in FORMATS for one in files)


def sort(files: Sequence[Found]) -> tuple[list[Found], list[Note]]:
    """All but what has to be converted first: a file of any other name may hold text."""
    found, notes = [], []
    for one in files:
        suffix = one.path.suffix.lower()
        form = "builtin" if one.name.startswith(BUILTIN) else FORMATS.get(_inner(one.path), "text")
        if suffix in CURES:
            notes.append(Note(one.name, f"{suffix} files are not read; {CURES[suffix]}"))
        elif one.is_packed and form in ("document", "parquet"):
            notes.append(Note(one.name, f"{_inner(one.path)}.gz files are not read; unpack it first"))
        else:
            large = one.size > STREAMED_FROM or form == "parquet" or one.is_packed
            found.append(replace(one, format=form, streamed=form != "document" and large))
    return found, notes


def _inner(path: Path) -> str:
    """The suffix, of a packed file that of what is in it."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix
