"""Finds what a picture says of itself: EXIF, XMP, the texts in a PNG, the title of an SVG."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from genloom.media.image import safe_xml

if TYPE_CHECKING:  # Pillow takes a twentieth of a second to import
    from PIL import Image

MAX_CAPTION_CHARS, MAX_LICENCE_CHARS = 2_000, 300  # characters
IMAGE_DESCRIPTION, COPYRIGHT = 0x010E, 0x8298  # tags of EXIF
DC, CC, RDF = (
    "http://purl.org/dc/elements/1.1/",
    "http://creativecommons.org/ns#",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
)
# What cameras write where a description belongs.
CAMERA_CAPTION = re.compile(r"^(olympus|sony|samsung|nikon|canon)? ?(digital camera|dsc|dcim|default)?$", re.IGNORECASE)


@dataclass(frozen=True)
class FileMetadata:
    """What a file says of itself; "" where it says nothing."""

    caption: str = ""
    licence: str = ""


NO_METADATA = FileMetadata()


def merge_metadata(first: FileMetadata, second: FileMetadata) -> FileMetadata:
    """What the first says, and what only the second does."""
    return FileMetadata(first.caption or second.caption, first.licence or second.licence)


def read_embedded(image: "Image.Image") -> FileMetadata:
    """What stands in a loaded picture's EXIF, XMP or text chunks; a damaged block says nothing."""
    try:
        exif = image.getexif()
        metadata = FileMetadata(
            _clean_caption(_fix_utf8(exif.get(IMAGE_DESCRIPTION))),
            _clean_line(_fix_utf8(exif.get(COPYRIGHT)), MAX_LICENCE_CHARS),
        )
    except Exception:  # EXIF is a free-form directory of offsets: a damaged one must not cost the picture
        metadata = NO_METADATA
    packet = image.read_tensor_info.get("xmp") or image.read_tensor_info.get("XML:com.adobe.xmp")
    if packet:
        metadata = merge_metadata(metadata, _parse_xmp(packet if isinstance(packet, bytes) else str(packet).encode()))
    texts = {str(key).lower(): value for key, value in image.read_tensor_info.items() if isinstance(value, str)}
    chunks = FileMetadata(
        next((c for key in ("description", "caption", "title") if (c := _clean_caption(texts.get(key)))), ""),
        _clean_line(texts.get("copyright") or texts.get("license"), MAX_LICENCE_CHARS),
    )
    return merge_metadata(metadata, chunks)


def read_svg(root: Element) -> FileMetadata:
    """The title of a drawing, else its description, and the licence in its metadata."""
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
    """EXIF knows only ASCII, Pillow reads it as Latin-1, and everybody writes UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8") if isinstance(value, str) else value
    except UnicodeError:
        return value


def _clean_caption(value: object) -> str:
    caption = _clean_line(value, MAX_CAPTION_CHARS)
    return "" if CAMERA_CAPTION.match(caption) else caption


def _clean_line(value: object, max_chars: int) -> str:
    return " ".join(value.replace("\0", " ").split())[:max_chars] if isinstance(value, str) else ""
