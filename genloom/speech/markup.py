"""Marks in texts that are spoken: pauses, and the tags of SSML that mean them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_PAUSE_SECONDS = 10.0
_PAUSE = re.compile(
    r"""\[pause(?:\s+(?P<time>\d+(?:\.\d+)?)\s*(?P<unit>ms|s)?)?\]"""
    r"""|<break(?:\s+time\s*=\s*["']?(?P<time2>\d+(?:\.\d+)?)\s*(?P<unit2>ms|s)["']?)?\s*/?>""",
    re.IGNORECASE,
)
_OTHER_TAG = re.compile(
    r"</?(?:speak|p|s|voice|prosody|emphasis|say-as|sub|phoneme|break)\b[^<>\n]{0,200}>", re.IGNORECASE
)
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_DEFAULT_SECONDS = 0.5
PARAGRAPH_SECONDS = 0.4


@dataclass(frozen=True)
class Pause:
    """Silence between passages."""

    seconds: float


def iter_parts(text: str) -> Iterator[str | Pause]:
    """Yield the paragraphs of a text, and the pauses that it asks for and that lie between its paragraphs."""
    is_first = True
    for paragraph in _PARAGRAPH.split(text.replace("\r\n", "\n")):
        if not paragraph.strip():
            continue
        if not is_first:
            yield Pause(PARAGRAPH_SECONDS)
        is_first = False
        begin = 0
        for match in _PAUSE.finditer(paragraph):
            if passage := _clean_passage(paragraph[begin : match.start()]):
                yield passage
            yield Pause(_read_seconds(match))
            begin = match.end()
        if passage := _clean_passage(paragraph[begin:]):
            yield passage


def _clean_passage(text: str) -> str:
    return " ".join(_OTHER_TAG.sub(" ", text).split())


def _read_seconds(match: re.Match[str]) -> float:
    number, unit = match["time"] or match["time2"], (match["unit"] or match["unit2"] or "s").lower()
    if number is None:
        return _DEFAULT_SECONDS
    return min(float(number) / (1000 if unit == "ms" else 1), MAX_PAUSE_SECONDS)
