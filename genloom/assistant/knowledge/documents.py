"""The documents of a file, read with bounds, with what locates a place in them: pages, lines, rows and headings."""

import stat
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genloom import limited_process
from genloom.assistant.knowledge import tables
from genloom.collect.options import Note
from genloom.collect.sources import SourceFile, find_files
from genloom.collect.text import files as text_files
from genloom.collect.text import reader
from genloom.collect.text.options import Config
from genloom.errors import GenloomError
from genloom.limited_process import LimitedProcess, LimitExceeded
from genloom.media import text
from genloom.media.text.headings import Heading
from genloom.text_format import format_count
from genloom.types import Message

MAX_FILE_CHARS = 32 << 20  # of one file; the rest of a longer one is not read, which a note says
MAX_FILE_BYTES = 1 << 30  # a larger one is not opened
_BLOCK_CHARS = 1 << 20  # of a long text, read at a time
_PAGE_NOUNS = {".pdf": "page", ".pptx": "slide"}


@dataclass(frozen=True)
class Document:
    """The text of a file, or of a row of a table; `start` and `line` are those of a part of a long text."""

    text: str
    row: int = 0  # of a table, from 1; 0: it is none
    sheet: str = ""  # of a spreadsheet with several
    start: int = 0  # characters of the file before it
    line: int = 1  # in which it begins; 0: the file is not plain text, and has no lines that a person sees
    page_noun: str = ""
    page_starts: tuple[int, ...] = ()
    headings: tuple[Heading, ...] = ()

    def find_page(self, offset: int) -> int:
        """Return the page of an offset in the text, from 1; 0 if there are no pages."""
        return bisect_right(self.page_starts, offset)

    def find_line(self, offset: int) -> int:
        """Return the line of an offset in the text, from 1; 0 if there are no lines."""
        return self.line + self.text.count("\n", 0, offset) if self.line else 0


def find_documents(sources: Sequence[str | Path], excluded_folder: Path) -> tuple[list[SourceFile], list[Note]]:
    """Return the files of the sources that may hold text, in a fixed order, and notes on the others.

    Raises
    ------
    GenloomError
        collect.no_such_source: a source does not exist.
    """
    found, notes = find_files(sources, excluded_folder, {})
    selected, more_notes = text_files.select(found)
    large = [file for file in selected if file.size > MAX_FILE_BYTES]
    notes += more_notes
    for file in large:
        error = GenloomError("knowledge.file_too_large", size=file.size >> 20, limit=MAX_FILE_BYTES >> 20)
        notes.append(Note.from_error(file.name, error))
    return [file for file in selected if file not in large], notes


def read_documents(
    file: SourceFile, process: LimitedProcess, column: str | None = None
) -> tuple[list[Document], list[Note]]:
    """Return the documents of a file, and notes on what of it could not be read; bad input never raises.

    A file that may take far more time or memory than its size suggests is read in the process. `column` is the one of a
    table that is read; see `tables.iter_rows`.
    """
    is_plain = file.format == "text" and not file.is_gzipped
    try:
        if not stat.S_ISREG(file.path.stat().st_mode):
            raise GenloomError("collect.not_a_file")
        if is_plain or not limited_process.is_complex(file.path, file.size):
            return _read_file(file, column)
        return process.call(_read_watched, file, column)
    except OSError as error:
        return [], [Note.from_error(file.name, GenloomError("collect.file_unreadable", reason=error.strerror))]
    except LimitExceeded as limit:
        return [], [_describe_limit(file, limit)]


def _read_watched(file: SourceFile, column: str | None) -> tuple[list[Document], list[Note]]:
    with limited_process.limit_time(limited_process.limits.seconds_for(file.size)):
        return _read_file(file, column)


def _describe_limit(file: SourceFile, limit: LimitExceeded) -> Note:
    if limit.is_time:
        seconds = f"{limited_process.limits.seconds_for(file.size):.0f}"
        return Note.from_error(file.name, GenloomError("collect.time_limit", seconds=seconds))
    limit_gb = limited_process.limits.memory_bytes >> 30
    return Note.from_error(file.name, GenloomError("collect.reader_crashed", limit=limit_gb))


