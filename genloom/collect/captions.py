"""Find the caption of a file: in a file of the same name, in a table, or in its name.

Nothing here depends on the medium: which columns name files, and which words of a name describe nothing, are
parameters.
"""

import functools
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genloom import limited_process
from genloom.collect import licence, table_files
from genloom.collect.kept_columns import pick_columns
from genloom.collect.parquet import list_text_columns, open_parquet
from genloom.collect.slug import escape_name, replace_surrogates
from genloom.errors import GenloomError, format_message
from genloom.limited_process import LimitExceeded
from genloom.media.text import encoding

TEXT_SUFFIXES = (".txt", ".caption")
SIDECAR_SUFFIXES = (*TEXT_SUFFIXES, ".json")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
FILE_COLUMNS = ("file_name", "filename", "file", "path")  # in the tables of any medium
CAPTION_COLUMNS = (
    *("caption", "text", "prompt", "description", "sentence", "transcript", "transcription", "comment"),
    *("title", "alt", "alt_text", "label", "name"),
)
MAX_SIDECAR_BYTES = 1 << 20
MAX_CAPTION_CHARS = 2_000
MAX_TABLE_ROWS = 2_000_000
TABLE_BATCH_ROWS = 64
MAX_EXAMPLES = 3  # of unused rows in a note
HEX_PATTERN = re.compile(r"^(?=.*\d)[0-9a-f]{6,}$", re.IGNORECASE)
UUID_PATTERN = re.compile(r"^[0-9a-f-]{32,}$", re.IGNORECASE)


@dataclass(frozen=True)
class CaptionEntry:
    """The caption, the licence and the kept values that a sidecar or a table gives for a file."""

    caption: str
    licence: str = ""
    kept_values: Mapping[str, Any] = field(default_factory=dict)


def pick_caption(*candidates: tuple[str, str]) -> tuple[str, str]:
    """Return the first (caption, origin) whose caption is not empty, or ("", "none")."""
    return next(((caption, origin) for caption, origin in candidates if caption), ("", "none"))


def find_caption(
    path: Path, root: Path, file_columns: tuple[str, ...], keep: tuple[str, ...] = ()
) -> tuple[CaptionEntry, str]:
    """Return the entry for `path` and its origin: a sidecar, else a table in its folder or above it up to `root`.

    Its values of the columns `keep` are from all of these files, the nearest first.
    """
    best_entry, best_origin = None, ""
    kept_values: dict[str, Any] = {}
    for entry, origin in _iter_entries(path, root, file_columns, keep):
        kept_values = {**entry.kept_values, **kept_values}
        if best_entry is None and (entry.caption or entry.licence):
            best_entry, best_origin = entry, origin
        if best_entry and len(kept_values) == len(keep):
            break
    return replace(best_entry or CaptionEntry(""), kept_values=kept_values), best_origin


def _iter_entries(
    path: Path, root: Path, file_columns: tuple[str, ...], keep: tuple[str, ...]
) -> Iterator[tuple[CaptionEntry, str]]:
    sidecars = _list_sidecars(path.parent)
    for suffix in SIDECAR_SUFFIXES:
        for name in (path.stem + suffix, path.name + suffix):
            sidecar = sidecars.get(fold_name(escape_name(name)))
            if sidecar is not None and _is_inside(sidecar, root):
                entry = _read_sidecar(sidecar, keep)
                yield (entry if entry.caption else CaptionEntry("", kept_values=entry.kept_values)), "a file beside it"
    for folder in path.parents:
        relative_name = escape_name(path.relative_to(folder).as_posix())
        for table in _read_tables(folder, root, file_columns, keep):
            if table_entry := table.find(relative_name) or table.find(escape_name(path.name)):
                yield table_entry, "a table beside it"
        if folder == root or root not in folder.parents:
            return


def fold_name(name: str) -> str:
    """Return a name as it is compared: without case, and with accents in one form, of which systems use either."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()


def _is_inside(path: Path, root: Path) -> bool:
    """Return whether a file lies in a folder; a link may lead anywhere."""
    return not path.is_symlink() or root in path.resolve().parents


@functools.lru_cache(256)
def _list_sidecars(folder: Path) -> Mapping[str, Path]:
    """Return the files of a folder that may describe others, by their folded names."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SIDECAR_SUFFIXES and path.is_file())
    except OSError:
        return {}
    return {fold_name(escape_name(path.name)): path for path in reversed(paths)}


