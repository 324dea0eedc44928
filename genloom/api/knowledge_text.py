"""Answers from documents as lines: quotes, sentences with the numbers of their sources, and the sources."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from genloom.text_format import quote_beginning

if TYPE_CHECKING:
    from genloom.api.knowledge_answers import KnowledgeAnswer, KnowledgeReader
    from genloom.assistant.knowledge.retrieval import Source
    from genloom.assistant.knowledge.support import Support

REASONS = {
    "words": "not in the documents",
    "numbers": "a number that is not in the source",
    "names": "a name that is not in the source",
    "denial": "the source says the opposite, or may",
    "relation": "the source says it of something else, or in another relation",
    "strength": "the source says less",
    "meaning": "not what the source says",
}
MAX_QUOTE_CHARS = 400


def iter_answer_lines(answer: "KnowledgeAnswer") -> Iterator[str]:
    """Yield the lines of an answer."""
    from genloom.api.knowledge_answers import describe_unsupported

    if not answer.is_supported:
        yield describe_unsupported(answer.name, answer.retrieval)
        return
    yield "From the documents:"
    for quote in answer.quotes:
        yield f"  “{quote_beginning(quote.text, MAX_QUOTE_CHARS)}” [{quote.source}]"
    if answer.output is not None:
        yield ""
        yield f"In the words of {answer.output.model} ({answer.output.id}):"
        yield from (f"  {line}" for line in iter_sentence_lines(answer.sentences, answer.read_sources))
        if not answer.sentences:
            yield "  (the answer is empty)"
    yield ""
    used = {quote.source for quote in answer.quotes} | {
        answer.read_sources[each.source].number
        for each in answer.sentences
        if each.is_supported and each.source is not None
    }
    yield from iter_source_lines([source for source in answer.sources if source.number in used])


def iter_sentence_lines(sentences: "Sequence[Support]", sources: "Sequence[Source]") -> Iterator[str]:
    """Yield each sentence with the number of its source, or why it has none."""
    for sentence in sentences:
        text = " ".join(sentence.text.split())
        if sentence.is_supported and sentence.source is not None:
            yield f"{text} [{sources[sentence.source].number}]"
        else:
            yield f"{text} [unsupported: {REASONS[sentence.reason or 'words']}]"


def iter_source_lines(sources: "Sequence[Source]") -> Iterator[str]:
    """Yield a line for each source: its number, place and section."""
    for source in sources:
        others = len(source.hit.passage.places) - 1
        also = f" (and {others:,} more)" if others else ""
        yield f"[{source.number}] {source.title}{also}"


def iter_reading_lines(reader: "KnowledgeReader") -> Iterator[str]:
    """Yield what stands below an answer of a chat: the best sentence, unsupported sentences, and the sources."""
    from genloom.api.knowledge_answers import describe_unsupported

    retrieval = reader.retrieval
    if retrieval is None:
        return
    if not reader.read_sources:
        yield f"{describe_unsupported(reader.knowledge.name, retrieval)} The answer is the model's own."
        return
    best = retrieval.quotes[:1]
    for quote in best:
        yield f"“{quote_beginning(quote.text, MAX_QUOTE_CHARS)}” [{quote.source}]"
    for sentence in reader.sentences:
        if not sentence.is_supported:
            text = quote_beginning(sentence.text, MAX_QUOTE_CHARS // 4)
            yield f"unsupported ({REASONS[sentence.reason or 'words']}): {text}"
    used = {reader.read_sources[s.source].number for s in reader.sentences if s.is_supported and s.source is not None}
    used |= {quote.source for quote in best}
    yield from iter_source_lines([source for source in retrieval.sources if source.number in used])


def iter_passage_lines(reader: "KnowledgeReader") -> Iterator[str]:
    """Yield the passages of the last question in full."""
    if reader.retrieval is None:
        return
    read = {source.number for source in reader.read_sources}
    for source in reader.retrieval.sources:
        yield f"[{source.number}] {source.title}{'' if source.number in read else ' (not read by the model)'}"
        yield from (f"    {line}" for line in source.text.splitlines())
        yield ""
