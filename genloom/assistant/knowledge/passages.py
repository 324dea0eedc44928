"""Passages of documents: 120 to 200 words between borders of sentences, with their section and place.

Passages of one section overlap by a sentence or two, so that what stands at a border is whole in one of them. Borders
start again at every heading, so that a change in one section leaves the passages of the others as they are.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genloom.assistant.knowledge.documents import Document
from genloom.assistant.knowledge.sentences import count_words, split_sentences
from genloom.collect.text.clean import clean_text

TARGET_WORDS, MAX_WORDS = 150, 200
MAX_OVERLAP_WORDS = 30
MIN_SECTION_WORDS = 60  # sections with fewer are joined with the next ones, below the same heading
MAX_PATH_CHARS = 200
PATH_SEPARATOR = " › "
_MARKDOWN_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*?)[ \t]*#*\s*$")
_UNDERLINE = re.compile(r"(=|-|~|\^|\*|\"|#|\+)\1{2,}\s*$")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_NUMBERING = re.compile(r"^(?:chapter |kapitel |chapitre )?[\dA-Z]{1,3}(?:\.\d+)*[.:)]?\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Passage:
    """A part of a document and its place."""

    text: str
    heading: str  # the path of headings above it
    start: int  # its place in the text of the file, in characters
    end: int
    page: int = 0  # 0: the file has none
    last_page: int = 0
    page_noun: str = ""
    line: int = 0
    last_line: int = 0
    row: int = 0
    sheet: str = ""

    @property
    def digest(self) -> str:
        """The id of its content: equal passages of all files have one, and it stays when others change."""
        return hashlib.sha256(self.searched_text.encode()).hexdigest()[:24]

    @property
    def searched_text(self) -> str:
        """The text with its section, as it is searched."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


@dataclass(frozen=True)
class _Section:
    path: tuple[str, ...]
    start: int
    end: int
    num_words: int


def split_document(document: Document) -> list[Passage]:
    """Return the passages of a document in order; none for one without words."""
    passages = []
    for section in _join_sections(list(_iter_sections(document)), document.text):
        for start, end in _iter_windows(document.text, section):
            if passage := _build_passage(document, section, start, end):
                passages.append(passage)
    return passages


def _build_passage(document: Document, section: _Section, start: int, end: int) -> Passage | None:
    text, _ = clean_text(document.text[start:end])
    if not any(map(str.isalnum, text)):
        return None
    return Passage(
        text=text,
        heading=PATH_SEPARATOR.join(section.path)[-MAX_PATH_CHARS:],
        start=document.start + start,
        end=document.start + end,
        page=document.find_page(start),
        last_page=document.find_page(end - 1),
        page_noun=document.page_noun,
        line=document.find_line(start),
        last_line=document.find_line(end),
        row=document.row,
        sheet=document.sheet,
    )


def _iter_windows(text: str, section: _Section) -> Iterator[tuple[int, int]]:
    """Yield the begin and end of the passages of a section."""
    spans = list(split_sentences(text, section.start, section.end))
    sizes = [count_words(text[begin:end]) for begin, end in spans]
    first = 0
    while first < len(spans):
        last, num_words = first, sizes[first]
        while last + 1 < len(spans) and num_words < TARGET_WORDS and num_words + sizes[last + 1] <= MAX_WORDS:
            last += 1
            num_words += sizes[last]
        rest = sum(sizes[last + 1 :]) if len(spans) - last < MAX_WORDS else MAX_WORDS
        if num_words + rest <= MAX_WORDS:  # a short rest joins, and is no passage of its own
            last = len(spans) - 1
        yield spans[first][0], spans[last][1]
        if last == len(spans) - 1:
            return
        following = last + 1
        while following - 1 > first and sum(sizes[following - 1 : last + 1]) <= MAX_OVERLAP_WORDS:
            following -= 1
        first = following


