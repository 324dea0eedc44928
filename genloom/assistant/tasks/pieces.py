"""Documents in pieces that a model can read: paragraphs, lines and sentences, with everything between them kept."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from genloom.assistant.tasks.sentences import split_with_blanks

CountTokens = Callable[[str], int]

_BLANK_LINES = re.compile(r"(\n[ \t]*(?:\n[ \t]*)+)")
_FENCE = re.compile(r"^\s*(```|~~~)")
_MARKER = re.compile(r"^\s*(?:#{1,6}\s+|[-*+•–]\s+|\d{1,3}[.)]\s+|>\s?|\|)")
_WRAP = re.compile(r"[ \t]*\n[ \t]*(?=\S)")
_WRAPPED_CHARS = 45  # of every line but the last of a paragraph that was wrapped by an editor


@dataclass(frozen=True)
class Piece:
    """A part of a document that is given to a model, and what stands before it and is kept as it is."""

    before: str
    text: str


@dataclass(frozen=True)
class Pieces:
    """A document as pieces: `before` and `text` of each in turn, then `tail`, are the document."""

    pieces: tuple[Piece, ...]
    tail: str

    def join(self, texts: Sequence[str]) -> str:
        """Return the document with other texts in the places of the pieces."""
        assert len(texts) == len(self.pieces)
        kept = [piece.before for piece in self.pieces]
        return "".join(part for pair in zip(kept, texts, strict=True) for part in pair) + self.tail


def split_document(text: str, count_tokens: CountTokens, max_tokens: int) -> Pieces:
    """Split a document into pieces of at most `max_tokens`: paragraphs and list items, and sentences of longer ones.

    Blank lines, indentation, the markers of Markdown, fenced code and lines without letters are kept; the broken lines
    of a paragraph are joined.
    """
    units: list[Piece] = []
    kept = ""
    for part, is_text in _iter_parts(text):
        if not is_text:
            kept += part
            continue
        for piece in _split_long(part, count_tokens, max_tokens):
            units.append(Piece(kept + piece.before, piece.text))
            kept = ""
    return Pieces(tuple(units), kept)


def _iter_parts(text: str) -> list[tuple[str, bool]]:
    """Return the parts of a text in order, and whether each is given to a model; joined, they are the text."""
    parts: list[tuple[str, bool]] = []
    for block in _split_blocks(text):
        if _FENCE.match(block) or not _has_letters(block):
            parts.append((block, False))
        elif _is_wrapped(block):
            parts += _split_line(_WRAP.sub(" ", block))
        else:
            for line in block.splitlines(keepends=True):
                parts += _split_line(line)
    return parts


def _split_blocks(text: str) -> list[str]:
    """Return paragraphs, the blank lines between them, and fenced code; joined, they are the text."""
    blocks: list[str] = []
    for part in _BLANK_LINES.split(text):
        is_in_fence = bool(blocks) and _FENCE.match(blocks[-1]) and not _is_closed(blocks[-1])
        if is_in_fence:
            blocks[-1] += part
        elif part:
            blocks.append(part)
    return blocks


def _is_closed(block: str) -> bool:
    """Return whether a block that begins with a fence has the one that closes it."""
    return sum(bool(_FENCE.match(line)) for line in block.splitlines()) % 2 == 0


def _is_wrapped(block: str) -> bool:
    """Return whether a paragraph is prose whose lines an editor has broken."""
    lines = block.splitlines()
    is_plain = not any(_MARKER.match(line) for line in lines[1:])
    return len(lines) > 1 and is_plain and all(len(line) >= _WRAPPED_CHARS for line in lines[:-1])


def _split_line(line: str) -> list[tuple[str, bool]]:
    """Return the marker at the beginning, the text, and the blanks at the end."""
    marker = _MARKER.match(line)
    begin = marker.end() if marker else len(line) - len(line.lstrip())
    end = len(line.rstrip())
    if not _has_letters(line[begin:end]):
        return [(line, False)]
    parts = [(line[:begin], False), (line[begin:end], True), (line[end:], False)]
    return [part for part in parts if part[0]]


def _split_long(text: str, count_tokens: CountTokens, max_tokens: int) -> list[Piece]:
    """Return a text as pieces of at most `max_tokens`, cut between sentences, else between words."""
    if count_tokens(text) <= max_tokens:
        return [Piece("", text)]
    pieces, current, kept = list[Piece](), "", ""
    blanks = ""
    for sentence, following in _iter_units(text, count_tokens, max_tokens):
        joined = current + blanks + sentence if current else sentence
        if current and count_tokens(joined) > max_tokens:
            pieces.append(Piece(kept, current))
            kept, joined = blanks, sentence
        current, blanks = joined, following
    if current:
        pieces.append(Piece(kept, current))
    return pieces


def _iter_units(text: str, count_tokens: CountTokens, max_tokens: int) -> list[tuple[str, str]]:
    """Return the sentences with the blanks after each; those that are too long in halves, and so on."""
    units: list[tuple[str, str]] = []
    for sentence, blanks in split_with_blanks(text):
        if count_tokens(sentence) <= max_tokens:
            units.append((sentence, blanks))
            continue
        words = [(match[1], match[2]) for match in re.finditer(r"(\S+)(\s*)", sentence)]
        count = max(1, len(words) * max_tokens // max(count_tokens(sentence), 1) // 2)
        bounds = [*range(0, len(words), count), len(words)]
        for begin, end in pairwise(bounds):
            chunk = "".join(word + gap for word, gap in words[begin:end])
            stripped = chunk.rstrip()
            gap = chunk[len(stripped) :] if end < len(words) else blanks
            units += _split_word(stripped, gap, count_tokens, max_tokens)
    return units


def _split_word(text: str, blanks: str, count_tokens: CountTokens, max_tokens: int) -> list[tuple[str, str]]:
    """Return a run without places to cut in parts of equal length, none above `max_tokens`."""
    num_tokens = count_tokens(text)
    if num_tokens <= max_tokens or " " in text or len(text) < 2:
        return [(text, blanks)]
    middle = len(text) // 2
    first = _split_word(text[:middle], "", count_tokens, max_tokens)
    return [*first, *_split_word(text[middle:], blanks, count_tokens, max_tokens)]


def _has_letters(text: str) -> bool:
    return any(map(str.isalpha, text))
