"""Finds the caption of a picture: in a file or a table beside it, or in its name."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.collect import licence, table_files
from genloom.collect.parquet import open_parquet
from genloom.collect.slug import escape_name, replace_surrogates
from genloom.media.text import encoding

SIDECAR_SUFFIXES = (".txt", ".caption", ".json")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
FILE_COLUMNS = ("file_name", "filename", "file", "image", "path", "image_path", "image_file", "img")
CAPTION_COLUMNS = ("caption", "text", "prompt", "description", "title", "alt", "alt_text", "label", "name")
MAX_SIDECAR_BYTES = 1 << 20  # bytes
MAX_CAPTION_CHARS = 2_000  # characters
MAX_TABLE_ROWS = 2_000_000
# fmt: off
# What cameras and programs call a picture whose maker said nothing.
GENERIC_WORDS = frozenset((
    "img", "image", "images", "dsc", "dscn", "dscf", "dcim", "pxl", "mvi", "imgp", "gopr", "photo", "photos", "pic",
    "pics", "picture", "pictures", "screenshot", "screen", "shot", "untitled", "unnamed", "scan", "scanned", "file",
    "frame", "download", "downloads", "whatsapp", "signal", "telegram", "snapchat", "fb", "fbimg", "received",
    "cropped", "edited", "copy", "burst", "cover", "portrait", "night", "mp", "hdr", "pano", "thumb", "thumbnail",
    "original", "large", "small", "medium", "train", "test", "val", "valid", "validation", "data", "dataset", "raw",
    "export", "exports", "output", "outputs", "sample", "samples", "new", "at", "am", "pm", "wa",
))
# fmt: on
HEX_PATTERN = re.compile(r"^(?=.*\d)[0-9a-f]{6,}$", re.IGNORECASE)
UUID_PATTERN = re.compile(r"^[0-9a-f-]{32,}$", re.IGNORECASE)


@dataclass(frozen=True)
class CaptionEntry:
    """What a sidecar or a table says of a picture."""

    caption: str
    licence: str = ""


def pick_caption(*candidates: tuple[str, str]) -> tuple[str, str]:
    """The first caption that says something, with who said it."""
    return next(((caption, source) for caption, source in candidates if caption), ("", "none"))


def find_caption(path: Path, root: Path) -> tuple[CaptionEntry, str]:
    """What a file of the same name says of the picture, else a table in its folder or above it up to `root`."""
    for sidecar in (
        s for suffix in SIDECAR_SUFFIXES for s in (path.with_suffix(suffix), path.with_name(path.name + suffix))
    ):
        if sidecar.is_file() and (sidecar_entry := _read_sidecar(sidecar)).caption:
            return sidecar_entry, "a file beside it"
    folder = path.parent
    while True:
        relative_name = escape_name(path.relative_to(folder).as_posix())
        for entries in _read_tables(folder):
            if table_entry := entries.get(relative_name) or entries.get(escape_name(path.name)):
                return table_entry, "a table beside it"
        if folder == root or root not in folder.parents:
            return CaptionEntry(""), ""
        folder = folder.parent


def parse_record(record: Mapping[str, Any], column: str = "") -> CaptionEntry:
    """The caption and the licence in a row or an object; `column` is what the person named."""
    lower_record = {str(name).lower(): value for name, value in record.items()}
    names = (column.lower(),) if column else CAPTION_COLUMNS
    caption = next((c for name in names if (c := normalize_caption(_first_string(lower_record.get(name))))), "")
    licence_text = next(
        (
            normalize_caption(value)
            for name in licence.LICENCE_COLUMNS
            if isinstance(value := lower_record.get(name), str)
        ),
        "",
    )
    return CaptionEntry(caption, licence.identify_licence(licence_text) if licence_text else "")


def normalize_caption(value: Any) -> str:
    """A caption on one line, of bounded length; "" of what is no text."""
    return " ".join(replace_surrogates(value).split())[:MAX_CAPTION_CHARS] if isinstance(value, str) else ""


def derive_caption(name: str) -> str:
    """The words in the name of a file: "red-apple_03" is "red apple", "IMG_1234" says nothing."""
    if UUID_PATTERN.match(name):
        return ""
    spaced_name = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])|[\W_]+", " ", name)
    words = [word for word in spaced_name.split() if not HEX_PATTERN.match(word)]
    words = [word for word in (re.sub(r"^\d+|\d+$", "", word) for word in words) if word]
    distinctive_words = [word for word in words if len(word) > 2 and word.lower() not in GENERIC_WORDS]
    return " ".join(words).strip() if distinctive_words else ""


@functools.lru_cache(16)
def read_table(path: Path) -> Mapping[str, CaptionEntry]:
    """What a table says of files, by their names in it; empty where it is no such table, or damaged."""
    entries: dict[str, CaptionEntry] = {}
    try:
        for record in _iter_records(path):
            name = next((record[key] for key in record if str(key).strip().lower() in FILE_COLUMNS), None)
            if isinstance(name, Mapping):  # Hugging Face's picture without its bytes
                name = name.get("path")
            if isinstance(name, str) and name.strip():
                entry = parse_record({k: v for k, v in record.items() if v is not name})
                if entry.caption or entry.licence:
                    entries.setdefault(name.strip().replace("\\", "/").removeprefix("./"), entry)
            if len(entries) >= MAX_TABLE_ROWS:
                break
    except (OSError, ValueError):
        return {}
    return entries


def clear_caches() -> None:
    """Tables may have changed since they were read."""
    read_table.cache_clear()
    _read_tables.cache_clear()


@functools.lru_cache(256)
def _read_tables(folder: Path) -> tuple[Mapping[str, CaptionEntry], ...]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file())
    except OSError:
        return ()
    return tuple(entries for path in paths if (entries := read_table(path)))


def _iter_records(path: Path) -> Iterator[Mapping[str, Any]]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _iter_parquet(path)
    elif suffix in (".csv", ".tsv"):
        rows = table_files.read_csv(encoding.open_text(path), is_tab_separated=suffix == ".tsv")
        yield from (record for _, record in rows if isinstance(record, dict))
    else:
        yield from (
            record for _, record in table_files.read_jsonl(encoding.open_text(path)) if isinstance(record, dict)
        )


def _iter_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa

    with open_parquet(path) as file:
        strings = [f.name for f in file.schema_arrow if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        for batch in file.iter_batches(1024, columns=strings):
            yield from batch.to_pylist()


def _read_sidecar(path: Path) -> CaptionEntry:
    """What a file beside a picture says; one that is damaged or no text says nothing."""
    try:
        if path.stat().st_size > MAX_SIDECAR_BYTES:
            return CaptionEntry("")
        content = "".join(encoding.open_text(path))
        if path.suffix.lower() != ".json":
            return CaptionEntry(normalize_caption(content))
        record = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return CaptionEntry("")
    return parse_record(record) if isinstance(record, dict) else CaptionEntry(normalize_caption(record))


def _first_string(value: Any) -> Any:
    """Several captions of a picture: the first."""
    return value[0] if isinstance(value, list) and value else value
