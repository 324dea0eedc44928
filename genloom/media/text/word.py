"""Extraction of the text of Word documents."""

import zipfile
from pathlib import Path
from xml.etree import ElementTree

from genloom.errors import GenloomError
from genloom.media.text import bounded
from genloom.media.text.bounded import ExtractedText, get_attributes, local_name

# Elements of WordprocessingML, by their names without the namespace, of which there are two.
_DELETED = frozenset(("del", "moveFrom", "delText", "instrText", "fldData", "pPr", "rPr", "sdtPr", "rt", "Fallback"))
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def extract_docx(path: Path) -> ExtractedText:
    """Extract the paragraphs, tables and notes of a Word document in order, without what was deleted from it."""
    bounded.check_zip_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            main_part = _find_main_part(archive)
            body = bounded.parse_part(archive, main_part)
            pieces = _read_blocks(body)
            num_hidden = sum(map(_is_hidden, body.iter()))
            for name in ("footnotes.xml", "endnotes.xml"):
                note_part = main_part.rpartition("/")[0] + "/" + name
                if note_part in archive.namelist():
                    notes = bounded.parse_part(archive, note_part)
                    pieces += [
                        text for note in notes if "type" not in get_attributes(note) for text in _read_blocks(note)
                    ]
    except (KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise GenloomError("media.not_docx", reason=type(error).__name__) from error
    problems = (GenloomError("media.hidden_text", count=num_hidden),) if num_hidden else ()
    return ExtractedText(bounded.join_bounded(pieces), problems=problems)


def _find_main_part(archive: zipfile.ZipFile) -> str:
    relations = bounded.parse_part(archive, "_rels/.rels")
    targets = [r.get("Target", "") for r in relations if r.get("Type", "").endswith("/officeDocument")]
    return targets[0].lstrip("/") if targets else "word/document.xml"


def _read_blocks(element: ElementTree.Element) -> list[str]:
    """Return the paragraphs and tables anywhere below an element: in content controls, insertions and the like too."""
    blocks: list[str] = []
    for child in element:
        name = local_name(child)
        if name == "p":
            boxes: list[str] = []
            blocks += [_read_paragraph(child, boxes), *boxes]
        elif name == "tbl":
            blocks.append("\n".join(" | ".join(cells) for cells in _read_table_rows(child)))
        elif name not in _DELETED:
            blocks += _read_blocks(child)
    return blocks


def _read_paragraph(element: ElementTree.Element, boxes: list[str]) -> str:
    """Return all text in a paragraph; the paragraphs of text boxes, which stand elsewhere, go to `boxes`."""
    parts = []
    for child in element:
        name = local_name(child)
        if name == "t":
            parts.append(child.text or "")
        elif name in _CHARACTERS:
            parts.append("" if get_attributes(child).get("type") in ("page", "column") else _CHARACTERS[name])
        elif name == "txbxContent":
            boxes += _read_blocks(child)
        elif name not in _DELETED and not _is_hidden(child):
            parts.append(_read_paragraph(child, boxes))
    return "".join(parts)


def _is_hidden(element: ElementTree.Element) -> bool:
    """Return whether an element is a run of text that its author has hidden."""
    if local_name(element) != "r":
        return False
    vanish = element.find("{*}rPr/{*}vanish")
    return vanish is not None and get_attributes(vanish).get("val", "true") not in ("0", "false", "off")


def _read_table_rows(element: ElementTree.Element) -> list[list[str]]:
    """Return the cells of each row of a table, a merged cell once however wide it is."""
    rows: list[list[str]] = []
    for child in element:
        name = local_name(child)
        if name == "tr":
            if child.find("{*}trPr/{*}del") is None:
                rows.append(_read_cells(child))
        elif name not in _DELETED:
            rows += _read_table_rows(child)
    return rows


def _read_cells(element: ElementTree.Element) -> list[str]:
    cells: list[str] = []
    for child in element:
        if local_name(child) == "tc":
            cells.append("\n".join(block for block in _read_blocks(child) if block.strip()).strip())
        elif local_name(child) not in _DELETED:
            cells += _read_cells(child)
    return cells
