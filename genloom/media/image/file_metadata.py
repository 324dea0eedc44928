"""Metadata in image files: EXIF, XMP, PNG text chunks and SVG titles."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from genloom.media.image import safe_xml

if TYPE_CHECKING:  # Pillow takes a twentieth of a second to import
    from PIL import Image

MAX_CAPTION_CHARS, MAX_LICENCE_CHARS = 2_000, 300
IMAGE_DESCRIPTION, COPYRIGHT = 0x010E, 0x8298  # EXIF tags
DC, CC, RDF = (
    "http://purl.org/dc/elements/1.1/",
    "http://creativecommons.org/ns#",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
)
# Placeholder descriptions that cameras write.
CAMERA_CAPTION = re.compile(r"^(olympus|sony|samsung|nikon|canon)? ?(digital camera|dsc|dcim|default)?$", re.IGNORECASE)


@dataclass(frozen=True)
class FileMetadata:
    """The caption and licence that a file states; "" for none."""

    caption: str = ""
    licence: str = ""


NO_METADATA = FileMetadata()


def merge_metadata(first: FileMetadata, second: FileMetadata) -> FileMetadata:
    """Return the first metadata, with missing fields from the second."""
    return FileMetadata(first.caption or second.caption, first.licence or second.licence)


def read_embedded(image: "Image.Image") -> FileMetadata:
    """Read the EXIF, XMP and text chunks of a loaded image; ignore damaged blocks."""
    try:
        exif = image.getexif()
        metadata = FileMetadata(
            _clean_caption(_fix_utf8(exif.get(IMAGE_DESCRIPTION))),
            _clean_line(_fix_utf8(exif.get(COPYRIGHT)), MAX_LICENCE_CHARS),
        )
    except Exception:  # EXIF is a free-form directory of offsets: a damaged one must not cost the image
        metadata = NO_METADATA
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if packet:
        metadata = merge_metadata(metadata, _parse_xmp(packet if isinstance(packet, bytes) else str(packet).encode()))
    texts = {str(key).lower(): value for key, value in image.info.items() if isinstance(value, str)}
    chunks = FileMetadata(
        next((c for key in ("description", "caption", "title") if (c := _clean_caption(texts.get(key)))), ""),
        _clean_line(texts.get("copyright") or texts.get("license"), MAX_LICENCE_CHARS),
    )
    return merge_metadata(metadata, chunks)


def read_svg(root: Element) -> FileMetadata:
    """Read the title of a drawing, else its description, and the licence in its metadata."""
    svg = root.tag.removesuffix("svg")
    caption = _clean_caption(root.findtext(f"{svg}title")) or _clean_caption(root.findtext(f"{svg}desc"))
    metadata_element = root.find(f"{svg}metadata")
    licence_metadata = _parse_rdf(metadata_element) if metadata_element is not None else NO_METADATA
    return merge_metadata(FileMetadata(caption), licence_metadata)


def _parse_xmp(packet: bytes) -> FileMetadata:
    try:
        return _parse_rdf(safe_xml.parse_xml(packet.strip(b"\0 \r\n\t")))
    except ValueError:
        return NO_METADATA


def _parse_rdf(root: Element) -> FileMetadata:
    def get_text(name: str) -> str:
        element = root.find(f".//{{{DC}}}{name}")
        if element is not None:
            return " ".join("".join(element.itertext()).split())
        return next((e.attrib[f"{{{DC}}}{name}"] for e in root.iter() if f"{{{DC}}}{name}" in e.attrib), "")

    link = next((e.get(f"{{{RDF}}}resource", "") for e in root.iter(f"{{{CC}}}license")), "")
    return FileMetadata(
        _clean_caption(get_text("description") or get_text("title")),
        _clean_line(link or get_text("rights"), MAX_LICENCE_CHARS),
    )


def _fix_utf8(value: object) -> object:
    """Decode UTF-8 in EXIF: the standard allows only ASCII, Pillow reads Latin-1, and most programs write UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8") if isinstance(value, str) else value
    except UnicodeError:
        return value


def _clean_caption(value: object) -> str:
    caption = _clean_line(value, MAX_CAPTION_CHARS)
    return "" if CAMERA_CAPTION.match(caption) else caption


def _clean_line(value: object, max_chars: int) -> str:
    return " ".join(value.replace("\0", " ").split())[:max_chars] if isinstance(value, str) else ""
