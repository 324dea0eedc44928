"""Detection of a text file's encoding, and decoding in blocks of bounded size."""

import codecs
import gzip
import io
import re
import unicodedata
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
ENCODING_DECLARATION = re.compile(
    rb"""(?:<\?xml[^>]*?\sencoding|<meta[^>]*?\bcharset)\s*=\s*["']?([\w.:-]{2,40})""", re.IGNORECASE
)
# What browsers read where a page declares the encoding on the left: its superset, which files with the name hold.
SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-15": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
DECLARATION_BYTES = 1024  # in which a page declares its encoding
ISO_2022_ESCAPE = re.compile(rb"\x1b(?:\$[@AB)]|\([IJ])")  # of an encoding whose bytes are all ASCII
ISO_2022_KR_HEADER = b"\x1b$)C"
LEGACY_ENCODINGS = (
    *(f"cp125{number}" for number in range(9)),
    *(f"iso8859-{number}" for number in (1, 2, 4, 5, 6, 7, 8, 9, 13, 15)),
    *("koi8-r", "koi8-u", "cp866", "cp437", "cp850", "cp852", "cp874", "mac-roman", "mac-cyrillic"),
    *("cp932", "euc_jis_2004", "iso2022_jp_2", "iso2022_jp_ext", "gb18030", "big5hkscs", "cp949", "iso2022_kr"),
)
WESTERN_CHARS = {chr(c) for c in range(127)} | set(
    "àâäæçèéêëîïôöùüÿœßñáíóúãåøÀÂÄÆÇÈÉÊËÎÏÔÖÙÜŒÑÁÍÓÚÃÅØ«»“”‘’–—…€§°¿¡·©®\xa0"
)
RARE_WESTERN_CHARS = set("ûìòõðþýÛÌÒÕÐÞÝšžŠŽ²³´±ºª")
PORTUGUESE = re.compile("ã[eo]|õe|nh|lh|ção|ç", re.IGNORECASE)  # else an ã is the ă of Romanian, at the same place
MIXED_WORD = re.compile("[A-Za-z][\u0370-\u06ff]|[\u0370-\u06ff][A-Za-z]")  # of Latin letters and others
MIN_CONFIDENCE = 0.1  # which the detection has in a sentence of any language
MAX_UNSURE_BYTES = 200  # beyond ASCII, of which text makes the detection surer
WORD_BREAKS = "\n 、。，"
MAX_WORD_CHARS = 100  # between two breaks, on average
CONTROL_BYTES = bytes([*range(9), 11, *range(14, 27), *range(28, 32), 127])
# Invalid bytes in a UTF-8 file, marked by surrogateescape; nearly always they are Windows-1252.
_CP1252 = {b: bytes([b]).decode("cp1252", "ignore") for b in range(0x80, 0x100)}
CONTROLS_OF_LATIN_1 = {b: char for b, char in _CP1252.items() if b < 0xA0 and char}  # which stand for cp1252 there
REPAIRS = {0xDC00 + b: char or "\ufffd" for b, char in _CP1252.items()}


@dataclass
class TextReader:
    """A text file being read, with its detected encoding and the number of invalid bytes repaired so far."""

    encoding: str
    blocks: Iterator[str] = field(repr=False)
    num_repaired: int = 0
    is_guessed: bool = False  # the encoding, from the frequencies of bytes

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
    return _detect_encoding(head)[0]


def _detect_encoding(head: bytes) -> tuple[str | None, bool]:
    """Return the encoding, or None if it is not text, and whether it is a guess, as for any without a mark."""
    for mark, encoding in BOMS:
        if head.startswith(mark):
            return encoding, False
    if head.startswith(MAGIC):
        return None, False
    if b"\0" in head:
        if head.count(0) > len(head) // 1000 + 1:
            return _detect_wide(head), True
        head = head.replace(b"\0", b"")  # a few are damage; the cleaning removes them
    shifts = b"\x0e\x0f" if head.startswith(ISO_2022_KR_HEADER) else b""  # in and out of Korean
    if len(head) - len(head.translate(None, CONTROL_BYTES)) > len(head) // 100 + sum(
        head.count(shift) for shift in shifts
    ):
        return _detect_wide(head), True
    if ISO_2022_ESCAPE.search(head) and (encoding := _detect_legacy(head)):
        return encoding, True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
        return "utf-8", False
    except UnicodeDecodeError as error:
        # One invalid byte after kilobytes of valid UTF-8 is damage, not another encoding.
        if error.start > 4096 and any(byte > 127 for byte in head[: error.start]):
            return "utf-8", False
    return _detect_legacy(head), True


