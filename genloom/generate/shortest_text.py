"""The shortest text of a format: a limit of tokens that is too small even for that is refused before the work."""

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
_MAX_ROUNDS, _MAX_CHARS = 60, 100_000


class EndlessError(Exception):
    """No value of a schema ends: each needs another one inside itself."""


class _Unknown(Exception):
    """A length that this module cannot tell."""


@dataclass
class _References:
    """The shortest known value of each part of a schema that a `$ref` names; None if none is known yet."""

    root: Any
    shortest: dict[str, str | None] = field(default_factory=dict)

    def get(self, reference: str) -> str:
        found = self.shortest.setdefault(reference, None)
        if found is None:
            raise EndlessError
        return found

    def improve(self) -> None:
        """Write each value from the others; values of parts that refer to each other need several rounds."""
        for reference in list(self.shortest):
            try:
                self.shortest[reference] = _write_shortest(_resolve_reference(reference, self.root), self)
            except EndlessError:
                pass
            except _Unknown:
                self.shortest[reference] = "0"


def find_shortest_json(schema: Any) -> str | None:
    """Return a JSON value that no other one of the schema is shorter than; None if that is not known.

    Raise EndlessError if no value of the schema ends.
    """
    references = _References(schema)
    for _ in range(_MAX_ROUNDS):
        before = dict(references.shortest)
        try:
            found = _write_shortest(schema, references)
        except EndlessError:
            found = None
        except (_Unknown, RecursionError):
            return None
        try:
            references.improve()
        except RecursionError:
            return None
        if references.shortest == before:
            if found is None:
                raise EndlessError
            return found
    return None


def _write_shortest(schema: Any, references: _References) -> str:
    """Return the shortest value, or a text that is still shorter where a keyword is not understood."""
    if not isinstance(schema, Mapping):
        return "0"
    if "const" in schema:
        return _dump_json(schema["const"])
    if isinstance(values := schema.get("enum"), list) and values:
        return min(map(_dump_json, values), key=len)
    if isinstance(reference := schema.get("$ref"), str):
        return references.get(reference)
    for name in ("anyOf", "oneOf"):
        if isinstance(branches := schema.get(name), list) and branches:
            return _choose_shortest([partial(_write_shortest, branch, references) for branch in branches])
    if "allOf" in schema:
        for part in schema["allOf"] if isinstance(schema["allOf"], list) else ():
            _write_shortest(part, references)
        return "0"
    kinds = schema.get("type") or ("object" if "properties" in schema and "required" in schema else "integer")
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    return _choose_shortest([partial(_write_kind, kind, schema, references) for kind in kinds]) if kinds else "0"


def _choose_shortest(ways: Sequence[Callable[[], str]]) -> str:
    """Return the shortest value among several ways to write one, of which some may have no end."""
    found, problems = list[str](), list[Exception]()
    for write in ways:
        try:
            found.append(write())
        except (EndlessError, _Unknown) as error:
            problems.append(error)
    if not found:
        raise next((each for each in problems if isinstance(each, _Unknown)), problems[0])
    return min(found, key=len)


def _write_kind(kind: str, schema: Mapping[str, Any], references: _References) -> str:
    if kind == "object":
        properties = schema.get("properties") or {}
        members = [
            f"{_dump_json(name)}: {_write_shortest(properties.get(name, {}), references)}"
            for name in dict.fromkeys(schema.get("required") or ())
        ]
        return "{" + ", ".join(members) + "}"
    if kind == "array":
        count, prefix = _count_items(schema.get("minItems")), schema.get("prefixItems") or []
        items = [
            _write_shortest(prefix[n] if n < len(prefix) else schema.get("items", {}), references) for n in range(count)
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
