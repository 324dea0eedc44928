"""Goals as the text of a design.toml: with units, in an order that people read, and exact when read back."""

from collections.abc import Iterator

from genloom.media.design.goals import DesignGoals, Place, Point, Region
from genloom.media.design.materials import PRESETS
from genloom.media.design.units import format_quantity

_EXACT_DIGITS = 17


def write_goals(goals: DesignGoals) -> str:
    """Return the document of goals."""
    return "\n".join([*iter_lines(goals), ""])


def iter_lines(goals: DesignGoals) -> Iterator[str]:
    domain, limits, material = goals.domain, goals.limits, goals.material
    if goals.title:
        yield f"title = {quote_text(goals.title)}\n"
    yield "[domain]"
    yield f"size = {format_point(domain.size)}"
    yield f"elements = [{', '.join(map(str, domain.elements))}]"
    if domain.axes == 2:
        yield f'thickness = "{format_exact(domain.thickness, "length")}"'
    yield "\n[material]"
    if PRESETS.get(material.name) == material:
        yield f"preset = {quote_text(material.name)}"
    else:
        yield f"name = {quote_text(material.name)}"
        yield f'elastic_modulus = "{format_exact(material.elastic_modulus, "stress")}"'
        yield f"poisson_ratio = {material.poisson_ratio!r}"
        yield f'yield_strength = "{format_exact(material.yield_strength, "stress")}"'
        yield f'density = "{format_exact(material.density, "density")}"'
        yield f"source = {quote_text(material.source)}"
    yield "\n[goal]"
    yield f"volume = {limits.volume!r}"
    for name, kind in (("max_stress", "stress"), ("max_displacement", "length"), ("min_thickness", "length"),
                       ("overhang", "angle")):  # fmt: skip
        if value := getattr(limits, name):
            yield f'{name} = "{format_exact(value, kind)}"'
    if limits.symmetry:
        yield f'symmetry = "{limits.symmetry}"'
    for support in goals.supports:
        yield "\n[[support]]"
        yield from write_place(support.place)
        yield f'hold = "{support.hold}"'
    for load in goals.loads:
        yield "\n[[load]]"
        yield from write_place(load.place)
        yield f"force = [{', '.join(quote_text(format_exact(each, 'force')) for each in load.force)}]"
        yield f"case = {quote_text(load.case)}"
    for region in goals.regions:
        yield "\n[[region]]"
        yield f'kind = "{region.kind}"'
        yield from write_box(region)


def write_place(place: Place) -> Iterator[str]:
    """Yield the lines of where a support or load is."""
    if place.side:
        yield f'at = "{place.side}"'
    elif not place.radius and place.start == place.end:
        yield f"point = {format_point(place.start)}"
    else:
        yield from write_box(place)


def write_box(box: Place | Region) -> Iterator[str]:
    if box.radius:
        yield f"center = {format_point(box.start)}"
        yield f'radius = "{format_exact(box.radius, "length")}"'
    else:
        yield f"from = {format_point(box.start)}"
        yield f"to = {format_point(box.end)}"


def format_point(point: Point) -> str:
    return f"[{', '.join(quote_text(format_exact(x, 'length')) for x in point)}]"


def format_exact(value: float, kind: str) -> str:
    """Return a quantity with the fewest digits of which reading gives the same number again."""
    from genloom.media.design.units import parse_quantity

    for digits in (6, 12, _EXACT_DIGITS):
        text = format_quantity(value, kind, digits)
        if parse_quantity(text, kind, "") == value:
            return text
    return text


def quote_text(text: str) -> str:
    """Return a text as a TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else c for c in escaped) + '"'
