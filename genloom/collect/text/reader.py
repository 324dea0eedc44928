"""Read files into raw documents, long texts in chunks, each with its source and licence."""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

from genloom.collect import builtin, licence
from genloom.collect.options import Note
from genloom.collect.slug import escape_name
from genloom.collect.sources import SourceFile
from genloom.collect.text import chat_exports, marked_turns, rows
from genloom.collect.text.chunk import iter_chunks
from genloom.collect.text.files import get_inner_suffix
from genloom.collect.text.options import Config
from genloom.errors import GenloomError, format_message
from genloom.media import text
from genloom.media.text import bounded, encoding, extract, sheets
from genloom.text_format import format_count
from genloom.types import Message

MAX_ROW_REASONS = 5  # for each file
MAX_MARKED_BLOCKS = 16  # of a text file with markers of a chat template, of about a megabyte each


@dataclass(frozen=True)
class RawText:
    """A document before cleaning. `source` ends in ":12" for a row and "#3" for a chunk, counted from 1."""

    text: str
    source: str
    licence: str
    turns: tuple[Message, ...] = ()  # of a conversation, which is never split; `text` is empty then
    kept_values: Mapping[str, Any] = field(default_factory=dict)  # values of the row's other columns

    @property
    def is_whole_file(self) -> bool:
        """Whether the document is the whole of its file."""
        return not self.source.rpartition("/")[2].rpartition(":")[1]

    @property
    def size(self) -> int:
        """The number of characters."""
        return len(self.text) + sum(len(turn.content) for turn in self.turns)


def read(file: SourceFile, options: Config) -> Iterator[RawText | Note]:
    """Yield the documents of a file in chunks of about `chunk_chars`; bad input yields a Note and never raises."""
    try:
        yield from _read_file(file, options, options.chunk_chars)
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = getattr(error, "strerror", None) or error
        yield Note.from_error(file.name, GenloomError("collect.file_unreadable", reason=reason))
    except MemoryError:
        yield Note.from_error(file.name, GenloomError("collect.memory_limit"))
    except (ValueError, RecursionError) as error:
        yield Note.from_error(file.name, error)


def _read_file(file: SourceFile, options: Config, max_chars: int) -> Iterator[RawText | Note]:
    if file.format == "builtin":
        licence_name = options.licence or builtin.LICENCE
        yield from _chunk_text([builtin.load_shakespeare()], file.name, licence_name, max_chars)
    elif file.format == "document":
        extraction, _ = text.read_text(file.path)
        yield from _iter_problems(extraction, file)
        yield from _chunk_text(
            [extraction.text], file.name, _resolve_licence(file, options, extraction.licence), max_chars
        )
    elif file.format == "sheets":
        yield from _read_sheets(file, options, max_chars)
    elif file.format == "chat export":
        for member in chat_exports.find_members(file.path):
            blocks = chat_exports.iter_blocks(file.path, member, rows.MAX_JSON_CHARS)
            member_rows = rows.read_json_rows(blocks, options.column, options.keep)
            yield from _read_rows(member_rows, replace(file, name=f"{file.name}/{member}"), options, max_chars)
    elif file.format == "parquet":
        yield from _read_rows(rows.read_parquet_rows(file.path, options.column, options.keep), file, options, max_chars)
    else:
        extractor = text.MARKUP.get(get_inner_suffix(file.path))
        stream = encoding.open_text(file.path, is_page=extractor is extract.extract_html)
        if stream.is_guessed:
            name = stream.encoding.upper()
            yield Note.from_error(file.name, GenloomError("collect.encoding_guessed", encoding=name), is_skipped=False)
        if file.format == "markup":
            assert extractor is not None, "it has the suffix of markup"
            extraction = extract.run_extractor(extractor, _read_all(stream))
            yield from _iter_problems(extraction, file)
            yield from _chunk_text(
                [extraction.text], file.name, _resolve_licence(file, options, extraction.licence), max_chars
            )
        elif file.format == "text":
            yield from _read_text(stream, file, options, max_chars)
        else:
            yield from _read_rows(_read_table(stream, file, options), file, options, max_chars)
        if stream.num_repaired:
            reason = format_message(
                "collect.repaired_bytes", count=stream.num_repaired, encoding=stream.encoding.upper()
            )
            yield Note(file.name, reason, is_skipped=False)


def _iter_problems(extraction: bounded.ExtractedText, file: SourceFile) -> Iterator[Note]:
    """Yield notes on what of a document could not be read; raise GenloomError if there is no text in it."""
    if not extraction.text.strip():
        raise GenloomError("collect.document_without_text")
    if marker := marked_turns.find_marker(extraction.text):
        yield Note.from_error(file.name, GenloomError("collect.markers_as_text", marker=marker), is_skipped=False)
    for problem in extraction.problems:
        yield Note.from_error(file.name, problem, is_skipped=False)


def _read_sheets(file: SourceFile, options: Config, max_chars: int) -> Iterator[RawText | Note]:
    """Yield the rows of each sheet as those of a table of its own."""
    tables, problems = extract.run_extractor(sheets.read_sheets, file.path)
    for problem in problems:
        yield Note.from_error(file.name, problem, is_skipped=False)
    if not tables:
        raise GenloomError("collect.document_without_text")
    for table in tables:
        sheet = file if len(tables) == 1 else replace(file, name=f"{file.name}/{escape_name(table.name)}")
        for problem in table.problems:
            yield Note.from_error(sheet.name, problem, is_skipped=False)
        stream = encoding.TextReader("utf-8", iter([table.text]))
        try:
            table_rows = rows.read_csv_rows(stream, options.column, is_tab_separated=False, keep=options.keep)
            yield from _read_rows(table_rows, sheet, options, max_chars)
        except GenloomError as error:
            yield Note.from_error(sheet.name, error, is_skipped=len(tables) == 1)


