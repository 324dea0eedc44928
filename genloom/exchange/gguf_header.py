"""Read the header of an untrusted GGUF file within bounds: every value is checked against the file before use."""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from genloom.errors import GenloomError

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_MAX_TENSORS, _MAX_FIELDS, _MAX_DIMENSIONS = 1 << 16, 1 << 12, 4
_MAX_NAME, _MAX_TEXT, _MAX_ARRAY = 256, 1 << 22, 1 << 22
_MAX_VALUES = 1 << 23  # in all arrays together: as Python values they take ten times their bytes or more
_MAX_HEADER_BYTES = 256 << 20
_MAX_PADDING = 4096  # behind the last tensor
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in the file: its shape in numpy's order (the last dimension varies fastest), and its bytes."""

    shape: tuple[int, ...]
    kind: int  # of gguf.GGMLQuantizationType
    offset: int
    num_bytes: int


@dataclass(frozen=True)
class Header:
    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]


def read_header(path: Path, blocks: dict[int, tuple[int, int]]) -> Header:
    """Return the header of the file. `blocks` gives for each known type the numbers and the bytes per block.

    Raises GenloomError for counts, lengths, shapes and offsets that are out of bounds, do not fit the file or overlap.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = _Reader(path, file, min(size, _MAX_HEADER_BYTES))
        if reader.read_bytes(4) != _MAGIC:
            raise _damaged_error(path, "it is not a GGUF file")
        version = reader.read_scalar("I")
        if version not in _VERSIONS:
            raise _damaged_error(path, f"its GGUF version is {version}, and the supported versions are {_VERSIONS}")
        num_tensors = reader.read_count("Q", _MAX_TENSORS, "tensors")
        num_fields = reader.read_count("Q", _MAX_FIELDS, "fields")
        metadata: dict[str, Any] = {}
        for _ in range(num_fields):
            name = reader.read_text(_MAX_NAME)
            if name in metadata:
                raise _damaged_error(path, f"the field {name!r} occurs twice")
            metadata[name] = reader.read_value(reader.read_scalar("I"), name)
        infos = [(reader.read_text(_MAX_NAME), *reader.read_tensor_info()) for _ in range(num_tensors)]
    align = metadata.get("general.alignment", 32)
    if type(align) is not int or not 1 <= align <= 1 << 20 or align & (align - 1):
        raise _damaged_error(path, f"its alignment {align!r} is not a power of two")
    return Header(metadata, _locate_tensors(path, infos, -(-reader.position // align) * align, size, align, blocks))


def _locate_tensors(
    path: Path, infos: list[tuple[str, tuple[int, ...], int, int]], begin: int, size: int, align: int,
    blocks: dict[int, tuple[int, int]],
) -> dict[str, TensorInfo]:  # fmt: skip
    located: dict[str, TensorInfo] = {}
    for name, shape, kind, offset in infos:
        if name in located:
            raise _damaged_error(path, f"the tensor {name!r} occurs twice")
        if kind not in blocks:
            raise _damaged_error(path, f"the tensor {name!r} has the unknown type {kind}")
        block_size, block_bytes = blocks[kind]
        if shape[-1] % block_size:
            raise _damaged_error(
                path, f"rows of {shape[-1]:,} of the tensor {name!r} are not whole blocks of {block_size}"
            )
        num_bytes = prod(shape) // block_size * block_bytes
        if offset % align or begin + offset + num_bytes > size:
            raise _damaged_error(path, f"the tensor {name!r} of shape {shape} lies outside of the file")
        located[name] = TensorInfo(shape, kind, begin + offset, num_bytes)
    end, previous = 0, ""
    for name, info in sorted(located.items(), key=lambda item: item[1].offset):
        if info.offset < end:
            raise _damaged_error(path, f"the tensors {previous!r} and {name!r} overlap")
        end, previous = info.offset + info.num_bytes, name
    if located and size - end > max(
        align, _MAX_PADDING
    ):  # a tensor is missing from the header, and the others are shifted
        raise _damaged_error(path, f"its tensors end {size - end:,} bytes before the file does")
    return located


def _damaged_error(path: Path, reason: str) -> GenloomError:
    return GenloomError("exchange.damaged_gguf", path=path, reason=reason)


@dataclass
class _Reader:
    path: Path
    file: BinaryIO
    limit: int  # the most bytes that the header may have
    position: int = 0
    num_values: int = 0  # in the arrays read so far

    def read_bytes(self, count: int) -> bytes:
        if count > self.limit - self.position:
            raise _damaged_error(self.path, f"it has {self.limit:,} bytes, and its header is longer")
        data = self.file.read(count)
        assert len(data) == count, "the file has the size it says"
        self.position += count
        return data

    def read_scalar(self, kind: str) -> Any:
        return struct.unpack(f"<{kind}", self.read_bytes(struct.calcsize(f"<{kind}")))[0]

    def read_count(self, kind: str, limit: int, description: str) -> int:
        number = self.read_scalar(kind)
        if number > limit:
            raise _damaged_error(
                self.path, f"its header announces {number:,} {description}; at most {limit:,} are allowed"
            )
        return number

    def read_text(self, limit: int) -> str:
        data = self.read_bytes(self.read_count("Q", limit, "bytes of a string"))
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise _damaged_error(self.path, "a string in its header is not UTF-8") from None

    def read_value(self, kind: int, name: str) -> Any:
        if kind == _TEXT:
            return self.read_text(_MAX_TEXT)
        if kind in _SCALARS:
            return self.read_scalar(_SCALARS[kind])
        if kind != _ARRAY:
            raise _damaged_error(self.path, f"the field {name!r} has the unknown type {kind}")
        inner = self.read_scalar("I")
        count = self.read_count("Q", _MAX_ARRAY, f"values of {name!r}")
        self.num_values += count
        if self.num_values > _MAX_VALUES:
            raise _damaged_error(self.path, f"the lists of its header have more than {_MAX_VALUES:,} values")
        if inner == _TEXT:
            return [self.read_text(_MAX_TEXT) for _ in range(count)]
        if inner not in _SCALARS:
            raise _damaged_error(self.path, f"the field {name!r} holds values of the unknown type {inner}")
        struct_format = f"<{count}{_SCALARS[inner]}"
        return list(struct.unpack(struct_format, self.read_bytes(struct.calcsize(struct_format))))

    def read_tensor_info(self) -> tuple[tuple[int, ...], int, int]:
        """Return the shape, type and offset of a tensor."""
        dimensions = self.read_count("I", _MAX_DIMENSIONS, "dimensions of a tensor")
        shape = tuple(reversed([self.read_count("Q", 1 << 40, "numbers in a row") for _ in range(dimensions)]))
        if not shape or 0 in shape:
            raise _damaged_error(self.path, "it holds an empty tensor")
        return shape, self.read_scalar("I"), self.read_scalar("Q")
