"""Bounds on what is read from a document: the size of its file, of its parts and of its text."""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.media.text.headings import Heading

MAX_FILE_BYTES = 512 << 20  # of a document file
MAX_UNPACKED_BYTES = 256 << 20  # of a .docx or .epub, by its own table of contents
MAX_PART_BYTES = 48 << 20  # of one file in it
MAX_TEXT_CHARS = 64 << 20  # of one document
OLE_MAGIC = b"\xd0\xcf\x11\xe0"  # of old Office files, and of new ones with a password


@dataclass(frozen=True)
class ExtractedText:
    """The text of a document, the licence that it states ("" for none), and what of it could not be read."""

    text: str
    licence: str = ""
    problems: tuple[GenloomError, ...] = ()
    page_starts: tuple[int, ...] = ()  # where each page or slide begins in the text; (): it has none
    headings: "tuple[Heading, ...]" = ()


def read_part(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a part of an archive; raise GenloomError for one that is larger than any real one."""
    if archive.getinfo(name).file_size > MAX_PART_BYTES:
        raise GenloomError("media.part_too_large", part=name[:80], limit=MAX_PART_BYTES >> 20)
    return archive.read(name)


def parse_part(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    """Return the root of an XML part of an archive; expat itself refuses entities that multiply."""
    return ElementTree.fromstring(read_part(archive, name))


def local_name(element: ElementTree.Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def get_attributes(element: ElementTree.Element) -> dict[str, str]:
    """Return the attributes of an element by their names without namespaces."""
    return {name.rpartition("}")[2]: value for name, value in element.attrib.items()}


def join_bounded(pieces: Iterable[str]) -> str:
    """Join the pieces that are not empty by empty lines; raise GenloomError if they are too much text."""
    kept, length = [], 0
    for piece in pieces:
        length += len(piece)
        if length > MAX_TEXT_CHARS:
            raise GenloomError("media.document_too_long", limit=MAX_TEXT_CHARS >> 20)
        if piece.strip():
            kept.append(piece)
    return "\n\n".join(kept)


def join_pages(pages: Iterable[str]) -> tuple[str, tuple[int, ...]]:
    """Join pages by empty lines, also those without text; return where each begins, too.

    Raise GenloomError if they are too much text.
    """
    starts, length, kept = [], 0, []
    for page in pages:
        starts.append(length)
        kept.append(page)
        length += len(page) + 2
        if length > MAX_TEXT_CHARS:
            raise GenloomError("media.document_too_long", limit=MAX_TEXT_CHARS >> 20)
    return "\n\n".join(kept), tuple(starts)


def check_file_size(path: Path) -> None:
    """Raise GenloomError for a file that is larger than any real document."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise GenloomError("media.document_too_large", limit=MAX_FILE_BYTES >> 20)


def check_zip_size(path: Path) -> None:
    """Check the unpacked size: zipfile never reads more than a member's declared size, so their sum is a bound."""
    check_file_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, EOFError) as error:
        with path.open("rb") as file:
            if file.read(len(OLE_MAGIC)) == OLE_MAGIC:
                raise GenloomError("media.locked_document") from error
        raise GenloomError("media.damaged_archive") from error
    if unpacked_bytes > MAX_UNPACKED_BYTES:
        raise GenloomError("media.archive_too_large", size=unpacked_bytes >> 20, limit=MAX_UNPACKED_BYTES >> 20)
