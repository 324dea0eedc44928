"""Parses XML from strangers into a tree of bounded size: no entity that names another one or a file, no depth."""

import re
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

MAX_BYTES = 16 << 20
MAX_ELEMENTS = 200_000
MAX_DEPTH = 100  # resvg runs out of stack at a few hundred
ENTITY_PATTERN = re.compile(rb"<!ENTITY\s+(%\s+)?\S+\s+(SYSTEM|PUBLIC|(\"[^\"]*[&%][^\"]*\"|'[^']*[&%][^']*'))")


def parse_xml(data: bytes) -> Element:
    """The root element. ValueError gives the bare reason."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 20} MB")
    # UTF-16 would hide what is looked for below, and no program writes such drawings.
    if b"\0" in data:
        raise ValueError("it is not UTF-8; save it as UTF-8")
    if ENTITY_PATTERN.search(data):
        raise ValueError("its entities refer to others or to files, which is not read; save it as plain SVG")
    parser = XMLParser(target=_BoundedTreeBuilder())
    try:
        parser.feed(data)
        return parser.close()
    except (ParseError, LookupError) as error:
        raise ValueError(f"it is damaged ({str(error)[:80]})") from error


def local_name(element: Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


class _BoundedTreeBuilder:
    """A TreeBuilder that refuses what is too deep or has too much in it."""

    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._depth = self._num_elements = self._num_chars = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._num_elements += 1
        if self._depth > MAX_DEPTH or self._num_elements > MAX_ELEMENTS:
            raise ValueError("it is nested too deep or has too many elements")
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
        self._num_chars += num_chars  # entities may unfold to more than the file had
        if self._num_chars > MAX_BYTES:
            raise ValueError("its entities unfold to too much")
