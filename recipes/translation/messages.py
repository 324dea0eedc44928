"""Pairs of messages from gettext catalogues (.mo): what programs say in English, and its translation."""

import re
import struct
from collections.abc import Iterator

MAGIC_LITTLE, MAGIC_BIG = b"\xde\x12\x04\x95", b"\x95\x04\x12\xde"
MAX_MESSAGES = 1_000_000
MAX_CHARS = 400  # of a message that is learned
MIN_LETTERS = 4
_PLACE = re.compile(
    r"%(?:\d+\$)?[-+ 0#']*\d*(?:\.\d+)?(?:hh|h|ll|l|j|z|t|L)?[a-zA-Z%]|%\([^)]+\)[a-z]|\{[^{}\s]*\}|\$\w+"
)
_MNEMONIC = re.compile(r"_(?=\w)|&(?=\w)")
_TAG = re.compile(r"</?\w+[^<>]*>")


def parse_catalogue(data: bytes) -> list[tuple[str, str]]:
    """Return the messages of a .mo file and their translations; ValueError if it is damaged.

    Contexts are left off, and of plural forms the singular is taken. The header gives the encoding.
    """
    order = {MAGIC_LITTLE: "<", MAGIC_BIG: ">"}.get(data[:4])
    if order is None or len(data) < 20:
        raise ValueError("this is no gettext catalogue")
    count, originals, translations = struct.unpack(f"{order}III", data[8:20])
    if count > MAX_MESSAGES or max(originals, translations) + 8 * count > len(data):
        raise ValueError("the catalogue is damaged")
    rows: list[tuple[bytes, bytes]] = []
    for number in range(count):
        pair = []
        for table in (originals, translations):
            length, offset = struct.unpack(f"{order}II", data[table + 8 * number : table + 8 * number + 8])
            if offset + length > len(data):
                raise ValueError("the catalogue is damaged")
            pair.append(data[offset : offset + length])
        rows.append((pair[0], pair[1]))
    charset = "utf-8"
    if rows and not rows[0][0]:
        found = re.search(rb"charset=([\w-]+)", rows[0][1])
        charset = found[1].decode("ascii") if found else charset
    texts = []
    for original, translation in rows:
        source = original.rpartition(b"\x04")[2].split(b"\0")[0]
        target = translation.split(b"\0")[0]
        if source:
            texts.append((source.decode("utf-8", "replace"), _decode(target, charset)))
    return texts


def _decode(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset)
    except (LookupError, UnicodeDecodeError):
        return data.decode("utf-8", "replace")


def iter_clean_pairs(pairs: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the pairs a model can learn translation from: sentences and phrases, with the same placeholders."""
    for source, target in pairs:
        source, target = clean_message(source), clean_message(target)
        if not is_pair(source, target):
            continue
        yield source, target


def clean_message(text: str) -> str:
    """Return a message in one line, without tags and the marks of keyboard shortcuts."""
    return " ".join(_MNEMONIC.sub("", _TAG.sub("", text)).split())


def is_pair(source: str, target: str) -> bool:
    """Return whether two texts can be a sentence and its translation."""
    if source.casefold() == target.casefold() or "\ufffd" in source + target:
        return False
    if not 1 <= len(source) <= MAX_CHARS or not 1 <= len(target) <= MAX_CHARS:
        return False
    if min(sum(map(str.isalpha, text)) for text in (source, target)) < MIN_LETTERS:
        return False
    if not 1 / 3 <= (len(target) + 10) / (len(source) + 10) <= 3:
        return False
    return sorted(_PLACE.findall(source)) == sorted(_PLACE.findall(target))
