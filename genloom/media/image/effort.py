"""Tells beforehand how much work a drawing is, and refuses what would take a renderer minutes or for ever."""

import re
from xml.etree.ElementTree import Element

from genloom.media.image import markup

HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
REFERENCE = re.compile(r"url\(\s*['\"]?#([^'\")\s]+)")
# What is drawn on a canvas of its own and then laid over the rest; an opacity of 1 is not.
LAYERED = re.compile(r"(?<![\w-])(filter|mask|clip-path|mix-blend-mode|opacity)(?!\s*[:=]\s*(1(?![.\d])|none|normal))")
# Their work grows with numbers inside them, and drawings that have them are rarely for small pictures.
ENDLESS = frozenset(("feTurbulence", "feConvolveMatrix", "feMorphology"))
# In units of a plain shape, which takes up to 0.1 ms on 512 × 512 pixels.
LAYER, PRIMITIVE = 20, 50
CHARACTERS = 20  # of a path's data to a unit
UNITS_AT_MOST = 100_000
TOO_DEEP = "its references are nested too deep"
TOO_MUCH = "it is too much to draw: its elements or its references are too many; export it as .png"


def check(root: Element) -> None:
    """ValueError where the drawing is too much work, each element counted as often as it is referred to.

    Ten levels of ten <use> are ten thousand million elements; patterns, masks and markers multiply as well.
    """
    for element in root.iter():
        if markup.local(element) in ENDLESS:
            raise ValueError(f"its effect {markup.local(element)} is not drawn; export it as .png")
    _Count(root).of(root)


class _Count:
    """Counts, of elements with all that they refer to, the units and how deep a renderer has to go."""

    def __init__(self, root: Element) -> None:
        self._named = {name: element for element in root.iter() if (name := element.get("id"))}
        sheets = " ".join(style.text or "" for style in root.iter() if markup.local(style) == "style")
        # Which classes refer to them is not looked up: all may.
        self._styled = sorted(self._named.keys() & REFERENCE.findall(sheets))
        self._styled_layers = bool(LAYERED.search(sheets))
        self._known: dict[Element, tuple[int, int]] = {}

    def of(self, element: Element, above: int = 0) -> tuple[int, int]:
        """Units and depth. ValueError where either is too much, before the next factor of ten."""
        if above > markup.DEPTH_AT_MOST:
            raise ValueError(TOO_DEEP)
        if element not in self._known:
            self._known[element] = (0, 0)  # a loop, which resvg refuses, adds nothing
            units, targets, times = self._own(element)
            within = [self.of(child, above + 1) for child in element]
            referred = [self.of(self._named[target], above + 1) for target in targets if target in self._named]
            units += sum(one for one, _ in within) + times * sum(one for one, _ in referred)
            self._known[element] = (units, 1 + max((deep for _, deep in [*within, *referred]), default=0))
        units, deep = self._known[element]
        if units > UNITS_AT_MOST:
            raise ValueError(TOO_MUCH)
        if above + deep > markup.DEPTH_AT_MOST:
            raise ValueError(TOO_DEEP)
        return units, deep

    def _own(self, element: Element) -> tuple[int, list[str], int]:
        """The units of the element by itself, what it refers to, and how often it draws that."""
        said = " ".join(f"{name}={value}" for name, value in element.attrib.items() if name not in ("d", "points"))
        drawn = len(element.get("d", "")) + len(element.get("points", ""))
        classed = bool(element.get("class"))
        units = 1 + drawn // CHARACTERS
        if LAYERED.search(said) or (classed and self._styled_layers):
            units += LAYER
        if markup.local(element).startswith("fe"):
            units += PRIMITIVE
        targets = REFERENCE.findall(said) + (self._styled if classed else [])
        targets += [href[1:] for name in HREFS if (href := element.get(name, "")).startswith("#")]
        return units, targets, max(1, drawn // 4) if "marker" in said else 1  # a marker stands at every point of a path
