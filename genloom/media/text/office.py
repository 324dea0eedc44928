"""Extraction of the text of OpenDocument texts, presentations and Rich Text files."""

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

from genloom.errors import GenloomError
from genloom.media.text import bounded
from genloom.media.text.bounded import ExtractedText, get_attributes, local_name

MAX_BLANKS = 100  # in a row
# Elements of OpenDocument that hold what is not the text: deletions, comments, and what only repeats the text.
_ODF_HIDDEN = frozenset(("tracked-changes", "annotation", "forms", "sequence-decls", "covered-table-cell", "ruby-text"))
_ODF_BLOCKS = frozenset(("p", "h"))


def extract_odt(path: Path) -> ExtractedText:
    """Extract the paragraphs, tables and notes of an OpenDocument text in order, without what was deleted from it."""
    root = read_odf_content(path)
    body = root.find("{*}body/{*}text")
    if body is None:
        raise GenloomError("media.not_opendocument", reason="it holds no text document")
    return ExtractedText(bounded.join_bounded(read_odf_blocks(body)))


def read_odf_content(path: Path) -> ElementTree.Element:
    """Return the content of an OpenDocument file."""
    bounded.check_zip_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            manifest_name = "META-INF/manifest.xml"
            if manifest_name in archive.namelist() and b"encryption-data" in bounded.read_part(archive, manifest_name):
                raise GenloomError("media.locked_document")
            return bounded.parse_part(archive, "content.xml")
    except (KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise GenloomError("media.not_opendocument", reason=type(error).__name__) from error


def read_odf_blocks(element: ElementTree.Element) -> list[str]:
    """Return the paragraphs and tables below an element of OpenDocument."""
    blocks: list[str] = []
    for child in element:
        name = local_name(child)
        if name in _ODF_BLOCKS:
            notes: list[str] = []
            blocks += [_read_odf_paragraph(child, notes), *notes]
        elif name == "table":
            rows = (row for row in child.iter() if local_name(row) == "table-row")
            blocks.append("\n".join(" | ".join(read_odf_cells(row)) for row in rows))
        elif name not in _ODF_HIDDEN:
            blocks += read_odf_blocks(child)
    return blocks


def read_odf_cells(row: ElementTree.Element) -> list[str]:
    """Return the texts of the cells of a row, one that is repeated once."""
    cells = (cell for cell in row if local_name(cell) == "table-cell")
    return ["\n".join(block for block in read_odf_blocks(cell) if block.strip()) for cell in cells]


def _read_odf_paragraph(element: ElementTree.Element, notes: list[str]) -> str:
    """Return the text of a paragraph; those of its notes, text boxes and tables go to `notes`."""
    parts = [_collapse_blanks(element.text)]
    for child in element:
        name = local_name(child)
        if name == "s":
            count = get_attributes(child).get("c", "1")
            parts.append(" " * (min(int(count), MAX_BLANKS) if count.isdecimal() else 1))
        elif name in ("tab", "line-break"):
            parts.append("\t" if name == "tab" else "\n")
        elif name in ("note", "text-box", "table"):
            notes += read_odf_blocks(child)
        elif name not in _ODF_HIDDEN:
            parts.append(_read_odf_paragraph(child, notes))
        parts.append(_collapse_blanks(child.tail))
    return "".join(parts)


def _collapse_blanks(text: str | None) -> str:
    """Return text with single blanks: OpenDocument writes further ones as elements."""
    return re.sub(r"[ \t\r\n]+", " ", text or "")


def extract_pptx(path: Path) -> ExtractedText:
    """Extract the texts, tables and speaker notes of a PowerPoint presentation, slide by slide."""
    bounded.check_zip_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            slides = _read_relations(archive, "ppt/presentation.xml", names)
            order = [get_attributes(slide).get("id", "") for slide in _iter_named(archive, "sldId")]
            pieces: list[str] = []
            for slide in (slides[number] for number in order if number in slides):
                notes = [part for part in _read_relations(archive, slide, names).values() if "/notesSlide" in part]
                pieces += [_read_slide(archive, part) for part in (slide, *notes)]
    except (KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise GenloomError("media.not_pptx", reason=type(error).__name__) from error
    return ExtractedText(bounded.join_bounded(pieces))


def _iter_named(archive: zipfile.ZipFile, name: str) -> list[ElementTree.Element]:
    root = bounded.parse_part(archive, "ppt/presentation.xml")
    return [element for element in root.iter() if local_name(element) == name]


def _read_relations(archive: zipfile.ZipFile, part: str, names: set[str]) -> dict[str, str]:
    """Return the parts that a part refers to, by their ids, in the folder ppt."""
    folder, _, file = part.rpartition("/")
    relations = f"{folder}/_rels/{file}.rels"
    if relations not in names:
        return {}
    targets = {r.get("Id", ""): r.get("Target", "") for r in bounded.parse_part(archive, relations)}
    parts = {key: "ppt/" + re.sub(r"^(/ppt/|\.\./)", "", target) for key, target in targets.items()}
    return {key: name for key, name in parts.items() if name in names}


def _read_slide(archive: zipfile.ZipFile, part: str) -> str:
    blocks: list[str] = []
    for element in bounded.parse_part(archive, part).iter():
        if local_name(element) == "txBody":
            blocks.append("\n".join(_read_slide_line(p) for p in element if local_name(p) == "p").strip())
    return "\n".join(filter(None, blocks))


def _read_slide_line(paragraph: ElementTree.Element) -> str:
    parts = []
    for run in paragraph:
        if local_name(run) == "br":
            parts.append("\n")
        elif local_name(run) in ("r", "fld") and get_attributes(run).get("type") != "slidenum":
            parts.append("".join(text.text or "" for text in run if local_name(text) == "t"))
    return "".join(parts)


def extract_rtf(markup: str) -> ExtractedText:
    """Extract the text of a Rich Text file; a file that was cut off gives what is left of it, with a note."""
    from striprtf.striprtf import rtf_to_text

    if not markup.lstrip().startswith("{\\rtf"):
        raise GenloomError("media.not_rtf")
    bare = re.sub(r"\\[\\{}]", "", markup)
    problems = (GenloomError("media.cut_off"),) if bare.count("{") > bare.count("}") else ()
    text = rtf_to_text(markup, errors="replace")
    return ExtractedText(re.sub(r"\n{3,}", "\n\n", text).strip(), problems=problems)
