"""Spreadsheets as tables: each sheet of an Excel or OpenDocument file as comma-separated values."""

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.media.text import bounded, office
from genloom.media.text.bounded import ExtractedText, get_attributes, local_name

MAX_COLUMNS = 1024
MAX_EMPTY_ROWS = 10_000  # in a row; a sheet with more has ended
# A cell with a formula whose result was not saved, as programs write that do not compute
_UNCOMPUTED = re.compile(rb"(?:</(?:\w+:)?f>|<(?:\w+:)?f(?:\s[^<>]*)?/>)\s*(?:<(?:\w+:)?v\s*(?:/>|></)|</(?:\w+:)?c>)")
# What spreadsheet programs show in place of a result that could not be computed
_ERROR = re.compile(r"#(?:REF!|N/A|VALUE!|DIV/0!|NAME\?|NUM!|NULL!|SPILL!|CALC!|FIELD!|ERROR!|GETTING_DATA)|Err:5\d\d")


@dataclass(frozen=True)
class Sheet:
    """A sheet as comma-separated values, and what of it could not be read."""

    name: str
    text: str
    problems: tuple[GenloomError, ...] = ()


def extract_sheets(path: Path) -> ExtractedText:
    """Extract all sheets of a file that it shows, as comma-separated values."""
    sheets, problems = read_sheets(path)
    problems += tuple(problem for sheet in sheets for problem in sheet.problems)
    return ExtractedText(bounded.join_bounded(sheet.text for sheet in sheets), problems=problems)


def read_sheets(path: Path) -> tuple[list[Sheet], tuple[GenloomError, ...]]:
    """Return the sheets that are neither empty nor hidden, and a note on the hidden ones."""
    hidden: list[str] = []
    iter_sheets = _iter_ods if path.suffix.lower() == ".ods" else _iter_xlsx
    sheets = [_build_sheet(name, rows, problems) for name, rows, problems in iter_sheets(path, hidden)]
    problems = (GenloomError("media.hidden_sheets", count=len(hidden), first=hidden[0][:80]),) if hidden else ()
    return [sheet for sheet in sheets if sheet.text], problems


def _build_sheet(name: str, rows: Iterable[Iterable[Any]], problems: tuple[GenloomError, ...]) -> Sheet:
    """Return a sheet; its cells that show an error are empty, and counted."""
    errors: list[str] = []
    text = _write_csv(rows, errors)
    if errors:
        problems += (GenloomError("media.error_cells", count=len(errors), first=errors[0]),)
    return Sheet(name, text, problems)


def _iter_xlsx(
    path: Path, hidden: list[str]
) -> Iterator[tuple[str, Iterator[tuple[Any, ...]], tuple[GenloomError, ...]]]:
    """Yield the sheets that are shown, with their rows; add the names of the others to `hidden`."""
    import openpyxl

    bounded.check_zip_size(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features that do not concern the values
        try:
            with path.open("rb") as file:
                book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
                for sheet in book.worksheets:
                    if sheet.sheet_state != "visible":
                        hidden.append(sheet.title)
                        continue
                    num_uncomputed = _count_uncomputed(file, sheet)
                    problems = (GenloomError("media.uncomputed_cells", count=num_uncomputed),) if num_uncomputed else ()
                    yield sheet.title, sheet.iter_rows(max_col=MAX_COLUMNS, values_only=True), problems
        except (KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile, SyntaxError) as error:
            raise GenloomError("media.not_xlsx", reason=type(error).__name__) from error


def _count_uncomputed(file: io.BufferedReader, sheet: Any) -> int:
    """Return the number of cells whose formula has no saved result, for which openpyxl gives nothing."""
    with zipfile.ZipFile(file) as archive:
        # The path is openpyxl's own, of the sheets that it reads row by row; a chart has none.
        name = str(getattr(sheet, "_worksheet_path", "")).lstrip("/")
        if name not in archive.namelist():
            return 0
        return sum(1 for _ in _UNCOMPUTED.finditer(archive.read(name)))


def _iter_ods(path: Path, hidden: list[str]) -> Iterator[tuple[str, Iterator[list[str]], tuple[GenloomError, ...]]]:
    """Yield the sheets that are shown, with their rows; add the names of the others to `hidden`."""
    root = office.read_odf_content(path)
    hiding_styles = {
        get_attributes(style).get("name")
        for style in root.iter()
        if local_name(style) == "style"
        and any(get_attributes(properties).get("display") == "false" for properties in style)
    }
    for table in root.iter():
        if local_name(table) == "table":
            attributes = get_attributes(table)
            if attributes.get("style-name") in hiding_styles:
                hidden.append(attributes.get("name", ""))
            else:
                yield attributes.get("name", ""), _iter_ods_rows(table), ()


def _iter_ods_rows(table: Any) -> Iterator[list[str]]:
    for row in table.iter():
        if local_name(row) != "table-row":
            continue
        cells: list[str] = []
        for cell in row:
            if local_name(cell) in ("table-cell", "covered-table-cell"):
                attributes = get_attributes(cell)
                text = "\n".join(office.read_odf_blocks(cell))
                if _has_error(cell) and not _ERROR.fullmatch(text):  # in the language of the program that wrote it
                    text = "#ERROR!"
                count = attributes.get("number-columns-repeated", "1")
                cells += [text] * (int(count) if count.isdecimal() and int(count) <= MAX_COLUMNS - len(cells) else 1)
        yield cells


def _has_error(cell: Any) -> bool:
    """Return whether LibreOffice marked a cell as an error."""
    return any(key.endswith("calcext:1.0}value-type") and value == "error" for key, value in cell.attrib.items())


def is_error(value: str) -> bool:
    """Return whether a cell holds no text, but what a spreadsheet program shows for a result that it cannot compute."""
    return value[:1] in ("#", "E") and _ERROR.fullmatch(value) is not None


def _write_csv(rows: Iterable[Iterable[Any]], errors: list[str]) -> str:
    """Return rows as comma-separated values, all of one width, without empty rows and columns at the ends.

    Cells that show an error are empty; the errors are added to `errors`.
    """
    kept: list[list[str]] = []
    num_empty = num_chars = 0
    for row in rows:
        cells = ["" if value is None else str(value) for value in row]
        if found := [cell for cell in cells if is_error(cell)]:
            errors += found
            cells = ["" if is_error(cell) else cell for cell in cells]
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
