"""Extraction of the text of HTML, PDF, Word and EPUB files, with bounds on size."""

import logging
import re
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import unquote

from genloom.errors import GenloomError
from genloom.media.text import encoding

Source = TypeVar("Source", str, Path)
MAX_FILE_BYTES = 512 << 20  # of a document file
MAX_UNPACKED_BYTES = 256 << 20  # of a .docx or .epub, by its own table of contents
MAX_PART_BYTES = 48 << 20  # of one file in it
MAX_TEXT_CHARS = 64 << 20  # of one document
ENCODING_DECLARATION = re.compile(
    rb"""(?:<\?xml[^>]*?\sencoding|<meta[^>]*?\bcharset)\s*=\s*["']?([\w.:-]{2,40})""", re.IGNORECASE
)
HEADING_TAGS = ("h1", "h2", "h3", "h4", "h5", "h6")
PARAGRAPH_TAGS = {
    "article",
    "blockquote",
    "div",
    "dl",
    "hr",
    "main",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "ul",
    *HEADING_TAGS,
}
LINE_TAGS = {"address", "aside", "br", "dd", "dt", "figcaption", "footer", "header", "li", "nav", "td", "th", "tr"}
HIDDEN_TAGS = frozenset(("script", "style", "head", "template", "noscript", "svg"))
LICENCE_LINK = re.compile(r"""<(?:a|link)\b[^>]*\brel=["']?license["']?[^>]*>""", re.IGNORECASE)
LICENCE_META = re.compile(
    r"""<meta\b[^>]*\bname=["']?(?:license|dc\.rights|dcterms\.rights)["']?[^>]*>""", re.IGNORECASE
)
ATTRIBUTE = re.compile(r"""\b(?:href|content)=["']([^"'>]{1,300})""", re.IGNORECASE)


@dataclass(frozen=True)
class ExtractedText:
    """The text of a document, the licence that it states ("" for none), and what of it could not be read."""

    text: str
    licence: str = ""
    problems: tuple[GenloomError, ...] = ()


def extract_html(markup: str) -> ExtractedText:
    """Extract the main text of a web page without menus; all visible text if trafilatura finds no article."""
    import trafilatura

    # It warns about pages without an article on standard error, which belongs to the caller.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    if len(markup) > MAX_TEXT_CHARS:
        raise GenloomError("media.page_too_large", limit=MAX_TEXT_CHARS >> 20)
    text = trafilatura.extract(markup, include_comments=False, include_tables=True, favor_recall=True) or ""
    visible_text = extract_visible_text(markup)
    # trafilatura is made for articles: of other pages it may keep a single line, so the visible text is better.
    if len(text) < 0.3 * len(visible_text) and len(visible_text) < 2000:
        text = visible_text
    return ExtractedText(text or visible_text, find_html_licence(markup))


def find_html_licence(markup: str) -> str:
    """Return the licence in <link rel=license> or <meta name=license> of the page."""
    for pattern in (LICENCE_LINK, LICENCE_META):
        if (tag := pattern.search(markup)) and (value := ATTRIBUTE.search(tag[0])):
            return value[1].strip()
    return ""


class _VisibleTextParser(HTMLParser):
    def __init__(self) -> None:
        HTMLParser.__init__(self, convert_charrefs=True)
        self.pieces: list[str] = []
        self.hidden_depth = 0
        self.verbatim_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden_depth += tag in HIDDEN_TAGS
        self.verbatim_depth += tag == "pre"
        self._add_break(tag)

    def handle_endtag(self, tag: str) -> None:
        self.hidden_depth = max(0, self.hidden_depth - (tag in HIDDEN_TAGS))
        self.verbatim_depth = max(0, self.verbatim_depth - (tag == "pre"))
        self._add_break(tag)

    def _add_break(self, tag: str) -> None:
        if tag in PARAGRAPH_TAGS or tag in LINE_TAGS:
            self.pieces.append("\n\n" if tag in PARAGRAPH_TAGS else "\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden_depth:
            self.pieces.append(data if self.verbatim_depth else re.sub(r"\s+", " ", data))


def extract_visible_text(markup: str) -> str:
    """Extract all text that a browser would show, with empty lines between paragraphs."""
    parser = _VisibleTextParser()
    parser.feed(markup)
    parser.close()
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(parser.pieces))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def extract_pdf(path: Path) -> ExtractedText:
    """Extract the text of a PDF page by page, without the running heads and feet of most pages."""
    import pypdfium2

    _check_file_size(path)
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "assword" in str(error):
            raise GenloomError("media.locked_pdf") from error
        raise GenloomError("media.damaged_pdf") from error
    pages, length = [], 0
    try:
        for page in document:
            text = page.get_textpage().get_text_bounded()
            page.close()
            length += len(text)
            if length > MAX_TEXT_CHARS:
                raise GenloomError("media.document_too_long", limit=MAX_TEXT_CHARS >> 20)
            # pdfium marks a hyphen that only breaks a line with U+FFFE (or U+0002 in older files)
            pages.append(re.sub("[\ufffe\x02]\n?", "", text.replace("\r\n", "\n")).strip("\n"))
        licence = document.get_metadata_dict().get("Rights", "")
    except pypdfium2.PdfiumError as error:
        raise GenloomError("media.damaged_page", page=len(pages) + 1) from error
    finally:
        document.close()
    if not any(page.strip() for page in pages):
        raise GenloomError("media.scanned_pdf")
    return ExtractedText("\n\n".join(_strip_running_heads(pages)), licence)


