"""Extraction of the text of Word documents."""

import zipfile
from pathlib import Path
from xml.etree import ElementTree

from genloom.errors import GenloomError
from genloom.media.text import bounded
from genloom.media.text.bounded import ExtractedText, get_attributes, local_name
from genloom.media.text.headings import find_word_headings
from genloom.media.text.symbols import find_character

MAX_PARENTS = 16  # of a style

# Elements of WordprocessingML, by their names without the namespace, of which there are two.
_DELETED = frozenset(("del", "moveFrom", "delText", "instrText", "fldData", "pPr", "rPr", "sdtPr", "rt", "Fallback"))
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def extract_docx(path: Path) -> ExtractedText:
    """Extract the paragraphs, tables and notes of a Word document in order, without deleted and hidden text."""
    bounded.check_zip_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            main_part = _find_main_part(archive)
            folder, names = main_part.rpartition("/")[0], set(archive.namelist())
            styles = _find_hiding_styles(archive, f"{folder}/styles.xml")
            body = bounded.parse_part(archive, main_part)
            num_hidden, num_unknown = _empty_hidden(body, styles), _replace_symbols(body)
            pieces, headings = _read_blocks(body), find_word_headings(archive, body, main_part)
            for name in ("footnotes.xml", "endnotes.xml"):
                if f"{folder}/{name}" in names:
                    notes = bounded.parse_part(archive, f"{folder}/{name}")
                    num_hidden += _empty_hidden(notes, styles)
                    num_unknown += _replace_symbols(notes)
                    pieces += [
                        text for note in notes if "type" not in get_attributes(note) for text in _read_blocks(note)
                    ]
    except (KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise GenloomError("media.not_docx", reason=type(error).__name__) from error
    problems = (GenloomError("media.hidden_text", count=num_hidden),) if num_hidden else ()
    problems += (GenloomError("media.unknown_symbols", count=num_unknown),) if num_unknown else ()
    return ExtractedText(bounded.join_bounded(pieces), problems=problems, headings=headings)


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
        elif name not in _DELETED:
            parts.append(_read_paragraph(child, boxes))
    return "".join(parts)


def _find_hiding_styles(archive: zipfile.ZipFile, part: str) -> frozenset[str]:
    """Return the ids of the styles whose text is not shown: their own, or by the styles that they are based on."""
    if part not in archive.namelist():
        return frozenset()
    hides: dict[str, bool] = {}
    parents: dict[str, str] = {}
    for style in bounded.parse_part(archive, part).iterfind("{*}style"):
        name, parent = get_attributes(style).get("styleId", ""), style.find("{*}basedOn")
        parents[name] = "" if parent is None else get_attributes(parent).get("val", "")
        vanish = style.find("{*}rPr/{*}vanish")
        if vanish is not None:
            hides[name] = _is_on(vanish)
    hiding = set()
    for name in parents:
        ancestor = name
        for _ in range(MAX_PARENTS):
            if ancestor in hides or ancestor not in parents:
                break
            ancestor = parents[ancestor]
        if hides.get(ancestor):
            hiding.add(name)
    return frozenset(hiding)


def _empty_hidden(element: ElementTree.Element, hiding_styles: frozenset[str], is_hidden: bool = False) -> int:
    """Empty the runs below an element that their author has hidden, and return how many of them held text."""
    if local_name(element) == "p" and (style := element.find("{*}pPr/{*}pStyle")) is not None:
        is_hidden = get_attributes(style).get("val") in hiding_styles
    num_hidden = 0
    for child in element:
        if local_name(child) == "r" and _is_hidden(child, hiding_styles, is_hidden):
            num_hidden += any(local_name(part) in ("t", "sym") for part in child.iter())
            del child[:]
        else:
            num_hidden += _empty_hidden(child, hiding_styles, is_hidden)
    return num_hidden


def _is_hidden(run: ElementTree.Element, hiding_styles: frozenset[str], is_paragraph_hidden: bool) -> bool:
    """Return whether a run is hidden: by its own property, by its style, or by that of its paragraph."""
    if (vanish := run.find("{*}rPr/{*}vanish")) is not None:
        return _is_on(vanish)
    style = run.find("{*}rPr/{*}rStyle")
    return is_paragraph_hidden or (style is not None and get_attributes(style).get("val") in hiding_styles)


def _is_on(element: ElementTree.Element) -> bool:
    return get_attributes(element).get("val", "true") not in ("0", "false", "off")


def _replace_symbols(root: ElementTree.Element) -> int:
    """Turn the symbols below an element, which are places in fonts, into text; return how many are not known."""
    num_unknown = 0
    for element in root.iter():
        if local_name(element) == "sym":
            attributes = get_attributes(element)
            element.text = find_character(attributes.get("font", ""), attributes.get("char", ""))
            element.tag = element.tag.removesuffix("sym") + "t"
            num_unknown += not element.text
    return num_unknown


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
