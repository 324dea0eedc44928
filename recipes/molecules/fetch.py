"""Fetches the pinned package molsets (MOSES) from PyPI and reads its molecules; nothing of it is run."""

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from recipes import wheels

VERSION = "0.3.1"
SHA256 = "7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34"
SPLITS = ("train", "test", "test_scaffolds")
MAX_BYTES = 256 << 20  # of a split, unpacked


def fetch_wheel(folder: Path) -> Path:
    """Return the wheel of molsets in `folder`, downloaded by pip if missing; ValueError if its digest is another."""
    return wheels.fetch_wheel(folder, "molsets", VERSION, SHA256)


def iter_smiles(wheel: Path, split: str) -> Iterator[str]:
    """Yield the canonical SMILES of a split."""
    name = f"moses/dataset/data/{split}.csv.gz"
    with zipfile.ZipFile(wheel) as archive, archive.open(name) as packed, gzip.open(packed) as unpacked:
        for row in csv.DictReader(io.TextIOWrapper(io.BufferedReader(LimitedReader(unpacked, MAX_BYTES)), "ascii")):
            yield row["SMILES"]


def read_filters(wheel: Path) -> list[str]:
    """Return the SMARTS of the structural alerts of MOSES: medicinal chemistry filters and PAINS."""
    with zipfile.ZipFile(wheel) as archive:
        alerts = csv.DictReader(io.StringIO(archive.read("moses/metrics/mcf.csv").decode("utf-8")))
        pains = csv.reader(io.StringIO(archive.read("moses/metrics/wehi_pains.csv").decode("utf-8")))
        return [*(row["smarts"] for row in alerts), *(row[0] for row in pains if row)]


class LimitedReader(io.RawIOBase):
    """A stream that ends with an error after so many bytes."""

    def __init__(self, stream: gzip.GzipFile, limit: int):
        self.stream, self.num_left = stream, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # ty: ignore[incompatible-method-override]  a writable buffer
        data = self.stream.read(len(buffer))
        self.num_left -= len(data)
        if self.num_left < 0:
            raise ValueError("The table in the package is larger than it should be.")
        buffer[: len(data)] = data
        return len(data)
