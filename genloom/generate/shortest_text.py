"""The shortest text of a format: a limit of tokens that is too small even for that is refused before the work."""

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_TYPES = {
    "object": "{}",
    "array": "[]",
    "string": '""',
    "integer": "0",
    "number": "0",
    "boolean": "true",
    "null": "null",
}
_MAX_DEPTH, _MAX_CHARS = 30, 100_000


def find_shortest_json(schema: Any) -> str | None:
    """Return a JSON value that no other one of the schema is shorter than; None if that is not known."""
    try:
        return _write_shortest(schema, schema, 0)
    except (_Unknown, RecursionError):
        return None


class _Unknown(Exception):
    """A length that this module cannot tell."""


def _write_shortest(schema: Any, root: Any, depth: int) -> str:
    """Return the shortest value, or a text that is still shorter where a keyword is not understood."""
    if depth > _MAX_DEPTH:
        raise _Unknown
    if not isinstance(schema, Mapping):
        return "0"
    if "const" in schema:
        return _dump_json(schema["const"])
    if isinstance(values := schema.get("enum"), list) and values:
        return min(map(_dump_json, values), key=len)
    if isinstance(reference := schema.get("$ref"), str):
        return _write_shortest(_resolve_reference(reference, root), root, depth + 1)
    for name in ("anyOf", "oneOf"):
        if isinstance(branches := schema.get(name), list) and branches:
            return min(_write_known(branches, root, depth), key=len)
    if "allOf" in schema:
        return "0"
    kinds = schema.get("type") or ("object" if "properties" in schema and "required" in schema else "integer")
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    return min((_write_kind(kind, schema, root, depth) for kind in kinds), key=len, default="0")


def _write_known(branches: Sequence[Any], root: Any, depth: int) -> list[str]:
    """Return the shortest value of each branch that has an end: one may lead to itself."""
    found = []
    for branch in branches:
        try:
            found.append(_write_shortest(branch, root, depth + 1))
        except _Unknown:
            continue
    if not found:
        raise _Unknown
    return found


def _write_kind(kind: str, schema: Mapping[str, Any], root: Any, depth: int) -> str:
    if kind == "object":
        properties = schema.get("properties") or {}
        members = [
            f"{_dump_json(name)}: {_write_shortest(properties.get(name, {}), root, depth + 1)}"
            for name in dict.fromkeys(schema.get("required") or ())
        ]
        return "{" + ", ".join(members) + "}"
    if kind == "array":
        count, prefix = _count_items(schema.get("minItems")), schema.get("prefixItems") or []
        items = [
            _write_shortest(prefix[n] if n < len(prefix) else schema.get("items", {}), root, depth + 1)
            for n in range(count)
        ]
        return "[" + ", ".join(items) + "]"
    if kind == "string" and not {"pattern", "format"} & schema.keys():
        return '"' + "a" * _count_items(schema.get("minLength")) + '"'
    return _TYPES.get(kind, "0")


def _count_items(value: Any) -> int:
    count = int(value) if isinstance(value, int | float) and value > 0 else 0
    if count > _MAX_CHARS:
        raise _Unknown
    return count


def _dump_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _resolve_reference(reference: str, root: Any) -> Any:
    found = root
    for part in reference.removeprefix("#").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if name:
            found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping | bool) or not reference.startswith("#"):
        raise _Unknown
    return found


def find_shortest_match(regex: str) -> str | None:
    """Return a text as short as the shortest match of a regular expression; None if Python reads it in another way."""
    parser: Any = getattr(re, "_parser")  # noqa: B009
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            low, _ = parser.parse(regex).getwidth()
    except (re.error, RecursionError, OverflowError):
        return None
    return "a" * low if low <= _MAX_CHARS else None


def count_fewest_tokens(codec: Any, texts: Sequence[str]) -> int:
    """Return how many tokens the shortest of these texts takes in the codec; 0 without a text."""
    return min((_count_tokens(codec, ids) for ids in codec.encode_many(texts)), default=0)


def _count_tokens(codec: Any, ids: np.ndarray) -> int:
    is_blank = len(ids) > 1 and not codec.decode_bytes(ids[:1]).strip()  # some vocabularies write one before a text
    return len(ids) - is_blank
