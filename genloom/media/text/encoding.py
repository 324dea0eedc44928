"""Detection of a text file's encoding, and decoding in blocks of bounded size."""

import codecs
import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from genloom.errors import GenloomError

HEAD_BYTES = 1 << 16  # read to detect the encoding
BLOCK_BYTES = 1 << 20  # decoded at a time
MAX_INFLATED_BYTES = 64 << 30  # unpacked size of a .gz; a larger one is a decompression bomb
MAX_INFLATION = 100  # times its size that a .gz may unpack to; text compresses to a third, repetitive logs to a 30th
MIN_INFLATION_BYTES = 64 << 20  # which every .gz may unpack to
BOMS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose BOM is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
# Binary formats whose first bytes may look like text.
MAGIC = (
    b"%PDF-",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"\x7fELF",
    b"RIFF",
    b"OggS",
    b"ID3",
)
# Legacy encodings in order of their use in practice; with more candidates, short Latin-1 is detected as Cyrillic.
LEGACY_ENCODINGS = [
    "cp1252",
    "cp1251",
    "koi8_r",
    "shift_jis",
    "euc_jp",
    "gb18030",
    "big5",
    "euc_kr",
    "cp1250",
    "cp1253",
    "cp1255",
]
CONTROL_BYTES = bytes([*range(9), 11, *range(14, 27), *range(28, 32), 127])
WESTERN_CHARS = {chr(c) for c in range(127)} | set(
    "àâäæçèéêëîïôöùüÿœßñáíóúãåøÀÂÄÆÇÈÉÊËÎÏÔÖÙÜŒÑÁÍÓÚÃÅØ«»“”‘’„–—…€§°¿¡·©®\xa0"
)
# Invalid bytes in a UTF-8 file, marked by surrogateescape; nearly always they are Windows-1252.
REPAIRS = {0xDC00 + b: bytes([b]).decode("cp1252", "ignore") or "\ufffd" for b in range(0x80, 0x100)}


@dataclass
class TextReader:
    """A text file being read, with its detected encoding and the number of invalid bytes repaired so far."""

    encoding: str
    blocks: Iterator[str] = field(repr=False)
    num_repaired: int = 0

    def close(self) -> None:
        """Close the file, if it is not read to its end."""
        if isinstance(self.blocks, Generator):
            self.blocks.close()

    def __iter__(self) -> Iterator[str]:
        for block in self.blocks:
            try:
                block.encode("utf-8")
            except UnicodeEncodeError:
                repaired_block = block.translate(REPAIRS)
                self.num_repaired += sum(1 for a, b in zip(block, repaired_block, strict=True) if a != b)
                block = repaired_block
            yield block


def detect_encoding(head: bytes) -> str | None:
    """Return the encoding of a file that begins with `head`, or None if it is not text."""
    for mark, encoding in BOMS:
        if head.startswith(mark):
            return encoding
    if head.startswith(MAGIC):
        return None
    if b"\0" in head:
        if head.count(0) > len(head) // 1000 + 1:
            return _detect_utf16(head)
        head = head.replace(b"\0", b"")  # a few are damage; the cleaning removes them
    if len(head) - len(head.translate(None, CONTROL_BYTES)) > len(head) // 100:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return "utf-8"
    except UnicodeDecodeError as error:
        # One invalid byte after kilobytes of valid UTF-8 is damage, not another encoding.
        if error.start > 4096 and any(byte > 127 for byte in head[: error.start]):
            return "utf-8"
    return _detect_legacy(head)


def _detect_utf16(head: bytes) -> str | None:
    """Detect UTF-16 without a BOM: Western text has a zero in nearly every second byte."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if half and odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if half and even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def _detect_legacy(head: bytes) -> str | None:
    import charset_normalizer  # slow to import, and most text is UTF-8

    matches = {
        match.encoding: match
        for match in charset_normalizer.from_bytes(head[: HEAD_BYTES // 4], cp_isolation=LEGACY_ENCODINGS)
    }
    best = next(iter(matches), None)
    if best != "cp1250":
        return best
    # Western and Central European code pages share most bytes, and the detector prefers the latter.
    western = matches.get("cp1252")
    is_western = (
        "cp1252" in matches[best].could_be_from_charset or set(head.decode("cp1252", "replace")) <= WESTERN_CHARS
    )
    return "cp1252" if is_western or (western and western.coherence >= matches[best].coherence) else best


def open_binary(path: Path) -> BinaryIO:
    """Open the bytes of a file; decompress a .gz."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def open_text(path: Path) -> TextReader:
    """Open a text file (or a .gz of one) to read in blocks of about a megabyte, with newlines as "\\n".

    Raise ValueError if the file is not text.
    """
    file = open_binary(path)
    try:
        head = file.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        file.close()
        raise GenloomError("media.damaged_gzip", reason=error) from error
    encoding = detect_encoding(head)
    if encoding is None:
        file.close()
        raise GenloomError("media.binary")
    max_bytes = None
    if path.suffix.lower() == ".gz":
        max_bytes = max(MIN_INFLATION_BYTES, min(MAX_INFLATED_BYTES, MAX_INFLATION * path.stat().st_size))
    return TextReader(encoding, _decode_blocks(file, head, encoding, max_bytes))


def _decode_blocks(file: BinaryIO, head: bytes, encoding: str, max_bytes: int | None) -> Iterator[str]:
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(errors), translate=True)
    with file:
        block, num_read = head, 0
        while block:
            num_read += len(block)
            if max_bytes is not None and num_read > max_bytes:
                raise GenloomError("media.gzip_too_large", limit=max_bytes >> 20, factor=MAX_INFLATION)
            if text := decoder.decode(block):
                yield text
            try:
                block = file.read(BLOCK_BYTES)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise GenloomError("media.damaged_gzip", reason=error) from error
    if text := decoder.decode(b"", final=True):
        yield text
