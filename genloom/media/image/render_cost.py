"""Tells beforehand how much work a drawing is, and refuses what would take a renderer minutes or for ever."""

import re
from xml.etree.ElementTree import Element

from genloom.media.image import safe_xml

HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
REFERENCE_PATTERN = re.compile(r"url\(\s*['\"]?#([^'\")\s]+)")
# What is drawn on a canvas of its own and then laid over the rest; an opacity of 1 is not.
LAYERED_PATTERN = re.compile(
    r"(?<![\w-])(filter|mask|clip-path|mix-blend-mode|opacity)(?!\s*[:=]\s*(1(?![.\d])|none|normal))"
)
# Their work grows with numbers inside them, and drawings that have them are rarely for small pictures.
UNBOUNDED_EFFECTS = frozenset(("feTurbulence", "feConvolveMatrix", "feMorphology"))
# In units of a plain shape, which takes up to 0.1 ms on 512 × 512 pixels.
LAYER_UNITS, PRIMITIVE_UNITS = 20, 50
CHARS_PER_UNIT = 20  # of a path's data to a unit
MAX_UNITS = 100_000
TOO_DEEP = "its references are nested too deep"
TOO_MUCH = "it is too much to draw: its elements or its references are too many; export it as .png"


def check_cost(root: Element) -> None:
    """ValueError where the drawing is too much work, each element counted as often as it is referred to.

    Ten levels of ten <use> are ten thousand million elements; patterns, masks and markers multiply as well.
    """
    for element in root.iter():
        if safe_xml.local_name(element) in UNBOUNDED_EFFECTS:
            raise ValueError(f"its effect {safe_xml.local_name(element)} is not drawn; export it as .png")
    _CostCounter(root).count(root)


class _CostCounter:
    """Counts, of elements with all that they refer to, the units and how deep a renderer has to go."""

    def __init__(self, root: Element) -> None:
        self._elements_by_id = {name: element for element in root.iter() if (name := element.get("id"))}
        sheets = " ".join(style.text or "" for style in root.iter() if safe_xml.local_name(style) == "style")
        # Which classes refer to them is not looked up: all may.
        self._styled_ids = sorted(self._elements_by_id.keys() & REFERENCE_PATTERN.findall(sheets))
        self._has_styled_layers = bool(LAYERED_PATTERN.search(sheets))
        self._costs: dict[Element, tuple[int, int]] = {}

    def count(self, element: Element, parent_depth: int = 0) -> tuple[int, int]:
        """Units and depth. ValueError where either is too much, before the next factor of ten."""
        if parent_depth > safe_xml.MAX_DEPTH:
            raise ValueError(TOO_DEEP)
        if element not in self._costs:
            self._costs[element] = (0, 0)  # a loop, which resvg refuses, adds nothing
            units, targets, num_repeats = self._count_own(element)
            child_costs = [self.count(child, parent_depth + 1) for child in element]
            target_costs = [
                self.count(self._elements_by_id[target], parent_depth + 1)
                for target in targets
                if target in self._elements_by_id
            ]
            units += sum(cost for cost, _ in child_costs) + num_repeats * sum(cost for cost, _ in target_costs)
            self._costs[element] = (units, 1 + max((depth for _, depth in [*child_costs, *target_costs]), default=0))
        units, depth = self._costs[element]
        if units > MAX_UNITS:
            raise ValueError(TOO_MUCH)
        if parent_depth + depth > safe_xml.MAX_DEPTH:
            raise ValueError(TOO_DEEP)
        return units, depth

    def _count_own(self, element: Element) -> tuple[int, list[str], int]:
        """The units of the element by itself, what it refers to, and how often it draws that."""
        attributes = " ".join(
            f"{name}={value}" for name, value in element.attrib.items() if name not in ("d", "points")
        )
        num_chars = len(element.get("d", "")) + len(element.get("points", ""))
        has_class = bool(element.get("class"))
        units = 1 + num_chars // CHARS_PER_UNIT
        if LAYERED_PATTERN.search(attributes) or (has_class and self._has_styled_layers):
            units += LAYER_UNITS
        if safe_xml.local_name(element).startswith("fe"):
            units += PRIMITIVE_UNITS
        targets = REFERENCE_PATTERN.findall(attributes) + (self._styled_ids if has_class else [])
        targets += [href[1:] for name in HREFS if (href := element.get(name, "")).startswith("#")]
        return (
            units,
            targets,
            max(1, num_chars // 4) if "marker" in attributes else 1,
        )  # a marker stands at every point of a path
