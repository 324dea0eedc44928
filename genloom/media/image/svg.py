"""SVG rendering with resvg: only checked content is drawn, and nothing is read from a file or network."""

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from genloom.errors import GenloomError
from genloom.media.image import file_metadata, render_cost, safe_xml

MAX_ASPECT = 100
LENGTH_PATTERN = re.compile(r"^\s*([0-9.eE+-]+)\s*(px|pt|pc|mm|cm|in)?\s*$")


@dataclass(frozen=True)
class Drawing:
    """A checked SVG, with its metadata and the changes made."""

    source: str
    metadata: file_metadata.FileMetadata
    changes: tuple[str, ...]

    def render(self, side: int) -> bytes:
        """Render a PNG with transparency; its longer side is `side` pixels. ValueError gives the reason."""
        import resvg_py

        try:
            return resvg_py.svg_to_bytes(
                svg_string=self.source, width=side, height=side, dpi=96, skip_system_fonts=True
            )
        except ValueError as error:
            raise GenloomError("media.undrawable_svg", reason=str(error)[:100]) from error


def is_svg(data: bytes) -> bool:
    """Return whether the bytes are markup (perhaps gzipped), as of all image formats only SVG is."""
    return data.startswith(b"\x1f\x8b") or data[:64].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def parse_svg(data: bytes, count_pixels: Callable[[bytes], int]) -> Drawing:
    """Check an SVG and remove its scripts; `count_pixels` of an embedded raster image raises ValueError for a bad one.

    Raise ValueError for external references, for a drawing that is too complex, and for other formats.
    """
    root = safe_xml.parse_xml(_decompress_file(data))
    if safe_xml.local_name(root) != "svg":
        raise GenloomError("media.not_svg", tag=safe_xml.local_name(root)[:40])
    changes = []
    if _remove_elements(root, "script"):
        changes.append("its scripts were removed")
    _check_shape(root)
    render_cost.check_cost(root, _check_hrefs(root, count_pixels))
    if any(safe_xml.local_name(element) == "text" for element in root.iter()):
        changes.append("its text was removed, since no fonts are loaded")
    if _remove_elements(root, "foreignObject"):
        changes.append("its embedded HTML was removed")
    metadata = file_metadata.read_svg(root)
    return Drawing(ElementTree.tostring(root, encoding="unicode"), metadata, tuple(changes))


def _decompress_file(data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        xml = zlib.decompressobj(wbits=31).decompress(data, safe_xml.MAX_BYTES + 1)
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise GenloomError("media.damaged_svg") from error
    return xml


def _remove_elements(root: Element, name: str) -> int:
    """Remove all elements with a name and return their number."""
    num_removed = 0
    for parent in list(root.iter()):
        for child in [child for child in parent if safe_xml.local_name(child) == name]:
            parent.remove(child)
            num_removed += 1
    return num_removed


def _check_shape(root: Element) -> None:
    """Refuse unreasonable sizes; resvg derives a missing size from the drawing."""
    if root.get("viewBox") and any("%" in root.get(name, "") for name in ("width", "height")):
        # A share of a page that is not known: the drawing has the shape of its view box.
        for name in ("width", "height"):
            root.attrib.pop(name, None)
    view_box = re.split(r"[\s,]+", root.get("viewBox", "").strip())
    try:
        sizes = [float(number) for number in view_box[2:4]]
    except ValueError:
        sizes = []
    for name in ("width", "height"):
        if match := LENGTH_PATTERN.match(root.get(name, "")):
            sizes.append(float(match[1]))
    if any(not 1e-6 < size < 1e9 for size in sizes):
        raise GenloomError("media.svg_without_size")
    for width, height in zip(sizes[::2], sizes[1::2], strict=False):
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise GenloomError("media.elongated_svg", limit=MAX_ASPECT)


def _check_hrefs(root: Element, count_pixels: Callable[[bytes], int]) -> dict[Element, int]:
    """Raise ValueError for a reference to the outside; return the pixels of the images in elements."""
    pixels: dict[Element, int] = {}
    for element in root.iter():
        if safe_xml.local_name(element) not in ("image", "feImage", "use", "tref"):
            continue
        for href in (element.get(name, "").strip() for name in render_cost.HREFS):
            if href.startswith("data:"):
                pixels[element] = pixels.get(element, 0) + _count_embedded(href, count_pixels)
            elif href and not href.startswith("#"):
                raise GenloomError("media.bad_href", href=href[:80])
    return pixels


def _count_embedded(href: str, count_pixels: Callable[[bytes], int]) -> int:
    head, _, body = href.partition(",")
    try:
        data = base64.b64decode(unquote_to_bytes(body)) if head.rstrip().endswith("base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError) as error:
        raise GenloomError("media.bad_embedded_image") from error
    if is_svg(data):
        raise GenloomError("media.nested_svg")
    try:
        return count_pixels(data)
    except ValueError as error:
        raise GenloomError("media.embedded_image_unreadable", reason=error) from error
