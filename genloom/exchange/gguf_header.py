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
class Placed:
    """A tensor in the file: its shape as numpy has it (the last varies fastest), and where its bytes lie."""

    shape: tuple[int, ...]
    kind: int  # of gguf.GGMLQuantizationType
    begin: int
    size: int


@dataclass(frozen=True)
class Header:
    metadata: dict[str, Any]
    tensors: dict[str, Placed]


def header(path: Path, blocks: dict[int, tuple[int, int]]) -> Header:
    """The header of the file. `blocks` gives for each known kind how many numbers a block has, and how many bytes.

    Raises ValueError for counts, lengths, shapes and places that are out of bounds, do not fit the file or overlap.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = _Reader(path, file, min(size, _LARGEST_HEADER))
        if reader.take(4) != _MAGIC:
            raise ValueError(f"{path}: it is no GGUF file")
        version = reader.number("I")
        if version not in _VERSIONS:
            raise ValueError(f"{path}: it is a GGUF file of version {version}, and {_VERSIONS} are read")
        tensors = reader.count("Q", _MOST_TENSORS, "tensors")
        fields = reader.count("Q", _MOST_FIELDS, "fields")
        metadata: dict[str, Any] = {}
        for _ in range(fields):
            name = reader.text(_LONGEST_NAME)
            if name in metadata:
                raise ValueError(f"{path}: the field {name!r} stands in it twice")
            metadata[name] = reader.value(reader.number("I"), name)
        infos = [(reader.text(_LONGEST_NAME), *reader.info()) for _ in range(tensors)]
    align = metadata.get("general.alignment", 32)
    if type(align) is not int or not 1 <= align <= 1 << 20 or align & (align - 1):
        raise ValueError(f"{path}: its alignment {align!r} is no power of two")
    return Header(metadata, _placed(path, infos, -(-reader.read // align) * align, size, align, blocks))


def _placed(
    path: Path, infos: list[tuple[str, tuple[int, ...], int, int]], begin: int, size: int, align: int,
    blocks: dict[int, tuple[int, int]],
) -> dict[str, Placed]:  # fmt: skip
    placed: dict[str, Placed] = {}
    for name, shape, kind, offset in infos:
        if name in placed:
            raise ValueError(f"{path}: the tensor {name!r} stands in it twice")
        if kind not in blocks:
            raise ValueError(f"{path}: the tensor {name!r} is of the kind {kind}, which is not known")
        numbers, stored = blocks[kind]
        if shape[-1] % numbers:
            raise ValueError(f"{path}: rows of {shape[-1]:,} of the tensor {name!r} are not whole blocks of {numbers}")
        length = prod(shape) // numbers * stored
        if offset % align or begin + offset + length > size:
            raise ValueError(f"{path}: the tensor {name!r} of shape {shape} lies outside of the file")
        placed[name] = Placed(shape, kind, begin + offset, length)
    end, before = 0, ""
    for name, place in sorted(placed.items(), key=lambda item: item[1].begin):
        if place.begin < end:
            raise ValueError(f"{path}: the tensors {before!r} and {name!r} overlap")
        end, before = place.begin + place.size, name
    return placed


@dataclass
class _Reader:
    path: Path
    file: BinaryIO
    room: int  # bytes that the header may have
    read: int = 0

    def take(self, count: int) -> bytes:
        if count > self.room - self.read:
            raise ValueError(f"{self.path}: its header wants {count:,} bytes more than there are")
        data = self.file.read(count)
        assert len(data) == count, "the file has the size it says"
        self.read += count
        return data

    def number(self, kind: str) -> Any:
        return struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))[0]

    def count(self, kind: str, most: int, what: str) -> int:
        number = self.number(kind)
        if number > most:
            raise ValueError(f"{self.path}: its header speaks of {number:,} {what}, more than the {most:,} allowed")
        return number

    def text(self, most: int) -> str:
        data = self.take(self.count("Q", most, "letters of a text"))
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise ValueError(f"{self.path}: a text in its header is not UTF-8") from None

    def value(self, kind: int, name: str) -> Any:
        if kind == _TEXT:
            return self.text(_LONGEST_TEXT)
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind != _ARRAY:
            raise ValueError(f"{self.path}: the field {name!r} is of the kind {kind}, which is not known")
        inner = self.number("I")
        count = self.count("Q", _LONGEST_ARRAY, f"values of {name!r}")
        if inner == _TEXT:
            return [self.text(_LONGEST_TEXT) for _ in range(count)]
        if inner not in _SCALARS:
            raise ValueError(f"{self.path}: the field {name!r} holds values of the kind {inner}, which is not known")
        form = f"<{count}{_SCALARS[inner]}"
        return list(struct.unpack(form, self.take(struct.calcsize(form))))

    def info(self) -> tuple[tuple[int, ...], int, int]:
        """Shape, kind and offset of a tensor."""
        dimensions = self.count("I", _MOST_DIMENSIONS, "dimensions of a tensor")
        shape = tuple(reversed([self.count("Q", 1 << 40, "numbers in a row") for _ in range(dimensions)]))
        if not shape or 0 in shape:
            raise ValueError(f"{self.path}: it holds a tensor without numbers")
        return shape, self.number("I"), self.number("Q")
