"""The retrieval for a question: passages, the sentences that answer it best, and whether anything does.

Shape letters: C candidate sentences, D width.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from genloom.assistant.knowledge.guard import Instruction, find_alike, find_instructions
from genloom.assistant.knowledge.index import KnowledgeIndex
from genloom.assistant.knowledge.passages import PATH_SEPARATOR
from genloom.assistant.knowledge.search import Hit, compute_coverage, compute_rarities, search_passages
from genloom.assistant.knowledge.sentences import count_words, list_tokens, split_sentences
from genloom.assistant.knowledge.support import has_words

NUM_SOURCES = 6  # passages that a question gets
NUM_QUOTES = 3
NUM_QUOTED_SOURCES = 5  # whose sentences are compared with the question
# Of `Retrieval.relevance`, chosen by bench/assistant_retrieval.py on held-out questions: docs/knowledge.md says how.
MIN_RELEVANCE = 0.62
COVERAGE_WEIGHT = 0.5  # of the share of the question's words, beside the similarity
_QUOTE_RANGE = 0.08  # by which other quotes may fit the question worse than the first
_NUMBER_BONUS = 0.06
_MIN_QUOTE_WORDS = 6  # a shorter sentence is quoted with the one before it
_PARAGRAPH_BREAK = re.compile(r"\n[ \t]*\n")
_SHORT_QUESTION_WORDS = 2  # one with fewer words of its own is searched with the one before it
_ASKS_NUMBER = re.compile(
    r"\b(?:how (?:many|much|long|old|far|often|big|tall|high|large|fast|late|soon)|when|what (?:year|date|time|price|"
    r"age|percentage|number|version)|which (?:year|date|version|port)|wie (?:viel|viele|lange|oft|hoch|alt|weit)|wann|"
    r"combien|quand|quel âge|cu[aá]nt[oa]s?|cu[aá]ndo)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|hundred|thousand|"
    r"never|always|daily)\b",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"(?:it|this|that|these|those|they|he|she|such|there|es|dies\w*|il|elle|ce\w*)\b", re.IGNORECASE
)

Embed = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Source:
    """A passage that was found, with its number in the answer and what in it reads like an instruction."""

    number: int  # from 1
    hit: Hit
    instructions: tuple[Instruction, ...] = ()
    harmless_text: str | None = None  # the paragraphs without such instructions; None: all of it

    @property
    def text(self) -> str:
        """The text that may be read: without the paragraphs that read like instructions, if they were taken out."""
        return self.hit.passage.text if self.harmless_text is None else self.harmless_text

    @property
    def title(self) -> str:
        """The place and the section, as people cite them."""
        heading = self.hit.passage.heading
        return f"{self.hit.passage.place}{f' · {heading}' if heading else ''}"


@dataclass(frozen=True)
class Quote:
    """A sentence of a source, verbatim, with its place in the text of the passage."""

    source: int  # its number
    start: int
    text: str
    score: float  # how well it fits the question


@dataclass(frozen=True)
class Retrieval:
    """The passages and sentences found for a question."""

    question: str
    sources: tuple[Source, ...]
    quotes: tuple[Quote, ...]  # best first; none of a sentence that reads like an instruction
    relevance: float  # of the best passage and its best sentence

    @property
    def is_supported(self) -> bool:
        """Whether something in the documents is about the question."""
        return bool(self.quotes) and self.relevance >= MIN_RELEVANCE

    @cached_property
    def safe_sources(self) -> tuple[Source, ...]:
        """The sources that a model may read, without their paragraphs that read like instructions to the assistant."""
        return tuple(source for source in map(_take_out_instructions, self.sources) if source.text)

    @property
    def suspicious_sources(self) -> tuple[Source, ...]:
        return tuple(source for source in self.sources if source.instructions)


def retrieve_sources(
    index: KnowledgeIndex, question: str, embed: Embed, previous: str = "", num_sources: int = NUM_SOURCES
) -> Retrieval:
    """Return what the documents say about a question.

    Parameters
    ----------
    previous
        The question before it in a conversation, which a short one depends on. "": there is none.
    """
    searched = f"{previous} {question}" if previous and is_short(question) else question
    vector_D = embed([searched])[0]
    hits = search_passages(index, searched, vector_D, num_sources)
    embed = _keep_vectors(embed)
    sources = tuple(Source(number, hit, _find_orders(hit, embed)) for number, hit in enumerate(hits, start=1))
    tokens = list(dict.fromkeys(list_tokens(searched)))
    rarities = compute_rarities(tokens, index.count_matches(tokens), index.count_passages())
    quotes = choose_quotes(searched, vector_D, rarities, sources[:NUM_QUOTED_SOURCES], embed)
    best_hit = max((hit.similarity + COVERAGE_WEIGHT * hit.coverage for hit in hits), default=0.0)
    best_quote = quotes[0].score if quotes else 0.0
    return Retrieval(question, sources, quotes, 0.5 * (best_hit + best_quote))


def _keep_vectors(embed: Embed) -> Embed:
    """Return the encoder with a memory: sentences are compared with orders and with the question."""
    known: dict[str, np.ndarray] = {}

    def embed_once(texts: Sequence[str]) -> np.ndarray:
        if missing := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(missing, embed(missing), strict=True))
        return np.stack([known[text] for text in texts])

    return embed_once


def _find_orders(hit: Hit, embed: Embed) -> tuple[Instruction, ...]:
    """Return what in a passage reads like an order to the assistant."""
    text = hit.passage.text
    found = find_instructions(f"{hit.passage.heading}\n{text}")
    return tuple(found or find_alike([text[begin:end] for begin, end in split_sentences(text)], embed))


def _take_out_instructions(source: Source) -> Source:
    """Return a source without the paragraphs that read like instructions; "" is left if that cannot be parted.

    An order may go on in the sentence after it, so that a paragraph is taken out as a whole, and a passage if its
    heading reads like an order, its paragraphs only do so together, or an order was found by its meaning.
    """
    if not source.instructions:
        return source
    heading = source.hit.passage.heading
    kept = [paragraph for paragraph in _PARAGRAPH_BREAK.split(source.text) if not find_instructions(paragraph)]
    text = "\n\n".join(kept)
    is_parted = all(each.rule != "meaning" for each in source.instructions) and len(text) < len(source.text)
    has_content = any(has_words(each) and not is_heading(each, heading.split(PATH_SEPARATOR)) for each in kept)
    if not (is_parted and has_content) or find_instructions(f"{heading}\n{text}"):
        text = ""
    return replace(source, harmless_text=text)


def is_short(question: str) -> bool:
    """Return whether a question has so few words of its own that it needs the one before it."""
    words = list_tokens(question)
    return len(words) <= _SHORT_QUESTION_WORDS or bool(_REFERENCE.match(question.strip()))


def choose_quotes(
    question: str, vector_D: np.ndarray, rarities: dict[str, float], sources: Sequence[Source], embed: Embed
) -> tuple[Quote, ...]:
    """Return the sentences that fit a question best: those that mean about the same and have its rarest words.

    Half of the words count that only the heading above a sentence has.
    """
    candidates: list[tuple[Source, int, str]] = []
    for source in sources:
        headings = source.hit.passage.heading.split(PATH_SEPARATOR)
        spans = [
            (begin, end)
            for begin, end in split_sentences(source.text)
            if not is_heading(source.text[begin:end], headings)
        ]
        for number, (begin, end) in enumerate(spans):
            text = source.text[begin:end]
            if number and (count_words(text) < _MIN_QUOTE_WORDS or _REFERENCE.match(text)):
                begin = spans[number - 1][0] if not _has_gap(source.text[spans[number - 1][1] : begin]) else begin
            text = source.text[begin:end]
            if has_words(text) and not (source.instructions and _is_order(text, embed)):
                candidates.append((source, begin, text))
    if not candidates:
        return ()
    similarities_C = embed([text for _, _, text in candidates]) @ vector_D
    asks_number = _ASKS_NUMBER.search(question) is not None
    quotes = [
        Quote(
            source.number,
            begin,
            text,
            float(similarity)
            + 0.5 * COVERAGE_WEIGHT * compute_coverage(rarities, text)
            + 0.5 * COVERAGE_WEIGHT * compute_coverage(rarities, _name_section(source, text))
            + (_NUMBER_BONUS if asks_number and _NUMBER.search(text) else 0.0),
        )
        for (source, begin, text), similarity in zip(candidates, similarities_C, strict=True)
    ]
    quotes.sort(key=lambda quote: -quote.score)
    chosen: list[Quote] = []
    for quote in quotes:
        if quote.score < quotes[0].score - _QUOTE_RANGE or len(chosen) == NUM_QUOTES:
            break
        if not any(quote.text in other.text or other.text in quote.text for other in chosen):
            chosen.append(quote)
    return tuple(chosen)


def _is_order(text: str, embed: Embed) -> bool:
    return bool(find_instructions(text) or find_alike([text], embed))


def is_heading(text: str, headings: Sequence[str]) -> bool:
    """Return whether a sentence is a heading, by its mark or because the passage stands below it."""
    return text.startswith("#") or text.strip() in headings


def _has_gap(text: str) -> bool:
    """Return whether more than blanks stands between two sentences, such as a heading."""
    return bool(text.strip())


def _name_section(source: Source, text: str) -> str:
    """Return a sentence with the heading above it, which often names what it is about."""
    heading = source.hit.passage.heading.rpartition(PATH_SEPARATOR)[2]
    return f"{heading}: {text}" if heading and heading not in text else text
