"""Spreadsheets as tables: each sheet of an Excel or OpenDocument file as comma-separated values."""

import csv
import io
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.media.text import bounded, office
from genloom.media.text.bounded import ExtractedText, get_attributes, local_name

MAX_COLUMNS = 1024
MAX_EMPTY_ROWS = 10_000  # in a row; a sheet with more has ended


def extract_sheets(path: Path) -> ExtractedText:
    """Extract all sheets of a file as comma-separated values."""
    return ExtractedText(bounded.join_bounded(text for _, text in read_sheets(path)))


def read_sheets(path: Path) -> list[tuple[str, str]]:
    """Return the names of the sheets that are not empty, and their rows as comma-separated values."""
    iter_sheets = _iter_ods if path.suffix.lower() == ".ods" else _iter_xlsx
    sheets = [(name, _write_csv(rows)) for name, rows in iter_sheets(path)]
    return [(name, text) for name, text in sheets if text]


def _iter_xlsx(path: Path) -> Iterator[tuple[str, Iterator[tuple[Any, ...]]]]:
    import openpyxl

    bounded.check_zip_size(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features that do not concern the values
        try:
            with path.open("rb") as file:
                book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
                for sheet in book.worksheets:
                    yield sheet.title, sheet.iter_rows(max_col=MAX_COLUMNS, values_only=True)
        except (KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile, SyntaxError) as error:
            raise GenloomError("media.not_xlsx", reason=type(error).__name__) from error


def _iter_ods(path: Path) -> Iterator[tuple[str, Iterator[list[str]]]]:
    for table in office.read_odf_content(path).iter():
        if local_name(table) == "table":
            yield get_attributes(table).get("name", ""), _iter_ods_rows(table)


def _iter_ods_rows(table: Any) -> Iterator[list[str]]:
    for row in table.iter():
        if local_name(row) != "table-row":
            continue
        cells: list[str] = []
        for cell in row:
            if local_name(cell) in ("table-cell", "covered-table-cell"):
                text = "\n".join(office.read_odf_blocks(cell))
                count = get_attributes(cell).get("number-columns-repeated", "1")
                cells += [text] * (int(count) if count.isdecimal() and int(count) <= MAX_COLUMNS - len(cells) else 1)
        yield cells


def _write_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as comma-separated values, all of one width, without empty rows and columns at the ends."""
    kept: list[list[str]] = []
    num_empty = num_chars = 0
    for row in rows:
        cells = ["" if value is None else str(value) for value in row]
        while cells and not cells[-1].strip():
            cells.pop()
        num_empty = 0 if cells else num_empty + 1
        if num_empty > MAX_EMPTY_ROWS:
            break
        if not cells:
            continue
        kept.append(cells)
        num_chars += sum(map(len, cells)) + len(cells)
        if num_chars > bounded.MAX_TEXT_CHARS:
            raise GenloomError("media.document_too_long", limit=bounded.MAX_TEXT_CHARS >> 20)
    width = max(map(len, kept), default=0)
    if width * len(kept) > 2 * bounded.MAX_TEXT_CHARS:
        raise GenloomError("media.document_too_long", limit=bounded.MAX_TEXT_CHARS >> 20)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(cells + [""] * (width - len(cells)) for cells in kept)
    return stream.getvalue()