def parse_record(record: Mapping[str, Any], column: str = "", keep: Sequence[str] = ()) -> CaptionEntry:
    """Return the caption and the licence in a row or an object; `column` is the caption's column, "" to guess it.

    Raises GenloomError for a value in a column of `keep` that is not a number, text or array.
    """
    lower_record = {str(name).strip().lower(): value for name, value in record.items()}
    names = (column.lower(),) if column else CAPTION_COLUMNS
    caption = next((c for name in names if (c := normalize_caption(_first_string(lower_record.get(name))))), "")
    licence_text = normalize_caption(licence.find_row_licence(record))
    licence_name = licence.identify_licence(licence_text) if licence_text else ""
    return CaptionEntry(caption, licence_name, pick_columns(record, keep))


def normalize_caption(value: Any) -> str:
    """Return a caption on one line, of bounded length; "" for a value that is not a string."""
    return " ".join(replace_surrogates(value).split())[:MAX_CAPTION_CHARS] if isinstance(value, str) else ""


def derive_caption(name: str, generic_words: Collection[str]) -> str:
    """Return the words in a file's name: "red-apple_03" gives "red apple".

    The result is "" if every word is short, a number, or one of `generic_words`, as in "IMG_1234".
    """
    if UUID_PATTERN.match(name):
        return ""
    spaced_name = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])|[\W_]+", " ", name)
    words = [word for word in spaced_name.split() if not HEX_PATTERN.match(word)]
    words = [word for word in (re.sub(r"^\d+|\d+$", "", word) for word in words) if word]
    distinctive_words = [word for word in words if len(word) > 2 and word.lower() not in generic_words]
    return " ".join(words).strip() if distinctive_words else ""


@dataclass
class CaptionTable:
    """The entries of a table by file name, and what of it was not used."""

    entries: dict[str, CaptionEntry] = field(default_factory=dict)
    folded_names: dict[str, str] = field(default_factory=dict)
    num_rows: int = 0
    broken_rows: dict[int, str] = field(default_factory=dict)  # row → reason
    problem: str = ""  # why nothing was read

    def add(self, name: str, entry: CaptionEntry) -> None:
        """Add an entry; the first of a name counts. GenloomError for another one of the name."""
        name = unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))
        if self.entries.setdefault(name, entry) != entry:
            raise GenloomError("collect.name_again", name=name[:80])
        self.folded_names.setdefault(name.casefold(), name)

    def find(self, name: str) -> CaptionEntry | None:
        """Return the entry of a file: by its name, else by that without case."""
        name = unicodedata.normalize("NFC", name.replace("\\", "/"))
        return self.entries.get(name) or self.entries.get(self.folded_names.get(name.casefold(), ""))


@functools.lru_cache(16)
def read_table(path: Path, file_columns: tuple[str, ...], keep: tuple[str, ...] = ()) -> CaptionTable:
    """Return the entries of a table; none if it has no column that names files, is damaged, or exceeds a limit."""
    try:
        return limited_process.read_limited(_read_entries, path, file_columns, keep)
    except (LimitExceeded, MemoryError) as error:
        is_time = isinstance(error, LimitExceeded) and error.is_time
        return CaptionTable(problem=format_message("collect.table_limit", limit="time" if is_time else "memory"))


def _read_entries(path: Path, file_columns: tuple[str, ...], keep: tuple[str, ...]) -> CaptionTable:
    table = CaptionTable()
    try:
        for number, record in _iter_records(path, keep):
            table.num_rows += 1
            try:
                if isinstance(record, GenloomError):
                    raise record
                _add_row(table, record, file_columns, keep)
            except GenloomError as error:
                table.broken_rows[number] = str(error)
            if len(table.entries) >= MAX_TABLE_ROWS:
                break
    except (OSError, ValueError, RecursionError) as error:
        return CaptionTable(problem=str(error))
    return table


def _add_row(table: CaptionTable, record: Any, file_columns: tuple[str, ...], keep: tuple[str, ...]) -> None:
    if not isinstance(record, Mapping):
        return
    name = next((record[key] for key in record if str(key).strip().lower() in file_columns), None)
    if isinstance(name, Mapping):  # Hugging Face's image without its bytes
        name = name.get("path")
    if isinstance(name, str) and name.strip():
        entry = parse_record({k: v for k, v in record.items() if v is not name}, keep=keep)
        if not (entry.caption or entry.licence or entry.kept_values):
            raise GenloomError("collect.row_without_caption")
        table.add(name, entry)


