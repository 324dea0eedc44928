"""An estimate of the cost of a drawing, to refuse those that would take a renderer minutes or forever."""

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element

from genloom.errors import GenloomError
from genloom.media.image import safe_xml

HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
REFERENCE_PATTERN = re.compile(r"url\(\s*['\"]?#([^'\")\s]+)")
# Properties that need a canvas of their own; an opacity of 1 does not.
LAYERED_PATTERN = re.compile(
    r"(?<![\w-])(filter|mask|clip-path|mix-blend-mode|opacity)(?!\s*[:=]\s*(1(?![.\d])|none|normal))"
)
# Effects whose cost grows with their parameters, and which small drawings rarely use.
UNBOUNDED_EFFECTS = frozenset(("feTurbulence", "feConvolveMatrix", "feMorphology"))
# In units of a plain shape, which takes up to 0.1 ms at 512 × 512 pixels.
LAYER_UNITS, PRIMITIVE_UNITS, BLUR_UNITS = 20, 50, 400
BLURS = frozenset(("feGaussianBlur", "feDropShadow"))
MAX_SHEET_CHARS = 1 << 18  # of CSS, whose rules are compared with every element
CHARS_PER_UNIT = 20  # of path data
PIXELS_PER_UNIT = 700  # of an embedded image, which is decoded each time that it is drawn
MAX_UNITS = 100_000


def check_cost(root: Element, pixels: Mapping[Element, int]) -> None:
    """Raise ValueError if the drawing is too expensive; each element counts as often as it is referred to.

    `pixels` are those of the images embedded in elements.

    Ten levels of ten <use> are ten billion elements; patterns, masks and markers multiply as well.
    """
    for element in root.iter():
        if safe_xml.local_name(element) in UNBOUNDED_EFFECTS:
            raise GenloomError("media.unsupported_effect", name=safe_xml.local_name(element))
    _CostCounter(root, pixels).count(root)


class _CostCounter:
    """Counts the units and the nesting depth of elements with everything they refer to."""

    def __init__(self, root: Element, pixels: Mapping[Element, int]) -> None:
        self._pixels = pixels
        self._elements_by_id = {name: element for element in root.iter() if (name := element.get("id"))}
        sheets = " ".join(style.text or "" for style in root.iter() if safe_xml.local_name(style) == "style")
        if len(sheets) > MAX_SHEET_CHARS:
            raise GenloomError("media.svg_too_complex")
        # Conservatively, every class may refer to every styled id.
        self._styled_ids = sorted(self._elements_by_id.keys() & REFERENCE_PATTERN.findall(sheets))
        self._has_styled_layers = bool(LAYERED_PATTERN.search(sheets))
        self._costs: dict[Element, tuple[int, int]] = {}

    def count(self, element: Element, parent_depth: int = 0) -> tuple[int, int]:
        """Return units and depth; ValueError as soon as either is too large."""
        if parent_depth > safe_xml.MAX_DEPTH:
            raise GenloomError("media.svg_too_deep")
        if element not in self._costs:
            self._costs[element] = (0, 0)  # a cycle, which resvg refuses, adds nothing
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
            raise GenloomError("media.svg_too_complex")
        if parent_depth + depth > safe_xml.MAX_DEPTH:
            raise GenloomError("media.svg_too_deep")
        return units, depth

    def _count_own(self, element: Element) -> tuple[int, list[str], int]:
        """Return the units of the element alone, the ids it refers to, and how often it draws them."""
        attributes = " ".join(
            f"{name}={value}" for name, value in element.attrib.items() if name not in ("d", "points")
        )
        num_chars = len(element.get("d", "")) + len(element.get("points", ""))
        has_class = bool(element.get("class"))
        units = 1 + num_chars // CHARS_PER_UNIT + self._pixels.get(element, 0) // PIXELS_PER_UNIT
        if LAYERED_PATTERN.search(attributes) or (has_class and self._has_styled_layers):
            units += LAYER_UNITS
        if safe_xml.local_name(element).startswith("fe"):
            units += BLUR_UNITS if safe_xml.local_name(element) in BLURS else PRIMITIVE_UNITS
        targets = REFERENCE_PATTERN.findall(attributes) + (self._styled_ids if has_class else [])
        targets += [href[1:] for name in HREFS if (href := element.get(name, "")).startswith("#")]
        num_repeats = max(1, num_chars // 4) if "marker" in attributes else 1  # a marker at every point of a path
        return units, targets, num_repeats
