"""Extraction of the text of OpenDocument texts and PowerPoint presentations."""

import re
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from genloom.errors import GenloomError
from genloom.media.text import bounded
from genloom.media.text.bounded import ExtractedText, get_attributes, local_name
from genloom.media.text.headings import find_odf_headings

MAX_BLANKS = 100  # in a row
MAX_PARENTS = 16  # of a style
# Elements of OpenDocument that hold what is not the text: deletions, comments, and what only repeats the text.
_ODF_HIDDEN = frozenset(("tracked-changes", "annotation", "forms", "sequence-decls", "covered-table-cell", "ruby-text"))
_ODF_BLOCKS = frozenset(("p", "h"))
_ODF_FAMILIES = {"span": "text", "p": "paragraph", "h": "paragraph"}  # of the styles of elements


def extract_odt(path: Path) -> ExtractedText:
    """Extract the paragraphs, tables and notes of an OpenDocument text in order, without deleted and hidden text."""
    root, *styles = _read_odf_parts(path)
    body = root.find("{*}body/{*}text")
    if body is None:
        raise GenloomError("media.not_opendocument", reason="it holds no text document")
    num_hidden = _empty_hidden(body, _find_hiding_styles((*styles, root)))
    problems = (GenloomError("media.hidden_text", count=num_hidden),) if num_hidden else ()
    text = bounded.join_bounded(read_odf_blocks(body))
    return ExtractedText(text, problems=problems, headings=find_odf_headings(body))


def read_odf_content(path: Path) -> ElementTree.Element:
    """Return the content of an OpenDocument file."""
    return _read_odf_parts(path)[0]


def _read_odf_parts(path: Path) -> list[ElementTree.Element]:
    """Return the content of an OpenDocument file, and the styles with names of their own if they can be read."""
    bounded.check_zip_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names, manifest_name = archive.namelist(), "META-INF/manifest.xml"
            if manifest_name in names and b"encryption-data" in bounded.read_part(archive, manifest_name):
                raise GenloomError("media.locked_document")
            parts = [bounded.parse_part(archive, "content.xml")]
            with suppress(KeyError, ElementTree.ParseError, GenloomError):
                parts.append(bounded.parse_part(archive, "styles.xml"))
            return parts
    except (KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise GenloomError("media.not_opendocument", reason=type(error).__name__) from error


def _find_hiding_styles(roots: Iterable[ElementTree.Element]) -> frozenset[tuple[str, str]]:
    """Return the styles, by their families and names, whose text is not shown: their own, or by their parents."""
    displays: dict[tuple[str, str], str] = {}
    parents: dict[tuple[str, str], str] = {}
    for style in (style for root in roots for style in root.iter() if local_name(style) == "style"):
        attributes = get_attributes(style)
        key = (attributes.get("family", ""), attributes.get("name", ""))
        parents[key] = attributes.get("parent-style-name", "")
        for properties in style:
            if local_name(properties) == "text-properties" and "display" in get_attributes(properties):
                displays[key] = get_attributes(properties)["display"]
    return frozenset(key for key in parents if _find_display(key, displays, parents) == "none")


def _find_display(
    key: tuple[str, str], displays: Mapping[tuple[str, str], str], parents: Mapping[tuple[str, str], str]
) -> str:
    """Return whether the text of a style is shown, by the nearest of its parents that says so."""
    for _ in range(MAX_PARENTS):
        if key in displays or key not in parents:
            return displays.get(key, "true")
        key = (key[0], parents[key])
    return "true"


def _empty_hidden(element: ElementTree.Element, hiding_styles: frozenset[tuple[str, str]]) -> int:
    """Empty the elements that are hidden below an element, and return how many of them held text."""
    num_hidden = 0
    for child in element:
        if not _is_hidden(child, hiding_styles):
            num_hidden += _empty_hidden(child, hiding_styles)
        elif "".join(child.itertext()).strip():
            num_hidden += 1
            child.text = None
            del child[:]
    return num_hidden


def _is_hidden(element: ElementTree.Element, hiding_styles: frozenset[tuple[str, str]]) -> bool:
    name, attributes = local_name(element), get_attributes(element)
    if name in _ODF_FAMILIES and (_ODF_FAMILIES[name], attributes.get("style-name", "")) in hiding_styles:
        return True
    if name in _ODF_BLOCKS:  # with a field that hides its whole paragraph
        return any(local_name(field) == "hidden-paragraph" and _has_hidden_flag(field) for field in element.iter())
    if name == "section":
        return attributes.get("display") == "none" or (
            attributes.get("display") == "condition" and _has_hidden_flag(element)
        )
    return name == "hidden-text" and _has_hidden_flag(element)


def _has_hidden_flag(element: ElementTree.Element) -> bool:
    return get_attributes(element).get("is-hidden") == "true"


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
    """Extract the texts, tables and speaker notes of a PowerPoint presentation, slide by slide, without hidden ones."""
    bounded.check_zip_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            slides = _read_relations(archive, "ppt/presentation.xml", names)
            order = [get_attributes(slide).get("id", "") for slide in _iter_named(archive, "sldId")]
            pages: list[str] = []
            num_hidden = 0
            for part in (slides[number] for number in order if number in slides):
                slide = bounded.parse_part(archive, part)
                if get_attributes(slide).get("show") in ("0", "false"):
                    num_hidden += 1
                    pages.append("")  # so that the numbers of the others are those that a person sees
                    continue
                notes = [name for name in _read_relations(archive, part, names).values() if "/notesSlide" in name]
                parts = map(_read_slide, (slide, *(bounded.parse_part(archive, name) for name in notes)))
                pages.append("\n\n".join(filter(str.strip, parts)))
    except (KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise GenloomError("media.not_pptx", reason=type(error).__name__) from error
    problems = (GenloomError("media.hidden_slides", count=num_hidden),) if num_hidden else ()
    text, page_starts = bounded.join_pages(pages)
    return ExtractedText(text, problems=problems, page_starts=page_starts)


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


def _read_slide(slide: ElementTree.Element) -> str:
    return "\n".join(filter(None, _read_slide_bodies(slide)))


def _read_slide_bodies(element: ElementTree.Element) -> list[str]:
    """Return the texts below an element, of alternatives the first, which the others only repeat."""
    blocks: list[str] = []
    for child in element:
        if local_name(child) == "txBody":
            blocks.append("\n".join(_read_slide_line(p) for p in child if local_name(p) == "p").strip())
        elif local_name(child) != "Fallback":
            blocks += _read_slide_bodies(child)
    return blocks


def _read_slide_line(paragraph: ElementTree.Element) -> str:
    parts = []
    for run in paragraph:
        if local_name(run) == "br":
            parts.append("\n")
        elif local_name(run) in ("r", "fld") and get_attributes(run).get("type") != "slidenum":
            parts.append("".join(text.text or "" for text in run if local_name(text) == "t"))
    return "".join(parts)
