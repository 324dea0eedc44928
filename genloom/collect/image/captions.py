"""Finds the caption of a picture: in a file or a table beside it, or in its name."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.collect import licence, tables
from genloom.collect.names import shown, writable
from genloom.collect.parquet import opened
from genloom.media.text import encoding

SIDECARS = (".txt", ".caption", ".json")
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
FILE_COLUMNS = ("file_name", "filename", "file", "image", "path", "image_path", "image_file", "img")
CAPTION_COLUMNS = ("caption", "text", "prompt", "description", "title", "alt", "alt_text", "label", "name")
SIDECAR_AT_MOST = 1 << 20  # bytes
CAPTION_AT_MOST = 2_000  # characters
ROWS_AT_MOST = 2_000_000
# fmt: off
# What cameras and programs call a picture whose maker said nothing.
NAMELESS = frozenset((
    "img", "image", "images", "dsc", "dscn", "dscf", "dcim", "pxl", "mvi", "imgp", "gopr", "photo", "photos", "pic",
    "pics", "picture", "pictures", "screenshot", "screen", "shot", "untitled", "unnamed", "scan", "scanned", "file",
    "frame", "download", "downloads", "whatsapp", "signal", "telegram", "snapchat", "fb", "fbimg", "received",
    "cropped", "edited", "copy", "burst", "cover", "portrait", "night", "mp", "hdr", "pano", "thumb", "thumbnail",
    "original", "large", "small", "medium", "train", "test", "val", "valid", "validation", "data", "dataset", "raw",
    "export", "exports", "output", "outputs", "sample", "samples", "new", "at", "am", "pm", "wa",
))
# fmt: on
HEX = re.compile(r"^(?=.*\d)[0-9a-f]{6,}$", re.IGNORECASE)
UUID = re.compile(r"^[0-9a-f-]{32,}$", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """What a sidecar or a table says of a picture."""

    caption: str
    licence: str = ""


def first(*offers: tuple[str, str]) -> tuple[str, str]:
    """The first caption that says something, with who said it."""
    return next(((caption, by) for caption, by in offers if caption), ("", "none"))


def beside(path: Path, root: Path) -> tuple[Said, str]:
    """What a file of the same name says of the picture, else a table in its folder or above it up to `root`."""
    for sidecar in (s for suffix in SIDECARS for s in (path.with_suffix(suffix), path.with_name(path.name + suffix))):
        if sidecar.is_file() and (said := _sidecar(sidecar)).caption:
            return said, "a file beside it"
    folder = path.parent
    while True:
        inside = shown(path.relative_to(folder).as_posix())
        for entries in _tables(folder):
            if found := entries.get(inside) or entries.get(shown(path.name)):
                return found, "a table beside it"
        if folder == root or root not in folder.parents:
            return Said(""), ""
        folder = folder.parent


def of_record(record: Mapping[str, Any], column: str = "") -> Said:
    """The caption and the licence in a row or an object; `column` is what the person named."""
    lower = {str(name).lower(): value for name, value in record.items()}
    names = (column.lower(),) if column else CAPTION_COLUMNS
    caption = next((c for name in names if (c := line(_string(lower.get(name))))), "")
    own = next((line(value) for name in licence.COLUMNS if isinstance(value := lower.get(name), str)), "")
    return Said(caption, licence.named(own) if own else "")


def line(value: Any) -> str:
    """A caption on one line, of bounded length; "" of what is no text."""
    return " ".join(writable(value).split())[:CAPTION_AT_MOST] if isinstance(value, str) else ""


def words(name: str) -> str:
    """The words in the name of a file: "red-apple_03" is "red apple", "IMG_1234" says nothing."""
    if UUID.match(name):
        return ""
    spaced = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])|[\W_]+", " ", name)
    found = [word for word in spaced.split() if not HEX.match(word)]
    found = [word for word in (re.sub(r"^\d+|\d+$", "", word) for word in found) if word]
    telling = [word for word in found if len(word) > 2 and word.lower() not in NAMELESS]
    return " ".join(found).strip() if telling else ""


@functools.lru_cache(16)
def table(path: Path) -> Mapping[str, Said]:
    """What a table says of files, by their names in it; empty where it is no such table, or damaged."""
    said: dict[str, Said] = {}
    try:
        for record in _records(path):
            name = next((record[key] for key in record if str(key).strip().lower() in FILE_COLUMNS), None)
            if isinstance(name, Mapping):  # Hugging Face's picture without its bytes
                name = name.get("path")
            if isinstance(name, str) and name.strip():
                entry = of_record({k: v for k, v in record.items() if v is not name})
                if entry.caption or entry.licence:
                    said.setdefault(name.strip().replace("\\", "/").removeprefix("./"), entry)
            if len(said) >= ROWS_AT_MOST:
                break
    except (OSError, ValueError):
        return {}
    return said


def forget() -> None:
    """Tables may have changed since they were read."""
    table.cache_clear()
    _tables.cache_clear()


@functools.lru_cache(256)
def _tables(folder: Path) -> tuple[Mapping[str, Said], ...]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES and path.is_file())
    except OSError:
        return ()
    return tuple(entries for path in paths if (entries := table(path)))


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet(path)
    elif suffix in (".csv", ".tsv"):
        rows = tables.csv_rows(encoding.stream(path), tabs=suffix == ".tsv")
        yield from (record for _, record in rows if isinstance(record, dict))
    else:
        yield from (record for _, record in tables.jsonl(encoding.stream(path)) if isinstance(record, dict))


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa

    with opened(path) as file:
        strings = [f.name for f in file.schema_arrow if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        for batch in file.iter_batches(1024, columns=strings):
            yield from batch.to_pylist()


def _sidecar(path: Path) -> Said:
    """What a file beside a picture says; one that is damaged or no text says nothing."""
    try:
        if path.stat().st_size > SIDECAR_AT_MOST:
            return Said("")
        content = "".join(encoding.stream(path))
        if path.suffix.lower() != ".json":
            return Said(line(content))
        record = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return Said("")
    return of_record(record) if isinstance(record, dict) else Said(line(record))


def _string(value: Any) -> Any:
    """Several captions of a picture: the first."""
    return value[0] if isinstance(value, list) and value else value
