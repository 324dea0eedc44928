"""Extraction of the text of HTML, PDF and EPUB files, with bounds on size."""

import logging
import re
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from html import unescape
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote

from genloom.errors import GenloomError
from genloom.media.text import bounded, encoding
from genloom.media.text.bounded import ExtractedText
from genloom.media.text.headings import MAX_HEADINGS, Heading, find_html_headings, find_outline_headings

Source = TypeVar("Source", str, Path)
Extraction = TypeVar("Extraction")
Token = tuple[str, str, str]  # of a page: text, start, hidden start or end; the text or the tag's name; the source
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
ROOT_TAGS = frozenset(("html", "body"))  # which scripts hide until the page is complete
HIDDEN_TAGS = frozenset(("script", "style", "head", "template", "noscript", "svg"))
NAVIGATION_START = re.compile(r"<nav\b", re.IGNORECASE)
NAVIGATION_END = re.compile(r"</nav\s*>", re.IGNORECASE)
TAG_BEGINNING = re.compile(r"<(/?)([a-zA-Z][^\s/<>]*)")
TAG = re.compile(TAG_BEGINNING.pattern + r"""(?:=\s*(?:"[^"]*"|'[^']*')|[^<>])*+>""")
UNQUOTED_TAG = re.compile(TAG_BEGINNING.pattern + "[^<>]*+>")
DOCTYPE_SUBSET = re.compile(r"<!doctype[^<>\[]*+\[", re.IGNORECASE)  # declarations of entities, up to a bracket
QUOTED = re.compile(r"""=\s*(?:"[^"]*"|'[^']*')""")
HIDDEN_ATTRIBUTE = re.compile(r"\shidden(?=[\s=/>])", re.IGNORECASE)
HIDING_STYLE = re.compile(r"""\bstyle\s*=[^<>]*?\b(?:display\s*:\s*none|visibility\s*:\s*hidden)\b""", re.IGNORECASE)
MAYBE_HIDDEN = re.compile(
    r"\shidden[\s=/>]|display\s*:\s*none|visibility\s*:\s*hidden|<noscript|<template", re.IGNORECASE
)
VOID_TAGS = frozenset(("area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))
OPEN_TAGS = frozenset(("p", "li", "dt", "dd", "td", "th", "tr", "option"))  # which the next of their kind may end
MAX_TAG_CHARS = 4096  # in which attributes are looked for
MAX_BROKEN_TAGS = 20  # of a page, each of which may be searched up to its end
VERBATIM_START, VERBATIM_END = (re.compile(rf"<{end}pre\b[^<>]*+>", re.IGNORECASE) for end in ("", "/"))
LINE_START = re.compile(r"<[^<>]*+>|\s*\n\s*")  # or a tag
LINE_SIGNS = {ord("⏎"): "\n", ord("␠"): " ", ord("␉"): "\t"}
FACT_TAG = re.compile(r"<(?:a|link|meta)\b[^<>]*+>", re.IGNORECASE)
LICENCE_LINK = re.compile(r"""<(?:a|link)\b.*\brel=["']?license\b""", re.IGNORECASE | re.DOTALL)
LICENCE_META = re.compile(
    r"""<meta\b.*\bname=["']?(?:license|dc\.rights|dcterms\.rights)\b""", re.IGNORECASE | re.DOTALL
)
ATTRIBUTE = re.compile(r"""\b(?:href|content)=["']([^"'>]{1,300})""", re.IGNORECASE)


def extract_html(markup: str) -> ExtractedText:
    """Extract the main text of a web page without menus; all visible text if trafilatura finds no article."""
    import trafilatura

    # It warns about pages without an article on standard error, which belongs to the caller.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    if len(markup) > bounded.MAX_TEXT_CHARS:
        raise GenloomError("media.page_too_large", limit=bounded.MAX_TEXT_CHARS >> 20)
    shown_markup = remove_hidden(markup) if MAYBE_HIDDEN.search(markup) else markup
    signs = {} if any(chr(sign) in markup for sign in LINE_SIGNS) else LINE_SIGNS
    shown_markup = _sign_lines(shown_markup) if signs else shown_markup
    text = trafilatura.extract(shown_markup, include_comments=False, include_tables=True, favor_recall=True) or ""
    text = re.sub(r"\n{3,}", "\n\n", text.translate(signs)).strip()
    visible_text = extract_visible_text(markup)
    # trafilatura is made for articles: of other pages it may keep a single line, so the visible text is better.
    if len(text) < 0.3 * len(visible_text) and len(visible_text) < 2000:
        text = visible_text
    return ExtractedText(text or visible_text, find_html_licence(markup), headings=find_html_headings(markup))


def _sign_lines(markup: str) -> str:
    """Return a page without tags in its <pre> elements, with signs for the line ends in them and the blanks there.

    trafilatura leaves out empty lines, and outside of an article it joins all lines and divides them at tags.
    """
    pieces, begin = [], 0
    while (start := VERBATIM_START.search(markup, begin)) and (end := VERBATIM_END.search(markup, start.end())):
        pieces += [markup[begin : start.end()], LINE_START.sub(_sign_line, markup[start.end() : end.start()])]
        begin = end.start()
    return "".join((*pieces, markup[begin:]))


def _sign_line(piece: re.Match[str]) -> str:
    """Return the signs for blanks between two lines; for a tag, a sign if it begins a line."""
    tag = TAG_BEGINNING.match(piece[0])
    is_line = tag is not None and not tag[1] and tag[2].lower() in PARAGRAPH_TAGS | LINE_TAGS
    shown = "\n" * is_line if piece[0].startswith("<") else piece[0].replace("\r", "")
    return shown.translate({ord(shown): chr(sign) for sign, shown in LINE_SIGNS.items()})


def find_html_licence(markup: str) -> str:
    """Return the licence in <link rel=license> or <meta name=license> of the page."""
    tags = [tag[0] for tag in FACT_TAG.finditer(markup)]
    for pattern in (LICENCE_LINK, LICENCE_META):
        if (tag := next(filter(pattern.match, tags), None)) and (value := ATTRIBUTE.search(tag)):
            return value[1].strip()
    return ""


def extract_visible_text(markup: str) -> str:
    """Extract all text that a browser would show, with empty lines between paragraphs."""
    pieces: list[str] = []
    hidden_depth = verbatim_depth = 0
    for kind, value, _ in _skip_hidden(_iter_tokens(markup.replace("\0", ""))):
        if kind == "text":
            if not hidden_depth:
                # A NUL stands for a blank that must be kept.
                pieces.append(value.replace(" ", "\0") if verbatim_depth else re.sub(r"\s+", " ", value))
            continue
        step = 1 if kind == "start" else -1
        hidden_depth = max(0, hidden_depth + step * (value in HIDDEN_TAGS))
        verbatim_depth = max(0, verbatim_depth + step * (value == "pre"))
        if value in PARAGRAPH_TAGS or value in LINE_TAGS:
            pieces.append("\n\n" if value in PARAGRAPH_TAGS else "\n")
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(pieces))
    return re.sub(r"\n{3,}", "\n\n", text).strip().replace("\0", " ")


def remove_hidden(markup: str) -> str:
    """Return a page without the elements that a browser does not show, and without comments and scripts."""
    pieces, depth = [], 0
    for kind, value, source in _skip_hidden(_iter_tokens(markup)):
        if value in ("noscript", "template") and kind != "text":
            depth = max(0, depth + (1 if kind == "start" else -1))
        elif not depth:
            pieces.append(source)
    return "".join(pieces)


def _skip_hidden(tokens: Iterable[Token]) -> Iterator[Token]:
    """Yield the tokens that do not stand in an element which its attributes hide."""
    open_names: list[str] = []  # of the hidden element and those in it
    counts: Counter[str] = Counter()
    for kind, value, source in tokens:
        if kind == "text":
            if not open_names:
                yield kind, value, source
            continue
        if open_names and _ends_element(kind, value, open_names, counts):
            open_names, counts = [], Counter()  # by what stands after it: its own end is left out
        if not open_names and kind != "hidden start":
            yield kind, value, source
        elif kind != "end" and value not in VOID_TAGS:
            open_names.append(value)
            counts[value] += 1
        elif kind == "end" and counts[value]:
            while True:
                name = open_names.pop()
                counts[name] -= 1
                if name == value:
                    break


def _ends_element(kind: str, value: str, open_names: list[str], counts: Counter[str]) -> bool:
    """Return whether a tag ends the hidden element without being its end tag, which some elements may lack."""
    name = open_names[0]
    if kind == "end":
        return name in OPEN_TAGS and not counts[value]
    is_first = len(open_names) == 1
    return is_first and ((value == name and name in OPEN_TAGS) or (name == "p" and value in PARAGRAPH_TAGS))


def _is_hidden_tag(tag: str) -> bool:
    """Return whether the attributes of a tag hide its element."""
    tag = tag[:MAX_TAG_CHARS]
    is_named = HIDDEN_ATTRIBUTE.search(QUOTED.sub("=", tag)) is not None
    return is_named or HIDING_STYLE.search(tag) is not None


def _iter_tokens(markup: str) -> Iterator[Token]:
    """Yield the texts of a page, and the names of the tags that start, also hidden, and end; each with its source.

    The time grows with the size of the page, however broken it is: what is not closed is not searched for its end
    again and again. Python's own parser takes minutes for some pages of 200 kB.
    """
    begin = num_broken = 0
    while (start := markup.find("<", begin)) >= 0:
        if start > begin:
            yield "text", unescape(markup[begin:start]), markup[begin:start]
        if markup.startswith("<!--", start):
            end = markup.find("-->", start + 4)
            begin = end + 3 if end >= 0 else len(markup)
            continue
        tag = TAG.match(markup, start) if num_broken < MAX_BROKEN_TAGS else None
        if not tag and markup.startswith(("<!", "<?"), start):
            subset = DOCTYPE_SUBSET.match(markup, start)
            end = markup.find(">", max(start, markup.find("]", subset.end())) if subset else start)
            begin = end + 1 if end >= 0 else len(markup)
            continue
        if not tag and TAG_BEGINNING.match(markup, start):
            num_broken += 1
            tag = UNQUOTED_TAG.match(markup, start)
        if not tag:
            yield "text", "<", "&lt;"
            begin = start + 1
            continue
        begin, name = tag.end(), tag[2].lower()
        if tag[1]:
            yield "end", name, tag[0]
            continue
        yield ("hidden start" if name not in ROOT_TAGS and _is_hidden_tag(tag[0]) else "start"), name, tag[0]
        if tag[0].endswith("/>"):
            yield "end", name, ""
        elif name in ("script", "style"):
            end = re.compile(f"</{name}", re.IGNORECASE).search(markup, begin)
            begin = end.start() if end else len(markup)
    if begin < len(markup):
        yield "text", unescape(markup[begin:]), markup[begin:]


def extract_pdf(path: Path) -> ExtractedText:
    """Extract the text of a PDF page by page, without the running heads and feet of most pages."""
    import pypdfium2

    bounded.check_file_size(path)
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
            if length > bounded.MAX_TEXT_CHARS:
                raise GenloomError("media.document_too_long", limit=bounded.MAX_TEXT_CHARS >> 20)
            # pdfium marks a hyphen that only breaks a line with U+FFFE (or U+0002 in older files)
            pages.append(re.sub("[\ufffe\x02]\n?", "", text.replace("\r\n", "\n")).strip("\n"))
        licence = document.get_metadata_dict().get("Rights", "")
        outline = list(_iter_outline(document))
    except pypdfium2.PdfiumError as error:
        raise GenloomError("media.damaged_page", page=len(pages) + 1) from error
    finally:
        document.close()
    if not any(page.strip() for page in pages):
        raise GenloomError("media.scanned_pdf")
    joined_text, page_starts = bounded.join_pages(_strip_running_heads(pages))
    headings = find_outline_headings(outline, page_starts)
    return ExtractedText(joined_text, licence, page_starts=page_starts, headings=headings)


def _iter_outline(document: Any) -> Iterator[tuple[int, str, int]]:
    """Yield the level, title and page of the entries of the outline of a PDF that lead to a page."""
    for entry in islice(document.get_toc(), MAX_HEADINGS):
        target = entry.get_dest()
        page = None if target is None else target.get_index()
        if page is not None:
            yield entry.level, entry.get_title(), page


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


def extract_epub(path: Path) -> ExtractedText:
    """Extract the chapters of an EPUB in reading order (its `spine`), and its dc:rights; count the missing ones."""
    bounded.check_zip_size(path)
    try:
        with zipfile.ZipFile(path) as book:
            container = bounded.parse_part(book, "META-INF/container.xml")
            rootfile = container.find(".//{*}rootfile")
            if rootfile is None:
                raise GenloomError("media.empty_epub")
            opf = PurePosixPath(rootfile.attrib["full-path"])
            package = bounded.parse_part(book, str(opf))
            if _is_encrypted(book):
                raise GenloomError("media.copy_protected")
            items = list(package.iterfind(".//{*}manifest/{*}item"))
            files = {item.get("id"): item.get("href", "") for item in items}
            navigation = {
                _resolve_href(opf.parent, item.get("href", ""))
                for item in items
                if "nav" in item.get("properties", "").split()
            }
            idrefs = [item.get("idref") for item in package.iterfind(".//{*}spine/{*}itemref")]
            # A chapter that the spine repeats is read once.
            names = list(dict.fromkeys(_resolve_href(opf.parent, files[i]) if i in files else f"?{i}" for i in idrefs))
            missing: list[str] = []
            headings: list[Heading] = []
            text = bounded.join_bounded(_iter_chapters(book, names, navigation, missing, headings))
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, EOFError, NotImplementedError, RuntimeError) as error:
        raise GenloomError("media.not_epub", reason=type(error).__name__) from error
    rights = package.findtext(".//{http://purl.org/dc/elements/1.1/}rights") or ""
    problems = ()
    if missing:
        first = missing[0][:80].lstrip("?")
        problems = (GenloomError("media.missing_chapters", count=len(missing), total=len(names), first=first),)
    return ExtractedText(text, rights.strip()[:300], problems, headings=tuple(headings[:MAX_HEADINGS]))


