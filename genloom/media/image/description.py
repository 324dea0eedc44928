"""Finds what a picture says of itself: EXIF, XMP, the texts in a PNG, the title of an SVG."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from genloom.media.image import markup

if TYPE_CHECKING:  # Pillow takes a twentieth of a second to import
    from PIL import Image

CAPTION_AT_MOST, LICENCE_AT_MOST = 2_000, 300  # characters
IMAGE_DESCRIPTION, COPYRIGHT = 0x010E, 0x8298  # tags of EXIF
DC, CC, RDF = (
    "http://purl.org/dc/elements/1.1/",
    "http://creativecommons.org/ns#",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
)
# What cameras write where a description belongs.
NO_CAPTION = re.compile(r"^(olympus|sony|samsung|nikon|canon)? ?(digital camera|dsc|dcim|default)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Description:
    """What a file says of itself; "" where it says nothing."""

    caption: str = ""
    licence: str = ""


NOTHING = Description()


def merged(first: Description, second: Description) -> Description:
    """What the first says, and what only the second does."""
    return Description(first.caption or second.caption, first.licence or second.licence)


def embedded(image: "Image.Image") -> Description:
    """What stands in a loaded picture's EXIF, XMP or text chunks; a damaged block says nothing."""
    try:
        exif = image.getexif()
        said = Description(
            _caption(_as_utf8(exif.get(IMAGE_DESCRIPTION))), _line(_as_utf8(exif.get(COPYRIGHT)), LICENCE_AT_MOST)
        )
    except Exception:  # EXIF is a free-form directory of offsets: a damaged one must not cost the picture
        said = NOTHING
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if packet:
        said = merged(said, _xmp(packet if isinstance(packet, bytes) else str(packet).encode()))
    texts = {str(key).lower(): value for key, value in image.info.items() if isinstance(value, str)}
    chunks = Description(
        next((c for key in ("description", "caption", "title") if (c := _caption(texts.get(key)))), ""),
        _line(texts.get("copyright") or texts.get("license"), LICENCE_AT_MOST),
    )
    return merged(said, chunks)


def of_svg(root: Element) -> Description:
    """The title of a drawing, else its description, and the licence in its metadata."""
    svg = root.tag.removesuffix("svg")
    caption = _caption(root.findtext(f"{svg}title")) or _caption(root.findtext(f"{svg}desc"))
    within = root.find(f"{svg}metadata")
    inner = _rdf(within) if within is not None else NOTHING
    return merged(Description(caption), inner)


def _xmp(packet: bytes) -> Description:
    try:
        return _rdf(markup.parse(packet.strip(b"\0 \r\n\t")))
    except ValueError:
        return NOTHING


def _rdf(root: Element) -> Description:
    def said(name: str) -> str:
        found = root.find(f".//{{{DC}}}{name}")
        if found is not None:
            return " ".join("".join(found.itertext()).split())
        return next((e.attrib[f"{{{DC}}}{name}"] for e in root.iter() if f"{{{DC}}}{name}" in e.attrib), "")

    link = next((e.get(f"{{{RDF}}}resource", "") for e in root.iter(f"{{{CC}}}license")), "")
    return Description(_caption(said("description") or said("title")), _line(link or said("rights"), LICENCE_AT_MOST))


def _as_utf8(value: object) -> object:
    """EXIF knows only ASCII, Pillow reads it as Latin-1, and everybody writes UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8") if isinstance(value, str) else value
    except UnicodeError:
        return value


def _caption(value: object) -> str:
    caption = _line(value, CAPTION_AT_MOST)
    return "" if NO_CAPTION.match(caption) else caption


def _line(value: object, at_most: int) -> str:
    return " ".join(value.replace("\0", " ").split())[:at_most] if isinstance(value, str) else ""
