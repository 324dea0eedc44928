"""Parses XML from strangers into a tree of bounded size: no entity that names another one or a file, no depth."""

import re
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

BYTES_AT_MOST = 16 << 20
ELEMENTS_AT_MOST = 200_000
DEPTH_AT_MOST = 100  # resvg runs out of stack at a few hundred
ENTITY = re.compile(rb"<!ENTITY\s+(%\s+)?\S+\s+(SYSTEM|PUBLIC|(\"[^\"]*[&%][^\"]*\"|'[^']*[&%][^']*'))")


def parse(data: bytes) -> Element:
    """The root element. ValueError gives the bare reason."""
    if len(data) > BYTES_AT_MOST:
        raise ValueError(f"it is larger than {BYTES_AT_MOST >> 20} MB")
    # UTF-16 would hide what is looked for below, and no program writes such drawings.
    if b"\0" in data:
        raise ValueError("it is not UTF-8; save it as UTF-8")
    if ENTITY.search(data):
        raise ValueError("its entities refer to others or to files, which is not read; save it as plain SVG")
    parser = XMLParser(target=_Bounded())
    try:
        parser.feed(data)
        return parser.close()
    except (ParseError, LookupError) as error:
        raise ValueError(f"it is damaged ({str(error)[:80]})") from error


def local(element: Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


class _Bounded:
    """A TreeBuilder that refuses what is too deep or has too much in it."""

    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._depth = self._elements = self._characters = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > DEPTH_AT_MOST or self._elements > ELEMENTS_AT_MOST:
            raise ValueError("it is nested too deep or has too many elements")
        self._count(sum(map(len, attributes.values())))
        self._builder.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._builder.end(tag)

    def data(self, text: str) -> None:
        self._count(len(text))
        self._builder.data(text)

    def close(self) -> Element:
        return self._builder.close()

    def _count(self, characters: int) -> None:
        self._characters += characters  # entities may unfold to more than the file had
        if self._characters > BYTES_AT_MOST:
            raise ValueError("its entities unfold to too much")