def _iter_chapters(
    book: zipfile.ZipFile, names: list[str], navigation: set[str], missing: list[str], headings: list[Heading]
) -> Iterator[str]:
    """Yield the texts of the chapters; add the names of those that cannot be read to `missing`, and all headings.

    Of the pages named in `navigation`, the lists of chapters and pages are no text of the book.
    """
    for name in names:
        try:
            data = bounded.read_part(book, name)
        except (KeyError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
            missing.append(name)
            continue
        markup = _decode_markup(data)
        if name in navigation:
            markup = _remove_navigation(markup)
        headings += find_html_headings(markup)
        yield extract_visible_text(markup)


def _remove_navigation(markup: str) -> str:
    """Return a page of an EPUB without its lists of chapters and pages, which a reader shows elsewhere."""
    pieces, begin = [], 0
    while start := NAVIGATION_START.search(markup, begin):
        end = NAVIGATION_END.search(markup, start.end())
        if end is None:
            break
        pieces.append(markup[begin : start.start()])
        begin = end.end()
    return "".join(pieces) + markup[begin:]


def _resolve_href(folder: PurePosixPath, href: str) -> str:
    parts: list[str] = []
    for part in (folder / unquote(href.split("#")[0])).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _decode_markup(data: bytes) -> str:
    """Decode XML or HTML: by its byte order mark, its declaration, UTF-8, or the encoding that fits its bytes."""
    declared = encoding.find_declared_encoding(data)
    try:
        return data.decode(declared or "utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(encoding.detect_encoding(data[: encoding.HEAD_BYTES]) or "utf-8", "replace")


def _is_encrypted(book: zipfile.ZipFile) -> bool:
    """Return whether the book is encrypted beyond the usual obfuscation of embedded fonts."""
    if "META-INF/encryption.xml" not in book.namelist():
        return False
    methods = bounded.parse_part(book, "META-INF/encryption.xml").iterfind(".//{*}EncryptionMethod")
    fonts = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
    return any(method.attrib.get("Algorithm") not in fonts for method in methods)


def run_extractor(extractor: Callable[[Source], Extraction], source: Source) -> Extraction:
    """Run an extractor on a source; any other error of its library becomes a ValueError with the reason."""
    try:
        return extractor(source)
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:  # parsers fail in many ways on damaged files, and each must cost one file only
        reason = f"{type(error).__name__}: {str(error)[:80]}"
        raise GenloomError("media.extractor_failed", reason=reason) from error
