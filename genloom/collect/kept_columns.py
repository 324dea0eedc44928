"""Columns and keys of tables that stay with each document: numbers, text and arrays, for example as conditions.

The type of a column is that of its values in the first row group: a whole data set of moderate size. An array is stored
as a list of numbers, with its shape in a column beside it.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.collect.slug import replace_surrogates
from genloom.errors import GenloomError
from genloom.store.dataset import REQUIRED_COLUMNS, SHAPE_SUFFIX

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

MAX_TEXT_CHARS = 10_000
MAX_ARRAY_VALUES = 1 << 22
RESERVED_NAMES = (*REQUIRED_COLUMNS, "content", "caption", "turns")
NUMERIC_KINDS = ("int", "float")
DECIMAL_KIND = "decimal"  # a number written with a decimal comma
MISSING_MARKS = frozenset(("n/a", "na", "nan", "null", "none", "-", "--", "?", "#n/a", "inf", "-inf"))
DECIMAL_COMMA = re.compile(r"[+-]?\d+(?:,\d+)?(?:[eE][+-]?\d+)?")
SURE_DECIMAL_COMMA = re.compile(r"[+-]?(?:0,\d+|\d+,(?:\d{1,2}|\d{4,}))(?:[eE][+-]?\d+)?")  # not between thousands
CODE_PATTERN = re.compile(r"[+-]?0\d+")  # a code such as 0042, which is not a number


def check_names(names: Sequence[str], medium_columns: Iterable[str]) -> None:
    """Raise GenloomError for a column that the data set has already."""
    reserved = {*RESERVED_NAMES, *medium_columns}
    for name in names:
        if not name.strip() or name in reserved or name.endswith(SHAPE_SUFFIX):
            raise GenloomError("collect.reserved_column", column=name)


def pick_columns(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the values of a row to keep. Raises GenloomError for one that is not a number, text or array."""
    kept_values = ((name, normalize_value(name, record[name])) for name in names if name in record)
    return {name: value for name, value in kept_values if value is not None}


def normalize_value(name: str, value: Any) -> Any:
    """Return a number, a text or an array of float32; None for a missing value."""
    match value:
        case None | bool():
            return value
        case int() | float():
            return value if math.isfinite(value) else None
        case str():
            return replace_surrogates(value).strip()[:MAX_TEXT_CHARS] or None
    try:
        array = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise GenloomError("collect.bad_kept_value", column=name, value=str(value)[:40]) from None
    if not 0 < array.size <= MAX_ARRAY_VALUES or not np.isfinite(array).all():
        raise GenloomError("collect.bad_kept_value", column=name, value=str(value)[:40])
    return array


def count_bytes(kept_values: Mapping[str, Any]) -> int:
    """Return about how many bytes the values take."""
    return sum(getattr(value, "nbytes", None) or len(str(value)) for value in kept_values.values())


class ColumnBuilder:
    """Builder of Parquet columns from the values of documents; every row group has the columns of the first."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._kinds: dict[str, str] = {}
        self._names = names
        self.found_names: set[str] = set()  # of columns with a value

    def build(self, rows: Sequence[Mapping[str, Any]]) -> "dict[str, pa.Array]":
        """Return the columns of these rows. Raises GenloomError for a value of another type than its column."""
        if not self._kinds:
            names = dict.fromkeys([*self._names, *(name for row in rows for name in row)])
            self._kinds = {name: choose_kind(normalize_value(name, row.get(name)) for row in rows) for name in names}
        columns: dict[str, pa.Array] = {}
        for name, kind in self._kinds.items():
            values = [normalize_value(name, row.get(name)) for row in rows]
            if any(value is not None for value in values):
                self.found_names.add(name)
            if kind in (*NUMERIC_KINDS, DECIMAL_KIND):
                values = [None if is_missing_mark(value) else value for value in values]
            columns |= build_value_columns(name, kind, values)
        return columns


def choose_kind(values: Iterable[Any]) -> str:
    """Return the narrowest type of all values: "array", "bool", "int", "float", "decimal" or "text".

    Numbers may be texts, with a decimal comma in a column of "decimal".
    """
    present = [value for value in values if value is not None]
    numbers = [value for value in present if not is_missing_mark(value)]
    for kind in ("array", "bool", *NUMERIC_KINDS):
        tested = numbers if kind in NUMERIC_KINDS else present
        if tested and all(convert_value(kind, value) is not None for value in tested):
            return kind
    return DECIMAL_KIND if have_decimal_commas(numbers) else "text"


def have_decimal_commas(values: Iterable[Any]) -> bool:
    """Return whether all texts among the values are numbers with a decimal comma or without one, and some surely are.

    In 1,234 the comma may also stand between thousands.
    """
    texts = [
        value.strip() for value in values if isinstance(value, str) and value.strip() and not is_missing_mark(value)
    ]
    return any(map(SURE_DECIMAL_COMMA.fullmatch, texts)) and all(map(DECIMAL_COMMA.fullmatch, texts))


def is_missing_mark(value: Any) -> bool:
    """Return whether a text stands for a missing number, as spreadsheets and pandas write it."""
    return isinstance(value, str) and value.strip().lower() in MISSING_MARKS


def convert_value(kind: str, value: Any) -> Any:
    """Return the value as this type; None if it is of another one."""
    if kind == "array":
        return value if isinstance(value, np.ndarray) else None
    if kind == "bool":
        return value if isinstance(value, bool) else None
    if kind == "text":
        return None if isinstance(value, np.ndarray) else value if isinstance(value, str) else str(value)
    if isinstance(value, bool | np.ndarray) or (isinstance(value, str) and CODE_PATTERN.fullmatch(value)):
        return None
    if kind == DECIMAL_KIND and isinstance(value, str):
        value = value.replace(",", ".")
    try:
        number = int(value) if kind == "int" and not isinstance(value, float) else float(value)
    except (ValueError, OverflowError):
        return None
    if kind == "int":
        return number if isinstance(number, int) and abs(number) < 2**63 else None
    return number if math.isfinite(number) else None


def build_value_columns(name: str, kind: str, values: Sequence[Any]) -> "dict[str, pa.Array]":
    """Return the column of these values; for arrays, also that of their shapes."""
    import pyarrow as pa

    converted = [None if value is None else convert_value(kind, value) for value in values]
    for value, result in zip(values, converted, strict=True):
        if value is not None and result is None:
            raise GenloomError("collect.mixed_column", column=name, kind=kind, value=str(value)[:40])
    if kind == "array":
        shapes = [None if array is None else array.shape for array in converted]
        flat = [None if array is None else array.ravel() for array in converted]
        lists = {name: pa.array(flat, pa.list_(pa.float32()))}
        return {**lists, f"{name}{SHAPE_SUFFIX}": pa.array(shapes, pa.list_(pa.int32()))}
    types = {
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        DECIMAL_KIND: pa.float64(),
        "text": pa.string(),
    }
    return {name: pa.array(converted, types[kind])}