def _strip_running_heads(pages: list[str]) -> list[str]:
    """Remove first and last lines that repeat, ignoring page numbers, on more than half of at least five pages."""
    if len(pages) < 5:
        return pages
    page_lines = [page.split("\n") for page in pages]
    masked_lines = [
        re.sub(r"\d+", "#", line.strip()) for lines in page_lines for line in {0: lines[0], 1: lines[-1]}.values()
    ]
    running_lines = {line for line, count in Counter(masked_lines).items() if count > len(pages) / 2 and line}

    def is_running(line: str) -> bool:
        return re.sub(r"\d+", "#", line.strip()) in running_lines

    page_bodies = [
        lines[is_running(lines[0]) : len(lines) - (len(lines) > 1 and is_running(lines[-1]))] for lines in page_lines
    ]
    return ["\n".join(lines) for lines in page_bodies]


def extract_docx(path: Path) -> ExtractedText:
    """Extract the paragraphs, tables and notes of a Word document in order, without what was deleted from it."""
    _check_zip_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            main_part = _find_main_part(archive)
            body = ElementTree.fromstring(_read_part(archive, main_part))
            pieces = _read_blocks(body)
            for name in ("footnotes.xml", "endnotes.xml"):
                note_part = main_part.rpartition("/")[0] + "/" + name
                if note_part in archive.namelist():
                    notes = ElementTree.fromstring(_read_part(archive, note_part))
                    pieces += [text for note in notes if "type" not in _attributes(note) for text in _read_blocks(note)]
    except (KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise GenloomError("media.not_docx", reason=type(error).__name__) from error
    return ExtractedText(_join_bounded(pieces))


def _find_main_part(archive: zipfile.ZipFile) -> str:
    relations = ElementTree.fromstring(_read_part(archive, "_rels/.rels"))
    targets = [r.get("Target", "") for r in relations if r.get("Type", "").endswith("/officeDocument")]
    return targets[0].lstrip("/") if targets else "word/document.xml"


# Elements of WordprocessingML, by their names without the namespace, of which there are two.
_DELETED = frozenset(("del", "moveFrom", "delText", "instrText", "fldData", "pPr", "rPr", "sdtPr", "rt", "Fallback"))
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def _local_name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    return {name.rpartition("}")[2]: value for name, value in element.attrib.items()}


def _read_blocks(element: ElementTree.Element) -> list[str]:
    """Return the paragraphs and tables anywhere below an element: in content controls, insertions and the like too."""
    blocks: list[str] = []
    for child in element:
        name = _local_name(child)
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
        name = _local_name(child)
        if name == "t":
            parts.append(child.text or "")
        elif name in _CHARACTERS:
            parts.append("" if _attributes(child).get("type") in ("page", "column") else _CHARACTERS[name])
        elif name == "txbxContent":
            boxes += _read_blocks(child)
        elif name not in _DELETED:
            parts.append(_read_paragraph(child, boxes))
    return "".join(parts)


def _read_table_rows(element: ElementTree.Element) -> list[list[str]]:
    """Return the cells of each row of a table, a merged cell once however wide it is."""
    rows: list[list[str]] = []
    for child in element:
        name = _local_name(child)
        if name == "tr":
            if child.find("{*}trPr/{*}del") is None:
                rows.append(_read_cells(child))
        elif name not in _DELETED:
            rows += _read_table_rows(child)
    return rows


def _read_cells(element: ElementTree.Element) -> list[str]:
    cells: list[str] = []
    for child in element:
        if _local_name(child) == "tc":
            cells.append("\n".join(block for block in _read_blocks(child) if block.strip()).strip())
        elif _local_name(child) not in _DELETED:
            cells += _read_cells(child)
    return cells


def _join_bounded(pieces: Iterable[str]) -> str:
    """Join the pieces that are not empty by empty lines; raise GenloomError if they are too much text."""
    kept, length = [], 0
    for piece in pieces:
        length += len(piece)
        if length > MAX_TEXT_CHARS:
            raise GenloomError("media.document_too_long", limit=MAX_TEXT_CHARS >> 20)
        if piece.strip():
            kept.append(piece)
    return "\n\n".join(kept)


def extract_epub(path: Path) -> ExtractedText:
    """Extract the chapters of an EPUB in reading order (its `spine`), and its dc:rights; count the missing ones."""
    _check_zip_size(path)
    try:
        with zipfile.ZipFile(path) as book:
            container = ElementTree.fromstring(_read_part(book, "META-INF/container.xml"))
            rootfile = container.find(".//{*}rootfile")
            if rootfile is None:
                raise GenloomError("media.empty_epub")
            opf = PurePosixPath(rootfile.attrib["full-path"])
            package = ElementTree.fromstring(_read_part(book, str(opf)))
            if _is_encrypted(book):
                raise GenloomError("media.copy_protected")
            files = {item.get("id"): item.get("href", "") for item in package.iterfind(".//{*}manifest/{*}item")}
            idrefs = [item.get("idref") for item in package.iterfind(".//{*}spine/{*}itemref")]
            # A chapter that the spine repeats is read once.
            names = list(dict.fromkeys(_resolve_href(opf.parent, files[i]) if i in files else f"?{i}" for i in idrefs))
            missing: list[str] = []
            text = _join_bounded(_iter_chapters(book, names, missing))
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, EOFError, NotImplementedError, RuntimeError) as error:
        raise GenloomError("media.not_epub", reason=type(error).__name__) from error
    rights = package.findtext(".//{http://purl.org/dc/elements/1.1/}rights") or ""
    problems = ()
    if missing:
        first = missing[0][:80].lstrip("?")
        problems = (GenloomError("media.missing_chapters", count=len(missing), total=len(names), first=first),)
    return ExtractedText(text, rights.strip()[:300], problems)