def _read_table(stream: encoding.TextReader, file: SourceFile, options: Config) -> Iterator[rows.TextRow]:
    if file.format == "jsonl":
        return rows.read_jsonl_rows(stream, options.column, options.keep)
    if file.format == "json":
        return rows.read_json_rows(stream, options.column, options.keep)
    return rows.read_csv_rows(stream, options.column, ".tsv" in file.path.name.lower(), options.keep)


def _read_text(
    stream: encoding.TextReader, file: SourceFile, options: Config, max_chars: int
) -> Iterator[RawText | Note]:
    blocks = iter(stream)
    head = next(blocks, "")
    licence_name = _resolve_licence(file, options, licence.find_statement(head), licence.find_reserved_rights(head))
    if marked_turns.find_marker(head):
        parts = [head]
        parts += islice(blocks, MAX_MARKED_BLOCKS)
        row_list = list(rows.parse_text(rows.TextRow(1, "".join(parts))))
        if row_list[0].turns and next(blocks, None) is None:
            yield Note.from_error(file.name, GenloomError("collect.read_marked"), is_skipped=False)
            for number, row in enumerate(row_list, 1):
                yield RawText("", f"{file.name}:{number}", licence_name, row.turns)
            return
        blocks = chain(parts[1:], blocks)
    is_empty, marker = True, ""
    for raw in _chunk_text(chain([head], blocks), file.name, licence_name, max_chars):
        is_empty, marker = False, marker or marked_turns.find_marker(raw.text)
        yield raw
    if is_empty:
        raise GenloomError("collect.empty_file")
    if marker:
        yield Note.from_error(file.name, GenloomError("collect.markers_as_text", marker=marker), is_skipped=False)


def _read_rows(
    table_rows: Iterable[rows.TextRow], file: SourceFile, options: Config, max_chars: int
) -> Iterator[RawText | Note]:
    default_licence = _resolve_licence(file, options, "")
    num_broken, num_good = 0, 0
    reasons: dict[str, int] = {}  # with the first row of each
    num_repaired, guesses = 0, {}
    has_markers = False
    for row in table_rows:
        if row.has_markers and not has_markers:
            has_markers = True
            yield Note.from_error(file.name, GenloomError("collect.read_marked"), is_skipped=False)
        if row.note:
            yield Note.from_error(file.name, row.note, is_skipped=False)
            continue
        if row.warning:
            num_repaired += 1
            guesses.setdefault(str(row.warning), row.number)
        if row.problem:
            num_broken += 1
            if len(reasons) < MAX_ROW_REASONS:
                reasons.setdefault(str(row.problem), row.number)
            continue
        num_good += 1
        row_licence = options.licence or (licence.identify_licence(row.licence) if row.licence else default_licence)
        source = f"{file.name}:{row.number}"
        if row.turns:
            yield RawText("", source, row_licence, row.turns, row.kept_values)
        else:
            yield from _chunk_text([row.text], source, row_licence, max_chars, row.kept_values)
    if num_repaired:
        reason_list = "; ".join(f"row {number}: {problem}" for problem, number in guesses.items())
        error = GenloomError("collect.rows_repaired", rows=format_count(num_repaired, "row"), reasons=reason_list)
        yield Note.from_error(file.name, error, is_skipped=False)
    if num_broken:
        reason_list = "; ".join(f"row {number}: {problem}" for problem, number in reasons.items())
        error = GenloomError("collect.rows_skipped", rows=format_count(num_broken, "row"), reasons=reason_list)
        yield Note.from_error(file.name, error, is_skipped=num_good == 0)


def _chunk_text(
    blocks: Iterable[str], source: str, licence_name: str, max_chars: int, kept_values: Mapping[str, Any] | None = None
) -> Iterator[RawText]:
    """Yield the chunks of a text; each has the kept values of the whole."""
    chunks, kept_values = iter_chunks(blocks, max_chars), kept_values or {}
    first, second = next(chunks, None), next(chunks, None)
    if first is None:
        return
    if second is None:
        yield RawText(first, source, licence_name, kept_values=kept_values)
        return
    yield RawText(first, f"{source}#1", licence_name, kept_values=kept_values)
    yield RawText(second, f"{source}#2", licence_name, kept_values=kept_values)
    for number, chunk in enumerate(chunks, 3):
        yield RawText(chunk, f"{source}#{number}", licence_name, kept_values=kept_values)


def _resolve_licence(file: SourceFile, options: Config, statement: str, default: str = licence.UNKNOWN_LICENCE) -> str:
    """Return the licence: the user's, else the file's own, else that of a LICENSE file beside it, else the default."""
    if options.licence:
        return options.licence
    if statement:
        return licence.identify_licence(statement)
    return licence.find_folder_licence(file.path.parent, file.root) or default


def _read_all(stream: encoding.TextReader) -> str:
    parts, length = [], 0
    for block in stream:
        length += len(block)
        if length > bounded.MAX_TEXT_CHARS:
            raise GenloomError("collect.page_too_large", limit=bounded.MAX_TEXT_CHARS >> 20)
        parts.append(block)
    return "".join(parts)