def _read_file(file: SourceFile, column: str | None) -> tuple[list[Document], list[Note]]:
    if file.format in ("document", "markup"):
        return _read_document(file)
    if tables.is_table(file):
        return _read_table(file, column)
    documents: list[Document] = []
    notes: list[Note] = []
    length, line = 0, 1
    for raw in reader.read(file, Config(chunk_chars=_BLOCK_CHARS)):
        if isinstance(raw, Note):
            notes.append(raw)
            continue
        content = raw.text or render_turns(raw.turns)
        if length + len(content) > MAX_FILE_CHARS:
            notes.append(_note_cut(file))
            break
        documents.append(Document(content, start=length, line=line))
        line += content.count("\n")
        length += len(content)
    return documents, notes


def _read_table(file: SourceFile, column: str | None) -> tuple[list[Document], list[Note]]:
    """Return the rows of a file as documents; what is wrong with some of them is noted once."""
    documents: list[Document] = []
    problems: dict[str, list[tables.RowProblem]] = {}
    notes: list[Note] = []
    length = 0
    try:
        for row in tables.iter_rows(file, column):
            if isinstance(row, tables.RowProblem):
                problems.setdefault(row.error.code, []).append(row)
                continue
            sheet, number, content = row
            length += len(content)
            if length > MAX_FILE_CHARS:
                notes.append(_note_cut(file))
                break
            documents.append(Document(content, number, sheet, line=0))
    except MemoryError:
        return [], [Note.from_error(file.name, GenloomError("collect.memory_limit"))]
    except (ValueError, EOFError, zlib.error, RecursionError) as error:
        return [], [Note.from_error(file.name, error)]
    notes += [_describe_problems(file, found) for found in problems.values()]
    if not documents and not notes:
        notes.append(Note.from_error(file.name, GenloomError("collect.no_rows")))
    return documents, notes if documents else [replace(note, is_skipped=True) for note in notes]


def _describe_problems(file: SourceFile, problems: Sequence[tables.RowProblem]) -> Note:
    """Return a note on rows with the same fault: it names the first by its line."""
    first, unit = problems[0], "line" if file.format in ("csv", "jsonl") else "row"
    place = f"{unit} {first.number:,}: " if first.number else ""
    more = f"; the same in {format_count(len(problems) - 1, f'more {unit}')}" if len(problems) > 1 else ""
    return Note(file.name, f"{place}{first.error}{more}", is_skipped=False, code=first.error.code)


def _note_cut(file: SourceFile) -> Note:
    error = GenloomError("knowledge.file_cut", limit=MAX_FILE_CHARS >> 20)
    return Note.from_error(file.name, error, is_skipped=False)


def _read_document(file: SourceFile) -> tuple[list[Document], list[Note]]:
    """Return the one document of a file whose text is extracted from its markup."""
    try:
        extraction, _ = text.read_text(file.path)
        if not extraction.text.strip():
            raise GenloomError("collect.document_without_text")
    except OSError as error:
        return [], [Note.from_error(file.name, GenloomError("collect.file_unreadable", reason=error.strerror))]
    except MemoryError:
        return [], [Note.from_error(file.name, GenloomError("collect.memory_limit"))]
    except (ValueError, RecursionError) as error:
        return [], [Note.from_error(file.name, error)]
    notes = [Note.from_error(file.name, problem, is_skipped=False) for problem in extraction.problems]
    document = Document(
        extraction.text,
        line=0,
        page_noun=_PAGE_NOUNS.get(file.path.suffix.lower(), "page") if extraction.page_starts else "",
        page_starts=extraction.page_starts,
        headings=extraction.headings,
    )
    if len(document.text) > MAX_FILE_CHARS:
        document = replace(document, text=document.text[:MAX_FILE_CHARS])
        notes.append(_note_cut(file))
    return [document], notes


def render_turns(turns: Iterable[Message]) -> str:
    """Return a conversation as a text, a paragraph for each turn."""
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)
