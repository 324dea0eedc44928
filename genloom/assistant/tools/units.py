"""Conversion of units, by pint and its definitions."""

from functools import cache
from typing import Any

from genloom.errors import GenloomError

_MAX_UNIT_CHARS = 60
_NAMES = {
    "celsius": "degC",
    "fahrenheit": "degF",
    "kelvin": "kelvin",
    "°c": "degC",
    "°f": "degF",
    "c": "degC",
    "f": "degF",
}


def convert_units(value: float, from_unit: str, to_unit: str) -> str:
    """Convert a value from one unit to another, e.g. 5 miles to km, 70 degF to degC, 3 cup to ml, 90 km/h to m/s.

    Args:
        value: the number to convert
        from_unit: its unit, e.g. mile, kg, degF, km/h
        to_unit: the unit to convert to, e.g. km, pound, degC, m/s
    """
    registry, pint = load_registry()
    begin, end = (_parse_unit(registry, pint, unit) for unit in (from_unit, to_unit))
    try:
        found = registry.Quantity(value, begin).to(end)
    except (pint.errors.PintError, ValueError, OverflowError, ZeroDivisionError, ArithmeticError) as error:
        raise GenloomError("tools.bad_unit", unit=f"{from_unit} to {to_unit}"[:80], reason=str(error)[:120]) from None
    return f"{value:g} {from_unit} = {found.magnitude:.6g} {to_unit}"


def _parse_unit(registry: Any, pint: Any, unit: str) -> Any:
    """Return a unit; only names, digits and the signs * / ^ and blanks are read."""
    clean = unit.strip().replace("^", "**")
    allowed = all(c.isalpha() or c in "0123456789 */_-.()°µ²³" for c in clean)
    if not clean or len(clean) > _MAX_UNIT_CHARS or not allowed or clean.count("**") > 3:
        raise GenloomError("tools.bad_unit", unit=unit[:80], reason="it is not a unit")
    try:
        return registry.parse_units(_NAMES.get(clean.lower(), clean))
    except Exception as error:  # the parser of a library, which raises errors of Python's own tokenizer too
        raise GenloomError("tools.bad_unit", unit=unit[:80], reason=str(error)[:120]) from None


@cache
def load_registry() -> tuple[Any, Any]:
    """Return pint's units and the library; raise GenloomError that says how to install it."""
    try:
        import pint
    except ImportError:
        raise GenloomError("tools.package_missing", package="pint", purpose="Conversion of units") from None
    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True, cache_folder=None), pint
