"""Parsing of untrusted XML into a tree of bounded size and depth, without nested or external entities."""

import re
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from genloom.errors import GenloomError

MAX_BYTES = 16 << 20
MAX_ELEMENTS = 200_000
MAX_DEPTH = 100  # resvg overflows its stack at a few hundred
ENTITY_PATTERN = re.compile(rb"<!ENTITY\s+(%\s+)?\S+\s+(SYSTEM|PUBLIC|(\"[^\"]*[&%][^\"]*\"|'[^']*[&%][^']*'))")


def parse_xml(data: bytes) -> Element:
    """Return the root element; ValueError gives the reason."""
    if len(data) > MAX_BYTES:
        raise GenloomError("media.xml_too_large", limit=MAX_BYTES >> 20)
    # UTF-16 would hide entities from the search below, and no program writes such drawings.
    if b"\0" in data:
        raise GenloomError("media.not_utf8_svg")
    if ENTITY_PATTERN.search(data):
        raise GenloomError("media.external_entities")
    parser = XMLParser(target=_BoundedTreeBuilder())
    try:
        parser.feed(data)
        return parser.close()
    except (ParseError, LookupError) as error:
        raise GenloomError("media.damaged_xml", reason=str(error)[:80]) from error


def local_name(element: Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


class _BoundedTreeBuilder:
    """A TreeBuilder with limits on depth, elements and characters."""

    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._depth = self._num_elements = self._num_chars = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._num_elements += 1
        if self._depth > MAX_DEPTH or self._num_elements > MAX_ELEMENTS:
            raise GenloomError("media.deep_xml")
        self._count_chars(sum(map(len, attributes.values())))
        self._builder.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._builder.end(tag)

    def data(self, text: str) -> None:
        self._count_chars(len(text))
        self._builder.data(text)

    def close(self) -> Element:
        return self._builder.close()

    def _count_chars(self, num_chars: int) -> None:
        self._num_chars += num_chars  # entities may expand to more than the file has
        if self._num_chars > MAX_BYTES:
            raise GenloomError("media.entity_expansion")
