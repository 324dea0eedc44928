"""Normalise text without changing its meaning: repair characters, remove invisible ones, tidy whitespace."""

import re
import unicodedata

ASCII_BYTES = bytes(range(128))
CONTROL_BYTES = bytes([*range(9), 11, *range(14, 32), 127])
# UTF-8 that was decoded as Windows-1252: the letter of a lead byte, then those of continuation bytes.
CONTINUATION_CHARS = "".join(map(chr, range(0x80, 0xC0))) + "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
LEAD_CHARS = "".join(map(chr, range(0xC2, 0xF1)))
MOJIBAKE_PATTERN = re.compile(
    f"[\xc2-\xdf][{CONTINUATION_CHARS}]|[\xe0-\xef][{CONTINUATION_CHARS}]{{2}}|\xf0[{CONTINUATION_CHARS}]{{3}}"
)
INVISIBLE_CODEPOINTS = (
    *range(0x80, 0x85),
    *range(0x86, 0xA0),
    0xAD,
    0x200B,
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
    0xFFFE,
    0xFFFF,
)
BLANK_CODEPOINTS = (0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
NEWLINE_CODEPOINTS = (0x85, 0x2028, 0x2029)
CHAR_REPLACEMENTS = (
    dict.fromkeys(INVISIBLE_CODEPOINTS, "")
    | dict.fromkeys(BLANK_CODEPOINTS, " ")
    | dict.fromkeys(NEWLINE_CODEPOINTS, "\n")
)
SURROGATE_PATTERN = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> tuple[str, bool]:
    """Return the normalised text, and whether broken characters were repaired in it."""
    is_repaired = False
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, as a careless JSON writer leaves
        text = SURROGATE_PATTERN.sub("\ufffd", text)
        data = text.encode("utf-8")
    if not text.isascii():
        text, is_repaired = _normalize_characters(text, set(data.translate(None, ASCII_BYTES).decode("utf-8")))
        data = text.encode("utf-8")
    if "\r" in text or "\f" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
        data = text.encode("utf-8")
    printable_data = data.translate(None, CONTROL_BYTES)
    if len(printable_data) < len(data):
        text = printable_data.decode("utf-8")
    if " \n" in text or "\t\n" in text:
        text = "\n".join(map(str.rstrip, text.split("\n")))
    if "\n\n\n\n" in text:
        text = re.sub("\n{4,}", "\n\n\n", text)
    return text.strip("\n").rstrip(), is_repaired


def _normalize_characters(text: str, distinct_chars: set[str]) -> tuple[str, bool]:
    """Return the text with characters beyond ASCII repaired and normalised; `distinct_chars` are those that occur.

    Most texts have only a few of them, such as curly quotes, so that checking the set avoids a pass over the text.
    """
    is_repaired = False
    if not distinct_chars.isdisjoint(LEAD_CHARS) and not distinct_chars.isdisjoint(CONTINUATION_CHARS):
        text, is_repaired = _repair_mojibake(text)
        distinct_chars = set(text) if is_repaired else distinct_chars
    if any(ord(character) in CHAR_REPLACEMENTS for character in distinct_chars):
        text = text.translate(CHAR_REPLACEMENTS)
    return unicodedata.normalize("NFC", text), is_repaired


def _repair_mojibake(text: str) -> tuple[str, bool]:
    """Repair with ftfy (slow) the lines that look wrongly decoded; ftfy decides by its own heuristic."""
    if not MOJIBAKE_PATTERN.search(text):
        return text, False
    import ftfy

    lines = [ftfy.fix_encoding(line) if MOJIBAKE_PATTERN.search(line) else line for line in text.split("\n")]
    repaired_text = "\n".join(lines)
    return repaired_text, repaired_text != text
