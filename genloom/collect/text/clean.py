"""Makes text uniform without changing what it says: characters repaired, invisible ones out, blank space tidy."""

import re
import unicodedata

ASCII = bytes(range(128))
CONTROL = bytes([*range(9), 11, *range(14, 32), 127])
# What UTF-8 looks like when it was once read as Windows-1252: the letter of a lead byte, then of continuation bytes.
CONTINUED = "".join(map(chr, range(0x80, 0xC0))) + "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
LEAD = "".join(map(chr, range(0xC2, 0xF1)))
BROKEN = re.compile(f"[\xc2-\xdf][{CONTINUED}]|[\xe0-\xef][{CONTINUED}]{{2}}|\xf0[{CONTINUED}]{{3}}")
INVISIBLE = (*range(0x80, 0x85), *range(0x86, 0xA0), 0xAD, 0x200B, 0xFEFF, *range(0xFFF9, 0xFFFC), 0xFFFE, 0xFFFF)
BLANK = (0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
NEWLINE = (0x85, 0x2028, 0x2029)
REPLACED = dict.fromkeys(INVISIBLE, "") | dict.fromkeys(BLANK, " ") | dict.fromkeys(NEWLINE, "\n")
SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> tuple[str, bool]:
    """The text made uniform, and whether broken characters were repaired in it."""
    repaired = False
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, as a careless JSON writer leaves
        text = SURROGATE.sub("\ufffd", text)
        data = text.encode("utf-8")
    if not text.isascii():
        text, repaired = _uniform(text, set(data.translate(None, ASCII).decode("utf-8")))
        data = text.encode("utf-8")
    if "\r" in text or "\f" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
        data = text.encode("utf-8")
    without = data.translate(None, CONTROL)
    if len(without) < len(data):
        text = without.decode("utf-8")
    if " \n" in text or "\t\n" in text:
        text = "\n".join(map(str.rstrip, text.split("\n")))
    if "\n\n\n\n" in text:
        text = re.sub("\n{4,}", "\n\n\n", text)
    return text.strip("\n").rstrip(), repaired


def _uniform(text: str, present: set[str]) -> tuple[str, bool]:
    """The text with characters beyond ASCII repaired and made uniform; `present` are those that occur.

    Most texts have but a few curly quotes, so that looking at the set of what occurs saves looking at all of the text.
    """
    repaired = False
    if not present.isdisjoint(LEAD) and not present.isdisjoint(CONTINUED):
        text, repaired = _repair(text)
        present = set(text) if repaired else present
    if any(ord(character) in REPLACED for character in present):
        text = text.translate(REPLACED)
    return unicodedata.normalize("NFC", text), repaired


def _repair(text: str) -> tuple[str, bool]:
    """Hands to ftfy (slow) only lines that look as if they had been decoded wrongly; it decides by its own measure."""
    if not BROKEN.search(text):
        return text, False
    import ftfy

    lines = [ftfy.fix_encoding(line) if BROKEN.search(line) else line for line in text.split("\n")]
    mended = "\n".join(lines)
    return mended, mended != text
