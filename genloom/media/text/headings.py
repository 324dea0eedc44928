"""The headings of documents: their level and text, in order, by which a passage is named after its section."""

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from html import unescape
from xml.etree import ElementTree

from genloom.media.text import bounded
from genloom.media.text.bounded import get_attributes, local_name

MAX_HEADINGS = 20_000  # of one document
MAX_HEADING_CHARS = 200
_HTML_HEADING = re.compile(r"<h([1-6])\b[^<>]*+>(.{1,2000}?)</h\1\s*>", re.IGNORECASE | re.DOTALL)
_HTML_TAG = re.compile(r"<[^<>]*+>")
_HEADING_STYLE = re.compile(r"heading\s*([1-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Heading:
    """A heading of a document; it stands in the text at `start` or after it."""

    level: int  # from 1, the highest
    text: str
    start: int = 0


def find_html_headings(markup: str, start: int = 0) -> tuple[Heading, ...]:
    """Return the headings of a page that begins at `start` in the text of its document."""
    found = []
    for match in _HTML_HEADING.finditer(markup):
        if text := tidy_heading(unescape(_HTML_TAG.sub("", match[2]))):
            found.append(Heading(int(match[1]), text, start))
        if len(found) >= MAX_HEADINGS:
            break
    return tuple(found)


def find_word_headings(archive: zipfile.ZipFile, body: ElementTree.Element, main_part: str) -> tuple[Heading, ...]:
    """Return the headings of a Word document: paragraphs of a style that is called a heading, in any language."""
    levels = _read_heading_styles(archive, f"{main_part.rpartition('/')[0]}/styles.xml")
    found = []
    for paragraph in body.iter():
        if local_name(paragraph) != "p" or len(found) >= MAX_HEADINGS:
            continue
        style = paragraph.find("{*}pPr/{*}pStyle")
        level = levels.get(get_attributes(style).get("val", "")) if style is not None else None
        if level:
            text = "".join(part.text or "" for part in paragraph.iter() if local_name(part) == "t")
            found += [Heading(level, tidied)] if (tidied := tidy_heading(text)) else []
    return tuple(found)


def _read_heading_styles(archive: zipfile.ZipFile, part: str) -> dict[str, int]:
    """Return the level of each style of headings, by its id; the names of built-in styles are English everywhere."""
    if part not in archive.namelist():
        return {f"Heading{level}": level for level in range(1, 10)}
    levels = {}
    for style in bounded.parse_part(archive, part):
        name = next((get_attributes(child).get("val", "") for child in style if local_name(child) == "name"), "")
        if match := _HEADING_STYLE.fullmatch(name.strip()):
            levels[get_attributes(style).get("styleId", "")] = int(match[1])
        elif name.lower() == "title":
            levels[get_attributes(style).get("styleId", "")] = 1
    return levels


def find_odf_headings(body: ElementTree.Element) -> tuple[Heading, ...]:
    """Return the headings of an OpenDocument text."""
    found = []
    for element in body.iter():
        if local_name(element) == "h" and len(found) < MAX_HEADINGS:
            level = get_attributes(element).get("outline-level", "1")
            if text := tidy_heading("".join(element.itertext())):
                found.append(Heading(int(level) if level.isdecimal() else 1, text))
    return tuple(found)


def find_outline_headings(outline: Iterable[tuple[int, str, int]], page_starts: tuple[int, ...]) -> tuple[Heading, ...]:
    """Return the entries of an outline (level and page from 0, title) as headings of a document with these pages."""
    found = []
    for level, title, page in outline:
        if (text := tidy_heading(title)) and 0 <= page < len(page_starts):
            found.append(Heading(level + 1, text, page_starts[page]))
        if len(found) >= MAX_HEADINGS:
            break
    return tuple(sorted(found, key=lambda heading: heading.start))


def tidy_heading(text: str) -> str:
    """Return a heading on one line; "" for one that is too long to be one."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_HEADING_CHARS else ""