def _iter_chapters(book: zipfile.ZipFile, names: list[str], missing: list[str]) -> Iterator[str]:
    """Yield the texts of the chapters; add the names of those that cannot be read to `missing`."""
    for name in names:
        try:
            data = _read_part(book, name)
        except (KeyError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
            missing.append(name)
            continue
        yield extract_visible_text(_decode_markup(data))


def _resolve_href(folder: PurePosixPath, href: str) -> str:
    parts: list[str] = []
    for part in (folder / unquote(href.split("#")[0])).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _decode_markup(data: bytes) -> str:
    """Decode XML or HTML: by its byte order mark, its declaration, UTF-8, or the encoding that fits its bytes."""
    declared = ENCODING_DECLARATION.search(data[:1024].replace(b"\0", b""))
    detected = encoding.detect_encoding(data[: encoding.HEAD_BYTES]) or "utf-8"
    if not data.startswith(tuple(mark for mark, _ in encoding.BOMS)) and b"\0" not in data[:64] and declared:
        try:
            return data.decode(declared[1].decode("ascii"))
        except (LookupError, UnicodeDecodeError):  # a wrong declaration
            pass
    return data.decode(detected, "replace")


def _read_part(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a part of an archive; raise GenloomError for one that is larger than any real one."""
    if archive.getinfo(name).file_size > MAX_PART_BYTES:
        raise GenloomError("media.part_too_large", part=name[:80], limit=MAX_PART_BYTES >> 20)
    return archive.read(name)


def _is_encrypted(book: zipfile.ZipFile) -> bool:
    """Return whether the book is encrypted beyond the usual obfuscation of embedded fonts."""
    if "META-INF/encryption.xml" not in book.namelist():
        return False
    methods = ElementTree.fromstring(_read_part(book, "META-INF/encryption.xml")).iterfind(".//{*}EncryptionMethod")
    fonts = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
    return any(method.attrib.get("Algorithm") not in fonts for method in methods)


def run_extractor(extractor: Callable[[Source], ExtractedText], source: Source) -> ExtractedText:
    """Run an extractor on a source; any other error of its library becomes a ValueError with the reason."""
    try:
        return extractor(source)
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:  # parsers fail in many ways on damaged files, and each must cost one file only
        reason = f"{type(error).__name__}: {str(error)[:80]}"
        raise GenloomError("media.extractor_failed", reason=reason) from error


def _check_file_size(path: Path) -> None:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise GenloomError("media.document_too_large", limit=MAX_FILE_BYTES >> 20)


def _check_zip_size(path: Path) -> None:
    """Check the unpacked size: zipfile never reads more than a member's declared size, so their sum is a bound."""
    _check_file_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, EOFError) as error:
        raise GenloomError("media.damaged_archive") from error
    if unpacked_bytes > MAX_UNPACKED_BYTES:
        raise GenloomError("media.archive_too_large", size=unpacked_bytes >> 20, limit=MAX_UNPACKED_BYTES >> 20)
