"""The document design.toml: goals as tables with units, and the density of a design, if it has one already.

Everything from outside is bounded before it is read. A document that was written here is read back to equal goals.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from genloom.errors import GenloomError, format_suggestion
from genloom.media.design.goals import (
    MAX_ELEMENTS,
    MAX_ENTRIES,
    MAX_VOXELS,
    SIDES,
    DesignGoals,
    Domain,
    Limits,
    Load,
    Place,
    Point,
    Region,
    Support,
)
from genloom.media.design.materials import Material, find_material
from genloom.media.design.units import parse_quantity, shorten_value

DEFAULT_RESOLUTION = 64  # elements along the longest side
MAX_BYTES = 8 << 20
MAX_TITLE_CHARS = 200
AXES = "xyz"
TABLES = ("title", "domain", "material", "support", "load", "region", "goal", "density")
DOMAIN_KEYS = ("size", "resolution", "elements", "thickness")
MATERIAL_KEYS = ("preset", "name", "elastic_modulus", "poisson_ratio", "yield_strength", "density", "source")
PLACE_KEYS = ("at", "point", "from", "to", "center", "radius")
GOAL_KEYS = ("volume", "max_stress", "max_displacement", "min_thickness", "symmetry", "overhang")
Table = Mapping[str, Any]


def parse_document(text: str) -> tuple[DesignGoals | None, Table]:
    """Return the goals of a document, None if it has only a density, and its table of the density.

    GenloomError for what cannot be read, with the entry and what to write instead.
    """
    if len(text) > MAX_BYTES:
        raise GenloomError("design.file_too_large", limit=MAX_BYTES >> 20)
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise GenloomError("design.no_toml", reason=str(error)[:200] or "it is nested too deep") from None
    check_keys(table, TABLES, "the document")
    density = take_table(table, "density")
    has_goals = any(name in table for name in TABLES if name not in ("density", "title"))
    if not has_goals and not density:
        raise GenloomError("design.empty_document")
    return (read_goals(table) if has_goals else None), density


def read_goals(table: Table) -> DesignGoals:
    """Return the goals of the tables of a document."""
    if "domain" not in table:
        raise GenloomError("design.entry_missing", place="the document", name="domain", example="[domain]")
    domain = read_domain(take_table(table, "domain"))
    supports = tuple(
        read_support(entry, domain, f"support {n}") for n, entry in enumerate(take_entries(table, "support"), start=1)
    )
    loads = tuple(read_load(entry, domain, f"load {n}") for n, entry in enumerate(take_entries(table, "load"), start=1))
    regions = tuple(
        read_region(entry, domain, f"region {n}") for n, entry in enumerate(take_entries(table, "region"), start=1)
    )
    title = str(table.get("title", ""))[:MAX_TITLE_CHARS]
    limits, material = read_limits(take_table(table, "goal"), domain), read_material(take_table(table, "material"))
    return DesignGoals(domain, supports, loads, regions, limits, material, title)


def check_keys(table: Table, known: Sequence[str], place: str) -> None:
    """Raise GenloomError for an entry that is not known, with the nearest one."""
    for name in table:
        if name not in known:
            hint = format_suggestion(name, known)
            known_names = ", ".join(known)
            raise GenloomError("design.entry_unknown", place=place, name=name[:60], hint=hint, known=known_names)


def take_table(table: Table, name: str) -> Table:
    entry = table.get(name, {})
    if not isinstance(entry, Mapping):
        raise GenloomError("design.no_table", name=name)
    return entry


def take_entries(table: Table, name: str) -> Sequence[Table]:
    """Return the tables [[name]] of a document."""
    entries = table.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise GenloomError("design.no_tables", name=name)
    if len(entries) > MAX_ENTRIES:
        raise GenloomError("design.too_many_entries", name=name, count=len(entries), limit=MAX_ENTRIES)
    return entries


def take_entry(table: Table, name: str, place: str, example: str) -> Any:
    if name not in table:
        raise GenloomError("design.entry_missing", place=place, name=name, example=example)
    return table[name]


def read_domain(table: Table) -> Domain:
    """Return the box and its grid: squares of which the longest side has `resolution`, or `elements` by axis."""
    check_keys(table, DOMAIN_KEYS, "[domain]")
    sizes = take_entry(table, "size", "[domain]", 'size = ["120 mm", "60 mm"]')
    if not isinstance(sizes, list) or len(sizes) not in (2, 3):
        raise GenloomError("design.bad_size", value=shorten_value(sizes))
    lengths = [parse_quantity(size, "length", "domain.size") for size in sizes]
    if min(lengths) <= 0:
        raise GenloomError("design.not_positive", name="domain.size", value=min(sizes, key=str))
    elements = table.get("elements") or []
    if "elements" in table:
        is_valid = isinstance(elements, list) and len(elements) == len(sizes) and all(map(is_count, elements))
        if not is_valid:
            raise GenloomError("design.bad_elements", value=shorten_value(elements), count=len(sizes))
        element_size = lengths[0] / elements[0]
    else:
        resolution = table.get("resolution", DEFAULT_RESOLUTION)
        if not is_count(resolution):
            raise GenloomError("design.bad_resolution", value=shorten_value(resolution))
        element_size = max(lengths) / resolution
        elements = [max(round(length / element_size), 1) for length in lengths]
    check_grid(elements, lengths, element_size)
    thickness = 0.0
    if len(sizes) == 2:
        thickness = parse_quantity(
            take_entry(table, "thickness", "[domain]", 'thickness = "5 mm"'), "length", "domain.thickness"
        )
        if thickness <= 0:
            raise GenloomError("design.not_positive", name="domain.thickness", value=table["thickness"])
    elif "thickness" in table:
        raise GenloomError("design.thickness_of_solid")
    return Domain(tuple(map(int, elements)), element_size, thickness)


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_ELEMENTS


def check_grid(elements: Sequence[int], lengths: Sequence[float], element_size: float) -> None:
    """Raise GenloomError for a grid with too many or too few elements, or whose elements are no squares."""
    count, limit = 1, MAX_ELEMENTS if len(elements) == 2 else MAX_VOXELS
    for number in elements:
        count *= number
    if count > limit:
        raise GenloomError("design.grid_too_large", grid=" × ".join(map(str, elements)), count=count, limit=limit)
    if min(elements) < 2:
        raise GenloomError("design.grid_too_small", grid=" × ".join(map(str, elements)))
    for number, length in zip(elements, lengths, strict=True):
        if abs(number * element_size - length) > 1e-6 * length:
            fitting = " × ".join(f"{1e3 * each * element_size:.6g}" for each in elements)
            raise GenloomError("design.no_squares", grid=" × ".join(map(str, elements)), fitting=fitting)


def read_material(table: Table) -> Material:
    """Return a preset, with the figures of the document in the place of its own, or a material of figures alone."""
    check_keys(table, MATERIAL_KEYS, "[material]")
    kinds = {"elastic_modulus": "stress", "yield_strength": "stress", "density": "density"}
    numbers = {
        name: parse_quantity(table[name], kind, f"material.{name}") for name, kind in kinds.items() if name in table
    }
    for name, number in numbers.items():
        if number <= 0:
            raise GenloomError("design.not_positive", name=f"material.{name}", value=table[name])
    if "poisson_ratio" in table:
        ratio = table["poisson_ratio"]
        if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not -0.99 <= ratio <= 0.49:
            raise GenloomError("design.bad_poisson_ratio", value=shorten_value(ratio))
        numbers["poisson_ratio"] = float(ratio)
    own = {name: str(table[name])[:MAX_TITLE_CHARS] for name in ("name", "source") if name in table}
    if "preset" in table or not numbers:
        preset = find_material(str(table.get("preset", "steel")))
        changed = {"source": "figures of the document"} if numbers else {}
        changes: dict[str, Any] = {**changed, **own, **numbers}
        return replace(preset, **changes)
    for name, example in (("elastic_modulus", "70 GPa"), ("poisson_ratio", "0.33"), ("yield_strength", "120 MPa"),
                          ("density", "2700 kg/m^3")):  # fmt: skip
        if name not in numbers:
            shown = f'{name} = "{example}"' if name in kinds else f"{name} = {example}"
            raise GenloomError("design.entry_missing", place="[material]", name=name, example=shown)
    return Material(own.get("name", "own material"), source=own.get("source", "figures of the document"), **numbers)


def read_point(value: Any, domain: Domain, name: str, is_inside: bool = True) -> Point:
    """Return a point of the box in metres; GenloomError for another number of coordinates, or one outside."""
    if not isinstance(value, list) or len(value) != domain.axes:
        raise GenloomError(
            "design.bad_point", name=name, value=shorten_value(value), axes=", ".join(AXES[: domain.axes])
        )
    point = tuple(parse_quantity(each, "length", name) for each in value)
    tolerance = 1e-6 * max(domain.size)
    if is_inside and any(not -tolerance <= x <= size + tolerance for x, size in zip(point, domain.size, strict=True)):
        size = " × ".join(f"{1e3 * x:.6g}" for x in domain.size)
        raise GenloomError("design.point_outside", name=name, value=shorten_value(value), size=size)
    return point


def list_corners(axes: int) -> list[str]:
    """Return the names of the corners of a plane part, and of the middles of the sides: "bottom left"."""
    return [" ".join(pair) for pair in product(("bottom", "top"), ("left", "right"))] if axes == 2 else []


def read_place(entry: Table, domain: Domain, name: str) -> Place:
    """Return where a support or a load is."""
    if "at" in entry:
        side = " ".join(str(entry["at"]).lower().split())
        known = [*SIDES[: 2 * domain.axes], *list_corners(domain.axes)]
        if side not in known:
            raise GenloomError(
                "design.side_unknown", name=name, value=shorten_value(entry["at"]), known=", ".join(known)
            )
        return Place(side)
    if "center" in entry or "radius" in entry:
        return Place("", *read_circle(entry, domain, name))
    if "point" in entry:
        point = read_point(entry["point"], domain, f"{name}.point")
        return Place("", point, point)
    if "from" in entry and "to" in entry:
        start, end = (read_point(entry[key], domain, f"{name}.{key}") for key in ("from", "to"))
        return Place("", *order_corners(start, end))
    raise GenloomError("design.place_missing", name=name)


def read_circle(entry: Table, domain: Domain, name: str) -> tuple[Point, Point, float]:
    example = 'center = ["20 mm", "30 mm"], radius = "4 mm"'
    center = read_point(take_entry(entry, "center", name, example), domain, f"{name}.center")
    radius = parse_quantity(take_entry(entry, "radius", name, example), "length", f"{name}.radius")
    if radius <= 0:
        raise GenloomError("design.not_positive", name=f"{name}.radius", value=entry["radius"])
    return center, (), radius


def order_corners(start: Point, end: Point) -> tuple[Point, Point]:
    """Return the lower and the upper corner of a box."""
    pairs = list(zip(start, end, strict=True))
    return tuple(map(min, pairs)), tuple(map(max, pairs))


def read_axes(value: Any, axes: int, name: str) -> str:
    """Return letters of axes in their order."""
    letters = AXES[:axes]
    text = str(value).lower().replace(" ", "").replace(",", "")
    if not text or any(letter not in letters for letter in text):
        raise GenloomError("design.bad_axes", name=name, value=shorten_value(value), letters=letters)
    return "".join(letter for letter in letters if letter in text)


def read_support(entry: Table, domain: Domain, name: str) -> Support:
    check_keys(entry, (*PLACE_KEYS, "hold"), name)
    hold = read_axes(entry.get("hold", AXES[: domain.axes]), domain.axes, f"{name}.hold")
    return Support(read_place(entry, domain, name), hold)


def read_load(entry: Table, domain: Domain, name: str) -> Load:
    check_keys(entry, (*PLACE_KEYS, "force", "case"), name)
    example = 'force = ["0 N", "-500 N"]'
    value = take_entry(entry, "force", name, example)
    if not isinstance(value, list) or len(value) != domain.axes:
        raise GenloomError("design.bad_force", name=name, value=shorten_value(value), example=example)
    force = tuple(parse_quantity(each, "force", f"{name}.force") for each in value)
    if not any(force):
        raise GenloomError("design.no_force", name=name)
    return Load(read_place(entry, domain, name), force, str(entry.get("case", "1"))[:60])


def read_region(entry: Table, domain: Domain, name: str) -> Region:
    check_keys(entry, ("kind", *PLACE_KEYS[2:]), name)
    kind = take_entry(entry, "kind", name, 'kind = "empty"')
    if kind not in ("solid", "empty"):
        raise GenloomError("design.bad_region", name=name, value=shorten_value(kind))
    if "center" in entry or "radius" in entry:
        return Region(kind, *read_circle(entry, domain, name))
    example = 'from = ["0 mm", "0 mm"], to = ["10 mm", "10 mm"]'
    start, end = (read_point(take_entry(entry, key, name, example), domain, f"{name}.{key}") for key in ("from", "to"))
    start, end = order_corners(start, end)
    if any(high - low < 1e-9 for low, high in zip(start, end, strict=True)):
        raise GenloomError("design.flat_region", name=name)
    return Region(kind, start, end)


def read_limits(table: Table, domain: Domain, name_entry: Callable[[str], str] = lambda name: f"goal.{name}") -> Limits:
    """Return the limits of a table; errors name its entries as `name_entry` does."""
    check_keys(table, GOAL_KEYS, "[goal]")
    kinds = {"max_stress": "stress", "max_displacement": "length", "min_thickness": "length", "overhang": "angle"}
    numbers = {
        name: parse_quantity(table[name], kind, name_entry(name)) for name, kind in kinds.items() if name in table
    }
    for name, number in numbers.items():
        if number <= 0:
            raise GenloomError("design.not_positive", name=name_entry(name), value=table[name])
    volume = parse_quantity(table.get("volume", Limits().volume), "share", name_entry("volume"))
    if not 0 < volume <= 1:
        raise GenloomError("design.bad_volume", value=table["volume"])
    if numbers.get("overhang", 45) >= 90:
        raise GenloomError("design.bad_overhang", value=table["overhang"])
    if numbers.get("min_thickness", 0) > min(domain.size):
        raise GenloomError("design.thicker_than_domain", value=table["min_thickness"])
    symmetry = read_axes(table["symmetry"], domain.axes, name_entry("symmetry")) if table.get("symmetry") else ""
    return Limits(volume, symmetry=symmetry, **numbers)