def _join_sections(sections: Sequence[_Section], text: str) -> Iterator[_Section]:
    """Join short neighbouring sections below the same heading."""
    pending: _Section | None = None
    for section in sections:
        if pending is not None and _can_join(pending, section):
            path = _find_common_path(pending.path, section.path)
            pending = _Section(path, pending.start, section.end, pending.num_words + section.num_words)
            continue
        if pending is not None:
            yield pending
        pending = section
    if pending is not None:
        yield pending


def _can_join(first: _Section, second: _Section) -> bool:
    if first.num_words >= MIN_SECTION_WORDS or first.num_words + second.num_words > TARGET_WORDS:
        return False
    # A heading without text of its own belongs to the section below it.
    return first.path[:-1] == second.path[:-1] or first.path == second.path[: len(first.path)]


def _find_common_path(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    if first == second[: len(first)] and len(second) > len(first):
        return second
    shared = [a for a, b in zip(first, second, strict=False) if a == b]
    return tuple(shared)


def _iter_sections(document: Document) -> Iterator[_Section]:
    """Yield the sections: from each heading, which is their first line, to the next."""
    text, path, start = document.text, [], 0
    levels: list[int] = []
    for offset, level, title in _iter_headings(document):
        if offset > start and text[start:offset].strip():
            yield _Section(tuple(path), start, offset, count_words(text[start:offset]))
        while levels and levels[-1] >= level:
            levels.pop()
            path.pop()
        levels.append(level)
        path.append(title)
        start = offset
    if text[start:].strip():
        yield _Section(tuple(path), start, len(text), count_words(text[start:]))


def _iter_headings(document: Document) -> Iterator[tuple[int, int, str]]:
    """Yield the offset, level and text of each heading: those that the file names, else those of its marks."""
    if document.headings or document.page_noun or document.row:
        yield from _locate_headings(document)
    else:
        yield from _find_marked_headings(document.text)


def _locate_headings(document: Document) -> Iterator[tuple[int, int, str]]:
    """Yield the headings that the file names, where they stand in the text; an entry of an outline at its page."""
    places: dict[str, list[int]] = defaultdict(list)
    for number, heading in enumerate(document.headings):
        places[_fold_line(heading.text)].append(number)
    found: dict[int, int] = {}
    last = -1
    for offset, line in _iter_lines(document.text):
        if not line.strip() or len(line) > 250:
            continue
        numbers = [n for n in places.get(_fold_line(line), ()) if n > last and document.headings[n].start <= offset]
        if numbers:
            last = numbers[0]
            found[last] = offset
    for number, heading in enumerate(document.headings):
        if number not in found and document.page_starts:
            found[number] = heading.start
    for number, offset in sorted(found.items(), key=lambda item: (item[1], item[0])):
        yield offset, document.headings[number].level, document.headings[number].text


def _fold_line(line: str) -> str:
    return _NUMBERING.sub("", " ".join(line.split())).casefold().strip(" #.:")


def _find_marked_headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield headings of Markdown and reStructuredText; marks in fenced code are none."""
    is_code = False
    previous, previous_offset = "", 0
    marks: list[str] = []  # of underlines, by level: as they first occur
    for offset, line in _iter_lines(text):
        if _FENCE.match(line):
            is_code = not is_code
        if not is_code:
            if match := _MARKDOWN_HEADING.match(line):
                yield offset, len(match[1]), match[2][:MAX_PATH_CHARS]
            elif (
                (match := _UNDERLINE.match(line))
                and 0 < len(previous.strip()) <= 120
                and len(line.rstrip()) >= min(len(previous.strip()), 3)
                and previous[:1] not in " \t-|*"
            ):
                if match[1] not in marks:
                    marks.append(match[1])
                yield previous_offset, 1 + marks.index(match[1]), previous.strip()
        previous, previous_offset = line, offset


def _iter_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the offset and the text of each line, without its end."""
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1
