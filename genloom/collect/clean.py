"""Makes text uniform without changing what it says: characters repaired, invisible ones out, blank space tidy."""

import re
import unicodedata

# What UTF-8 looks like when it was once read as Windows-1252: the letter of a lead byte, then of continuation bytes.
_CONTINUED = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
BROKEN = re.compile(f"[\xc2-\xdf]{_CONTINUED}|[\xe0-\xef]{_CONTINUED}{{2}}|\xf0{_CONTINUED}{{3}}")
CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
WIDE_CONTROL = re.compile("[\x80-\x84\x86-\x9f\xad\u200b\ufeff\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")
NEWLINES = re.compile("\r\n?|[\x0c\x85\u2028\u2029]")
ODD_SPACES = re.compile("[\xa0\u2000-\u200a\u202f\u205f\u3000]")


def clean(text: str) -> tuple[str, bool]:
    """The text made uniform, and whether broken characters were repaired in it."""
    repaired = False
    if not text.isascii():
        text, repaired = _repair(text)
        text = WIDE_CONTROL.sub("", text)
        text = unicodedata.normalize("NFC", ODD_SPACES.sub(" ", text))
    if "\r" in text or "\f" in text or not text.isascii():
        text = NEWLINES.sub("\n", text)
    if CONTROL.search(text):
        text = CONTROL.sub("", text)
    if " \n" in text or "\t\n" in text:
        text = "\n".join(map(str.rstrip, text.split("\n")))
    if "\n\n\n\n" in text:
        text = re.sub("\n{4,}", "\n\n\n", text)
    return text.strip("\n").rstrip(), repaired


def _repair(text: str) -> tuple[str, bool]:
    """Hands to ftfy (slow) only lines that look as if they had been decoded wrongly; it decides by its own measure."""
    if not BROKEN.search(text):
        return text, False
    import ftfy

    lines = [ftfy.fix_encoding(line) if BROKEN.search(line) else line for line in text.split("\n")]
    mended = "\n".join(lines)
    return mended, mended != text
