"""The header of a GGUF file, read within bounds: nothing it says is believed before it is checked against the file."""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_MOST_TENSORS, _MOST_FIELDS, _MOST_DIMENSIONS = 1 << 16, 1 << 12, 4
_LONGEST_NAME, _LONGEST_TEXT, _LONGEST_ARRAY = 256, 1 << 22, 1 << 22
_LARGEST_HEADER = 256 << 20
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in the file: its shape as numpy has it (the last varies fastest), and where its bytes lie."""

    shape: tuple[int, ...]
    kind: int  # of gguf.GGMLQuantizationType
    offset: int
    num_bytes: int


@dataclass(frozen=True)
class Header:
    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]


def read_header(path: Path, blocks: dict[int, tuple[int, int]]) -> Header:
    """The header of the file. `blocks` gives for each known kind how many numbers a block has, and how many bytes.

    Raises ValueError for counts, lengths, shapes and places that are out of bounds, do not fit the file or overlap.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = _Reader(path, file, min(size, _LARGEST_HEADER))
        if reader.read_bytes(4) != _MAGIC:
            raise ValueError(f"{path}: it is no GGUF file")
        version = reader.read_scalar("I")
        if version not in _VERSIONS:
            raise ValueError(f"{path}: it is a GGUF file of version {version}, and {_VERSIONS} are read")
        num_tensors = reader.read_count("Q", _MOST_TENSORS, "tensors")
        num_fields = reader.read_count("Q", _MOST_FIELDS, "fields")
        metadata: dict[str, Any] = {}
        for _ in range(num_fields):
            name = reader.read_text(_LONGEST_NAME)
            if name in metadata:
                raise ValueError(f"{path}: the field {name!r} stands in it twice")
            metadata[name] = reader.read_value(reader.read_scalar("I"), name)
        infos = [(reader.read_text(_LONGEST_NAME), *reader.read_tensor_info()) for _ in range(num_tensors)]
    align = metadata.get("general.alignment", 32)
    if type(align) is not int or not 1 <= align <= 1 << 20 or align & (align - 1):
        raise ValueError(f"{path}: its alignment {align!r} is no power of two")
    return Header(metadata, _locate_tensors(path, infos, -(-reader.position // align) * align, size, align, blocks))


def _locate_tensors(
    path: Path, infos: list[tuple[str, tuple[int, ...], int, int]], begin: int, size: int, align: int,
    blocks: dict[int, tuple[int, int]],
) -> dict[str, TensorInfo]:  # fmt: skip
    located: dict[str, TensorInfo] = {}
    for name, shape, kind, offset in infos:
        if name in located:
            raise ValueError(f"{path}: the tensor {name!r} stands in it twice")
        if kind not in blocks:
            raise ValueError(f"{path}: the tensor {name!r} is of the kind {kind}, which is not known")
        block_size, block_bytes = blocks[kind]
        if shape[-1] % block_size:
            raise ValueError(
                f"{path}: rows of {shape[-1]:,} of the tensor {name!r} are not whole blocks of {block_size}"
            )
        num_bytes = prod(shape) // block_size * block_bytes
        if offset % align or begin + offset + num_bytes > size:
            raise ValueError(f"{path}: the tensor {name!r} of shape {shape} lies outside of the file")
        located[name] = TensorInfo(shape, kind, begin + offset, num_bytes)
    end, previous = 0, ""
    for name, info in sorted(located.items(), key=lambda item: item[1].offset):
        if info.offset < end:
            raise ValueError(f"{path}: the tensors {previous!r} and {name!r} overlap")
        end, previous = info.offset + info.num_bytes, name
    return located


@dataclass
class _Reader:
    path: Path
    file: BinaryIO
    limit: int  # bytes that the header may have
    position: int = 0

    def read_bytes(self, count: int) -> bytes:
        if count > self.limit - self.position:
            raise ValueError(f"{self.path}: its header wants {count:,} bytes more than there are")
        data = self.file.read(count)
        assert len(data) == count, "the file has the size it says"
        self.position += count
        return data

    def read_scalar(self, kind: str) -> Any:
        return struct.unpack(f"<{kind}", self.read_bytes(struct.calcsize(f"<{kind}")))[0]

    def read_count(self, kind: str, limit: int, description: str) -> int:
        number = self.read_scalar(kind)
        if number > limit:
            raise ValueError(
                f"{self.path}: its header speaks of {number:,} {description}, more than the {limit:,} allowed"
            )
        return number

    def read_text(self, limit: int) -> str:
        data = self.read_bytes(self.read_count("Q", limit, "letters of a text"))
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise ValueError(f"{self.path}: a text in its header is not UTF-8") from None

    def read_value(self, kind: int, name: str) -> Any:
        if kind == _TEXT:
            return self.read_text(_LONGEST_TEXT)
        if kind in _SCALARS:
            return self.read_scalar(_SCALARS[kind])
        if kind != _ARRAY:
            raise ValueError(f"{self.path}: the field {name!r} is of the kind {kind}, which is not known")
        inner = self.read_scalar("I")
        count = self.read_count("Q", _LONGEST_ARRAY, f"values of {name!r}")
        if inner == _TEXT:
            return [self.read_text(_LONGEST_TEXT) for _ in range(count)]
        if inner not in _SCALARS:
            raise ValueError(f"{self.path}: the field {name!r} holds values of the kind {inner}, which is not known")
        struct_format = f"<{count}{_SCALARS[inner]}"
        return list(struct.unpack(struct_format, self.read_bytes(struct.calcsize(struct_format))))

    def read_tensor_info(self) -> tuple[tuple[int, ...], int, int]:
        """Shape, kind and offset of a tensor."""
        dimensions = self.read_count("I", _MOST_DIMENSIONS, "dimensions of a tensor")
        shape = tuple(reversed([self.read_count("Q", 1 << 40, "numbers in a row") for _ in range(dimensions)]))
        if not shape or 0 in shape:
            raise ValueError(f"{self.path}: it holds a tensor without numbers")
        return shape, self.read_scalar("I"), self.read_scalar("Q")
