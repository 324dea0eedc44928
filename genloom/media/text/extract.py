"""Takes the running text out of HTML, PDF, Word and EPUB files, within bounds on size."""

import logging
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import unquote

Source = TypeVar("Source", str, Path)
MAX_FILE_BYTES = 512 << 20  # bytes of a document file
MAX_UNPACKED_BYTES = 256 << 20  # bytes a .docx or .epub may unfold to, by its own table of contents
MAX_TEXT_CHARS = 64 << 20  # characters taken from one document
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
    """The text of a document, and what the document itself says of its licence ("" where it says nothing)."""

    text: str
    licence: str = ""


def extract_html(markup: str) -> ExtractedText:
    """The main text of a web page without its menus; all that shows where trafilatura finds no article."""
    import trafilatura

    # It warns of pages that are no articles on the standard error, which is ours to use.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    if len(markup) > MAX_TEXT_CHARS:
        raise ValueError(f"the page is larger than {MAX_TEXT_CHARS >> 20} MB")
    text = trafilatura.extract(markup, include_comments=False, include_tables=True, favor_recall=True) or ""
    visible_text = extract_visible_text(markup)
    # trafilatura is made for articles: of a page that is no article it may keep a line, so what shows is better.
    if len(text) < 0.3 * len(visible_text) and len(visible_text) < 2000:
        text = visible_text
    return ExtractedText(text or visible_text, find_html_licence(markup))


def find_html_licence(markup: str) -> str:
    """What <link rel=license> or <meta name=license> of the page says."""
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
    """All text that a browser would show of the markup, paragraphs apart by an empty line."""
    parser = _VisibleTextParser()
    parser.feed(markup)
    parser.close()
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(parser.pieces))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def extract_pdf(path: Path) -> ExtractedText:
    """The text of a PDF page by page; lines that stand at the top or foot of most pages are left out."""
    import pypdfium2

    _check_file_size(path)
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        cure = "open it once and save it without the password" if "assword" in str(error) else "the file is damaged"
        raise ValueError(f"it could not be opened as a PDF: {cure}") from error
    pages, length = [], 0
    try:
        for page in document:
            text = page.get_textpage().get_text_bounded()
            page.close()
            length += len(text)
            if length > MAX_TEXT_CHARS:
                raise ValueError(f"it holds more than {MAX_TEXT_CHARS >> 20} MB of text; split it")
            # pdfium marks a hyphen that only breaks a line with U+FFFE (or U+0002 in older files)
            pages.append(re.sub("[\ufffe\x02]\n?", "", text.replace("\r\n", "\n")).strip("\n"))
        licence = document.get_metadata_dict().get("Rights", "")
    except pypdfium2.PdfiumError as error:
        raise ValueError(f"its page {len(pages) + 1} is damaged") from error
    finally:
        document.close()
    if not any(page.strip() for page in pages):
        raise ValueError("it holds pictures of pages and no text: run a text recognition (OCR) over it first")
    return ExtractedText("\n\n".join(_strip_running_heads(pages)), licence)


def _strip_running_heads(pages: list[str]) -> list[str]:
    """Drops first and last lines that recur, page numbers aside, on more than half of at least five pages."""
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
    """The paragraphs and tables of a Word document in their order."""
    import docx as python_docx
    from docx.opc.exceptions import PackageNotFoundError
    from docx.table import Table

    _check_zip_size(path)
    try:
        document = python_docx.Document(str(path))
        pieces = []
        for block in document.iter_inner_content():
            if isinstance(block, Table):
                pieces.append("\n".join(" | ".join(cell.text.strip() for cell in row.cells) for row in block.rows))
            else:
                pieces.append(block.text)
    except (
        KeyError,
        ValueError,
        SyntaxError,
        zipfile.BadZipFile,
        PackageNotFoundError,
    ) as error:
        raise ValueError(f"it is damaged or not a Word .docx document ({type(error).__name__})") from error
    return ExtractedText("\n\n".join(piece for piece in pieces if piece.strip()))


def extract_epub(path: Path) -> ExtractedText:
    """The chapters of an EPUB in reading order (its `spine`), and its dc:rights."""
    _check_zip_size(path)
    try:
        with zipfile.ZipFile(path) as book:
            container = ElementTree.fromstring(book.read("META-INF/container.xml"))
            rootfile = container.find(".//{*}rootfile")
            if rootfile is None:
                raise ValueError("it names no book inside")
            opf = PurePosixPath(rootfile.attrib["full-path"])
            package = ElementTree.fromstring(book.read(str(opf)))
            files = {item.attrib["id"]: item.attrib["href"] for item in package.iterfind(".//{*}manifest/{*}item")}
            spine = [files[item.attrib["idref"]] for item in package.iterfind(".//{*}spine/{*}itemref")]
            if _is_encrypted(book):
                raise ValueError("it is locked by copy protection (DRM)")
            chapters = [extract_visible_text(_read_chapter(book, opf.parent, href)) for href in spine]
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"it is damaged or not an EPUB book ({type(error).__name__})") from error
    rights = package.findtext(".//{http://purl.org/dc/elements/1.1/}rights") or ""
    return ExtractedText("\n\n".join(chapter for chapter in chapters if chapter), rights.strip()[:300])


def _read_chapter(book: zipfile.ZipFile, folder: PurePosixPath, href: str) -> str:
    parts: list[str] = []
    for part in (folder / unquote(href.split("#")[0])).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return book.read("/".join(parts)).decode("utf-8-sig", "replace")


def _is_encrypted(book: zipfile.ZipFile) -> bool:
    """Encryption other than the usual scrambling of embedded fonts."""
    if "META-INF/encryption.xml" not in book.namelist():
        return False
    methods = ElementTree.fromstring(book.read("META-INF/encryption.xml")).iterfind(".//{*}EncryptionMethod")
    fonts = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
    return any(method.attrib.get("Algorithm") not in fonts for method in methods)


def run_extractor(extractor: Callable[[Source], ExtractedText], source: Source) -> ExtractedText:
    """What the reader makes of `given`; whatever its library trips over becomes a ValueError with the reason."""
    try:
        return extractor(source)
    except (ValueError, OSError):
        raise
    except Exception as error:  # parsers fail in many ways on damaged files, and each must cost one file only
        raise ValueError(f"its reader failed on it ({type(error).__name__}: {str(error)[:80]})") from error


def _check_file_size(path: Path) -> None:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES >> 20} MB; split it")


def _check_zip_size(path: Path) -> None:
    """zipfile never yields more than a member's declared size, so the sum of those is a true bound."""
    _check_file_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError("it is damaged (not a whole zip archive, which such a file must be)") from error
    if unpacked_bytes > MAX_UNPACKED_BYTES:
        raise ValueError(
            f"it would unfold to {unpacked_bytes >> 20} MB, more than the {MAX_UNPACKED_BYTES >> 20} MB allowed"
        )
