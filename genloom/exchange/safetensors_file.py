"""Read untrusted safetensors files: the header is checked before anything is allocated, tensors load one by one."""

import json
from collections.abc import Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from genloom.errors import GenloomError
from genloom.exchange.weight_mapping import TensorLoader

_MAX_HEADER_BYTES = 64 << 20
# Every type of the format whose elements are whole bytes; checkpoints of this program use those of integers too.
_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1),
}
_MAX_SHOWN_CHARS = 100  # of a hostile value in an error


def list_tensors(path: Path) -> dict[str, TensorLoader]:
    """Return the tensors of a file by name; raises GenloomError if its header has wrong sizes, shapes or offsets."""
    return {name: partial(_load_tensor, path, name) for name in read_header(path)}


def read_header(path: Path) -> Mapping[str, Any]:
    """Return the table of a file's tensors: known types, shapes that fit, contiguous to the end of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(min(size, 8)), "little")
        if size < 8 or not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
            raise _damaged_error(
                path, f"it is not a safetensors file, or its header length of {length:,} bytes is wrong"
            )
        text = file.read(length)
    try:
        table = json.loads(text, object_pairs_hook=_reject_duplicates)
    except (ValueError, RecursionError) as error:
        raise _damaged_error(path, f"its header cannot be read: {_shorten_text(error)}") from None
    if not isinstance(table, dict):
        raise _damaged_error(path, "its header is not a JSON object")
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged_error(path, "its metadata is not a table of texts")
    spans = sorted(_check_span(path, name, info) for name, info in table.items())
    end = 0
    for begin, stop, name in spans:
        if begin != end:
            raise _damaged_error(
                path, f"the tensor {_shorten_text(repr(name))} overlaps another or leaves a gap before it"
            )
        end = stop
    if end != size - 8 - length:
        raise _damaged_error(path, f"its header announces {end:,} bytes of tensors, but it has {size - 8 - length:,}")
    return table


def _check_span(path: Path, name: str, info: Any) -> tuple[int, int, str]:
    kind = info.get("dtype") if isinstance(info, dict) else info
    if not isinstance(info, dict) or not isinstance(kind, str) or kind not in _BYTES:
        raise _damaged_error(
            path, f"the tensor {_shorten_text(repr(name))} has the unknown type {_shorten_text(repr(kind))}"
        )
    shape, offsets = info.get("shape"), info.get("data_offsets")
    if not _is_int_list(shape) or len(shape) > 8 or not _is_int_list(offsets) or len(offsets) != 2:
        raise _damaged_error(path, f"the shape or the offsets of the tensor {_shorten_text(repr(name))} are invalid")
    if offsets[1] - offsets[0] != prod(shape) * _BYTES[info["dtype"]]:
        raise _damaged_error(path, f"the tensor {_shorten_text(repr(name))} of shape {shape} does not fit its offsets")
    return offsets[0], offsets[1], name


def _shorten_text(text: object) -> str:
    """Return at most the beginning of a text from the file, which may be megabytes long."""
    text = str(text)
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…"


def _damaged_error(path: Path, reason: str) -> GenloomError:
    return GenloomError("exchange.damaged_safetensors", path=path, reason=reason)


def _is_int_list(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 62 for v in values)


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _load_tensor(path: Path, name: str) -> Tensor:
    with safe_open(path, "pt") as file:
        return file.get_tensor(name)