def describe_unused(
    table: CaptionTable, folder: Path, paths_by_folder: Mapping[Path, Sequence[Path]]
) -> GenloomError | None:
    """Return a note on the rows of a table in `folder` that are broken, or name none of the files; None if all fit."""
    used_names = set()
    for parent, paths in paths_by_folder.items():
        if parent == folder or folder in parent.parents:
            used_names |= {fold_name(escape_name(path.relative_to(folder).as_posix())) for path in paths}
            used_names |= {fold_name(escape_name(path.name)) for path in paths}
    unused = [name for name in table.entries if name.casefold() not in used_names]
    if not unused and not table.broken_rows:
        return None
    reasons = [f"row {number}: {reason}" for number, reason in list(table.broken_rows.items())[:MAX_EXAMPLES]]
    reasons += [f"no file {name[:80]!r}" for name in unused[:MAX_EXAMPLES]]
    count = len(unused) + len(table.broken_rows)
    return GenloomError("collect.unused_rows", count=count, total=table.num_rows, reasons="; ".join(reasons))


def find_overruled(paths: Iterable[Path]) -> list[Path]:
    """Return the texts beside values whose caption is not used, because a text of another suffix goes before."""
    groups: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in paths:
        if path.suffix.lower() in TEXT_SUFFIXES:
            groups.setdefault((path.parent, fold_name(escape_name(path.stem))), {})[path.suffix.lower()] = path
    overruled = []
    for group in groups.values():
        if len(group) > 1:
            given = [(path, _read_sidecar(path, ()).caption) for suffix in TEXT_SUFFIXES if (path := group.get(suffix))]
            given = [(path, caption) for path, caption in given if caption]
            overruled += [path for path, caption in given if caption != given[0][1]]
    return overruled


def clear_caches() -> None:
    """Forget the tables and folders that were read, because they may have changed."""
    for cached in (read_table, _read_tables, _list_sidecars):
        cached.cache_clear()


@functools.lru_cache(256)
def _read_tables(
    folder: Path, root: Path, file_columns: tuple[str, ...], keep: tuple[str, ...]
) -> tuple[CaptionTable, ...]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file())
    except OSError:
        return ()
    tables = (read_table(path, file_columns, keep) for path in paths if _is_inside(path, root))
    return tuple(table for table in tables if table.entries)


def _iter_records(path: Path, keep: Sequence[str]) -> Iterator[tuple[int, Any]]:
    """Yield the number and the record of each row, or an error in place of a broken one."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from enumerate(_iter_parquet(path, keep), 1)
        return
    stream = encoding.open_text(path)
    if suffix in (".csv", ".tsv"):
        yield from table_files.read_csv(stream, is_tab_separated=suffix == ".tsv")
    else:
        yield from table_files.read_jsonl(stream)


def _iter_parquet(path: Path, keep: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    with open_parquet(path) as file:
        strings = list_text_columns(file.schema_arrow)
        columns = strings + [name for name in file.schema_arrow.names if name in keep and name not in strings]
        max_bytes = limited_process.limits.output_bytes_for(path.stat().st_size)
        for batch in file.iter_batches(TABLE_BATCH_ROWS, columns=columns):
            max_bytes -= batch.nbytes  # a dictionary makes gigabytes of a small file
            if max_bytes < 0:
                raise GenloomError("collect.table_limit", limit="memory")
            yield from batch.to_pylist()


def _read_sidecar(path: Path, keep: Sequence[str]) -> CaptionEntry:
    """Return the entry in a sidecar; an empty one if the file is damaged, too large or not text."""
    try:
        if path.stat().st_size > MAX_SIDECAR_BYTES:
            return CaptionEntry("")
        content = "".join(encoding.open_text(path))
        if path.suffix.lower() != ".json":
            return CaptionEntry(normalize_caption(content))
        record = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return CaptionEntry("")
    return parse_record(record, keep=keep) if isinstance(record, dict) else CaptionEntry(normalize_caption(record))


def _first_string(value: Any) -> Any:
    """Return the first of several captions."""
    return value[0] if isinstance(value, list) and value else value
