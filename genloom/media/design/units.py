"""Quantities with units, as people write them: "120 MPa", "2 mm", "0.5 kN"; a number without a unit is refused."""

import re
from functools import lru_cache
from math import isfinite
from typing import Any

from genloom.errors import GenloomError
from genloom.media.design.libraries import import_library

# The kind of a quantity: its SI unit, an example, and the unit and factor that it is written in.
KINDS: dict[str, tuple[str, str]] = {
    "length": ("m", "2 mm"),
    "force": ("N", "500 N"),
    "stress": ("Pa", "120 MPa"),
    "density": ("kg/m^3", "2700 kg/m^3"),
    "angle": ("degree", "45 deg"),
    "share": ("", "35 %"),
}
WRITTEN_UNITS = {"length": ("mm", 1e3), "force": ("N", 1.0), "stress": ("MPa", 1e-6), "density": ("kg/m^3", 1.0),
                 "angle": ("deg", 1.0), "share": ("", 1.0)}  # fmt: skip
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*([A-Za-zµμ°%][\w µμ°%/*^²³-]{0,30})?\s*")
_MAX_CHARS = 100


def parse_quantity(value: Any, kind: str, name: str) -> float:
    """Return a quantity in the SI unit of its kind.

    Parameters: `name` is the entry of the document, for errors. GenloomError for a missing unit, one of another
    kind, and for what is no quantity at all. Shares may be plain numbers.
    """
    example = KINDS[kind][1]
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind != "share":
            raise GenloomError("design.unit_missing", name=name, value=value, example=example)
        number, unit = float(value), ""
    else:
        match = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) <= _MAX_CHARS else None
        if match is None:
            raise GenloomError("design.no_quantity", name=name, value=shorten_value(value), example=example)
        number, unit = float(match[1]), (match[2] or "").strip()
        if not unit and kind != "share":
            raise GenloomError("design.unit_missing", name=name, value=value, example=example)
    factor = find_factor(unit, kind)
    if factor is None:
        raise GenloomError("design.unit_of_other_kind", name=name, value=value, kind=kind, example=example)
    quantity = number * factor
    if not isfinite(quantity):
        raise GenloomError("design.no_quantity", name=name, value=shorten_value(value), example=example)
    return round(quantity, 15) if kind == "share" else quantity


def shorten_value(value: Any) -> str:
    """Return a value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


@lru_cache(maxsize=1)
def load_registry() -> Any:
    """Return the registry of units, which takes a fifth of a second to build."""
    registry = import_library("pint").UnitRegistry(cache_folder=None)
    registry.define("percent = 0.01 = %") if "percent" not in registry else None
    return registry


@lru_cache(maxsize=256)
def find_factor(unit: str, kind: str) -> float | None:
    """Return by what a number with this unit is multiplied for the SI unit of the kind; None for another kind."""
    if kind == "share":
        return {"": 1.0, "%": 0.01, "percent": 0.01}.get(unit)
    registry, pint = load_registry(), import_library("pint")
    text = unit.replace("²", "^2").replace("³", "^3")
    try:
        quantity = registry.Quantity(1.0, registry.parse_units(text))
        return float(quantity.to(KINDS[kind][0]).magnitude)
    except (pint.errors.PintError, ValueError, TypeError, AttributeError, AssertionError, OverflowError):
        return None


def format_quantity(value: float, kind: str, digits: int = 12) -> str:
    """Return a quantity as the document writes it, exact to `digits` digits: 0.12 m is "120 mm"."""
    unit, factor = WRITTEN_UNITS[kind]
    return f"{value * factor:.{digits}g} {unit}".strip()