def _detect_wide(head: bytes) -> str | None:
    """Detect UTF-16 and UTF-32 without a byte order mark; None for bytes that make no text in either."""
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head)
        except UnicodeDecodeError:
            continue
        # The wrong order of bytes makes other letters, but neither ends of lines nor spaces.
        num_breaks = sum(map(text.count, WORD_BREAKS))
        categories = set(map(unicodedata.category, set(text) - set("\t\n\r\f")))
        if num_breaks * MAX_WORD_CHARS >= len(text) and categories.isdisjoint(("Cc", "Cn", "Co", "Cs")):
            return encoding
    return None


def find_declared_encoding(head: bytes) -> str | None:
    """Return the encoding that a page of XML or HTML declares, if its beginning can be read with it."""
    declared = ENCODING_DECLARATION.search(head[:DECLARATION_BYTES].replace(b"\0", b""))
    if declared is None or b"\0" in head[:64] or head.startswith(tuple(mark for mark, _ in BOMS)):
        return None
    try:
        name = codecs.lookup(declared[1].decode("ascii")).name
        name = SUPERSETS.get(name, name)
        codecs.getincrementaldecoder(name)().decode(head)
    except (LookupError, UnicodeError):  # a wrong declaration
        return None
    return None if name.startswith(("utf-16", "utf-32")) else name


def _detect_legacy(head: bytes) -> str | None:
    import chardet  # slow to import, and most text is UTF-8

    chars = set(head.decode("cp1252", "replace"))
    # In a few words, every Western letter is also one of another alphabet.
    is_romanian = "ã" in chars and not PORTUGUESE.search(head.decode("cp1252", "replace"))
    if not ISO_2022_ESCAPE.search(head) and chars <= WESTERN_CHARS and not is_romanian:
        return "cp1252"
    sample = head[: HEAD_BYTES // 4]
    found = chardet.detect(sample, include_encodings=LEGACY_ENCODINGS, no_match_encoding="utf-8")
    if found["encoding"] is None or found["encoding"].lower() == "utf-8":
        return None
    name = codecs.lookup(found["encoding"]).name
    name, is_unsure = SUPERSETS.get(name, name), found["confidence"] < MIN_CONFIDENCE
    if is_unsure and len(sample.translate(None, bytes(range(128)))) > MAX_UNSURE_BYTES:
        return None
    is_western = chars <= WESTERN_CHARS | RARE_WESTERN_CHARS
    return "cp1252" if is_western and (is_unsure or MIXED_WORD.search(sample.decode(name, "replace"))) else name


def open_binary(path: Path) -> BinaryIO:
    """Open the bytes of a file; decompress a .gz."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def open_text(path: Path, is_page: bool = False) -> TextReader:
    """Open a text file (or a .gz of one) to read in blocks of about a megabyte, with newlines as "\\n".

    A page of HTML or XML (`is_page`) is read in the encoding that it declares, if it can be. Raise ValueError if the
    file is not text.
    """
    file = open_binary(path)
    try:
        head = file.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        file.close()
        raise GenloomError("media.damaged_gzip", reason=error) from error
    declared = find_declared_encoding(head) if is_page else None
    encoding, is_guessed = (declared, False) if declared else _detect_encoding(head)
    if encoding is None:
        file.close()
        raise GenloomError("media.binary")
    max_bytes = None
    if path.suffix.lower() == ".gz":
        max_bytes = max(MIN_INFLATION_BYTES, min(MAX_INFLATED_BYTES, MAX_INFLATION * path.stat().st_size))
    return TextReader(encoding, _decode_blocks(file, head, encoding, max_bytes), is_guessed=is_guessed)


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
