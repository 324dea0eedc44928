"""Answers from knowledge: what a model writes, each sentence with its source, beside the sentences of the documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genloom.api.argument_types import check_arguments
from genloom.api.knowledge_text import iter_passage_lines, iter_reading_lines
from genloom.errors import format_message

if TYPE_CHECKING:
    from genloom.api.chat import Chat
    from genloom.api.knowledge import Knowledge
    from genloom.api.models import Model
    from genloom.api.outputs import Output
    from genloom.assistant.knowledge.retrieval import Quote, Retrieval, Source
    from genloom.assistant.knowledge.support import Support
    from genloom.capabilities import ChatCodec
    from genloom.types import Message

MAX_ANSWER_TOKENS = 160
TEMPERATURE = 0.0  # the answer of a small model is most often supported if it takes the likeliest word
MAX_WARNINGS = 3


@check_arguments
@dataclass(frozen=True)
class KnowledgeAnswer:
    """An answer to a question from documents.

    Attributes
    ----------
    question
        The question.
    name
        The name of the knowledge.
    retrieval
        The passages that were found, and the sentences in them that fit best.
    output
        The answer in the words of a model, stored; None if none wrote one.
    sentences
        The sentences of that answer, each with the place that supports it, or without.
    read_sources
        The passages that the model read.
    notes
        What a person should know: files that were not read, passages that were left out.
    """

    question: str
    name: str
    retrieval: "Retrieval"
    output: "Output | None" = None
    sentences: tuple["Support", ...] = ()
    read_sources: tuple["Source", ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_supported(self) -> bool:
        """Whether something in the documents is about the question."""
        return self.retrieval.is_supported

    @property
    def quotes(self) -> tuple["Quote", ...]:
        """The sentences of the documents that answer the question best, if anything does."""
        return self.retrieval.quotes if self.is_supported else ()

    @property
    def sources(self) -> tuple["Source", ...]:
        return self.retrieval.sources

    @property
    def text(self) -> str:
        """The answer of the model; "" without one."""
        return "" if self.output is None else str(self.output.record.get("written") or "").strip()

    def get_source(self, number: int) -> "Source":
        """Return the source with this number, from 1."""
        return self.retrieval.sources[number - 1]

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        return {
            "question": self.question,
            "knowledge": self.name,
            "is_supported": self.is_supported,
            "relevance": round(self.retrieval.relevance, 4),
            "quotes": [
                {"text": quote.text, "source": quote.source, "start": quote.start, "score": round(quote.score, 4)}
                for quote in self.quotes
            ],
            "answer": self.text or None,
            "output": self.output.id if self.output is not None else None,
            "model": self.output.model if self.output is not None else None,
            "sentences": [describe_support(each, self.read_sources) for each in self.sentences],
            "sources": [describe_source(source) for source in self.sources],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        if not self.is_supported:
            return describe_unsupported(self.name, self.retrieval)
        lines = [f'"{" ".join(q.text.split())}" — {self.get_source(q.source).title}' for q in self.quotes[:1]]
        lines += [self.text] if self.text else []
        return "\n\n".join(lines)


def build_answer(
    knowledge: "Knowledge", retrieval: "Retrieval", model: "Model | None", options: Mapping[str, Any]
) -> KnowledgeAnswer:
    """Return the answer to a question, written by the model if there is one and it may read a source."""
    notes = (*knowledge.notes, *list_warnings(retrieval))
    written = None if model is None else _write_answer(knowledge, retrieval, model, options)
    if written is None:
        return KnowledgeAnswer(retrieval.question, knowledge.name, retrieval, notes=notes)
    output, sources = written
    text = str(output.record.get("written") or "")
    return KnowledgeAnswer(
        retrieval.question,
        knowledge.name,
        retrieval,
        output,
        tuple(cite_sentences(text, sources)),
        sources,
        notes,
    )


def _write_answer(
    knowledge: "Knowledge", retrieval: "Retrieval", model: "Model", options: Mapping[str, Any]
) -> "tuple[Output, tuple[Source, ...]] | None":
    """Return the stored answer of a model and the sources that it read; None if none may be read."""
    from genloom.api.answering import answer
    from genloom.generate.text.conversation import get_chat_codec
    from genloom.types import Message

    given: dict[str, Any] = {"max_tokens": MAX_ANSWER_TOKENS, "temperature": TEMPERATURE}
    given |= {name: value for name, value in options.items() if value is not None}
    loaded = model.load((), str(given.get("precision", "auto")))
    room = loaded.design.context_length - int(given["max_tokens"])
    codec, context_length = get_chat_codec(loaded), loaded.design.context_length
    messages, sources = add_fitting_sources(
        [Message("user", retrieval.question)], retrieval, codec, context_length, room
    )
    if not sources:
        return None
    facts = {"knowledge": describe_knowledge(knowledge, retrieval, sources)}
    (output,) = answer(model, [messages], facts=[facts], progress=False, **given)
    return output, sources


def add_fitting_sources(
    messages: "Sequence[Message]", retrieval: "Retrieval", codec: "ChatCodec", context_length: int, room: int
) -> "tuple[list[Message], tuple[Source, ...]]":
    """Return a conversation with the sources that fit before its last question, and these sources.

    They take at most `room` tokens, and a part of the context length of the model, whose codec counts them.
    """
    from genloom.assistant.knowledge.prompting import INSTRUCTIONS, MAX_CONTEXT_SHARE, add_sources, fit_sources
    from genloom.codecs.chat_template import require_chat_template

    def count_tokens(text: str) -> int:
        return len(codec.encode(text))

    limit = min(int(MAX_CONTEXT_SHARE * context_length), room - count_tokens(INSTRUCTIONS) - 32)
    sources = fit_sources(retrieval.safe_sources, retrieval.question, count_tokens, limit)
    if not sources:
        return list(messages), ()
    has_system = "system" in require_chat_template(codec).prefixes
    return add_sources(messages, sources, has_system), sources


def cite_sentences(text: str, sources: "Sequence[Source]") -> "list[Support]":
    """Return the sentences of a text, each with the place in the sources that supports it, or without."""
    from genloom.assistant.knowledge.support import find_support
    from genloom.text_encoders.minilm.sentences import embed_texts

    titles = [f"{source.hit.passage.heading} {source.hit.passage.place.file}" for source in sources]
    return find_support(text, [source.text for source in sources], embed_texts, titles)


def describe_knowledge(knowledge: "Knowledge", retrieval: "Retrieval", sources: "Sequence[Source]") -> dict[str, Any]:
    """Return the field of the record of an output: what it was answered from."""
    return {
        "name": knowledge.name,
        "question": retrieval.question,
        "relevance": round(retrieval.relevance, 4),
        "passages": [
            {
                "number": source.number,
                "passage": source.hit.passage.id,
                "file": place.file,
                "path": place.path,
                "sha256": place.digest,
                "place": str(place),
                "start": place.start,
                "end": place.end,
            }
            for source in sources
            for place in source.hit.passage.places[:1]
        ],
    }


def describe_source(source: "Source") -> dict[str, Any]:
    """Return a source as JSON values."""
    passage = source.hit.passage
    return {
        "number": source.number,
        "passage": passage.id,
        "heading": passage.heading,
        "text": passage.text,
        "places": [
            {name: value for name, value in vars(place).items() if value not in (0, "")} for place in passage.places
        ],
        "similarity": round(source.hit.similarity, 4),
        "coverage": round(source.hit.coverage, 4),
        "instructions": [{"rule": each.rule, "excerpt": each.excerpt} for each in source.instructions],
    }


def describe_support(support: "Support", sources: "Sequence[Source]") -> dict[str, Any]:
    """Return a sentence of an answer with its source as JSON values."""
    facts: dict[str, Any] = {"text": support.text, "is_supported": support.is_supported}
    if support.is_supported and support.source is not None:
        source = sources[support.source]
        facts |= {"source": source.number, "place": str(source.hit.passage.place), "quote": support.quote}
    else:
        facts |= {"source": None, "reason": support.reason}
    return {**facts, "overlap": round(support.overlap, 3), "similarity": round(support.similarity, 3)}


def describe_unsupported(name: str, retrieval: "Retrieval") -> str:
    """Return the sentence that nothing in the documents supports an answer."""
    nearest = retrieval.sources[0].title if retrieval.sources else "none"
    return format_message("knowledge.answers_unsupported", name=name, place=nearest)


def list_warnings(retrieval: "Retrieval") -> list[str]:
    """Return a sentence for each source that reads like an instruction to the assistant."""
    warnings = [
        format_message(
            "knowledge.instruction_found",
            place=source.title,
            reason=source.instructions[0].reason,
            excerpt=source.instructions[0].excerpt,
        )
        for source in retrieval.suspicious_sources
    ]
    if len(warnings) > MAX_WARNINGS:
        hidden = format_message("knowledge.instructions_hidden", count=len(warnings) - MAX_WARNINGS)
        return [*warnings[:MAX_WARNINGS], hidden]
    return warnings


@dataclass
class KnowledgeReader:
    """Gives a chat the passages that fit its last question; see `Chat.readers`."""

    knowledge: "Knowledge"
    chat: "Chat"
    retrieval: "Retrieval | None" = None  # for the last question
    read_sources: "tuple[Source, ...]" = ()  # that the model read for it; () if nothing supports an answer
    sentences: "list[Support]" = field(default_factory=list)  # of the last answer

    def prepare(self, messages: "list[Message]") -> "list[Message]":
        """Return the messages that the model reads: with passages before the last question if they answer it."""
        questions = [message.content for message in messages if message.role == "user"]
        previous = questions[-2] if len(questions) > 1 else ""
        self.sentences, self.read_sources = [], ()
        self.retrieval = self.knowledge.retrieve(questions[-1], previous)
        if not self.retrieval.is_supported:
            return messages
        from genloom.generate.text.conversation import get_chat_codec

        codec, length = get_chat_codec(self.chat.loaded_model), self.chat.context_length
        room = length - min(int(self.chat.params["max_tokens"]), length // 2)
        prepared, self.read_sources = add_fitting_sources(messages, self.retrieval, codec, length, room)
        return prepared

    def describe(self, answer: str) -> dict[str, Any]:
        """Return the field of the record of the answer: the passages, and what supports each sentence."""
        if self.retrieval is None or not self.read_sources:
            return {}
        self.sentences = cite_sentences(answer, self.read_sources)
        facts = describe_knowledge(self.knowledge, self.retrieval, self.read_sources)
        facts["sentences"] = [describe_support(each, self.read_sources) for each in self.sentences]
        return {"knowledge": facts}

    @property
    def warnings(self) -> list[str]:
        """Warnings of the passages of the last question, for a person."""
        return [] if self.retrieval is None else list_warnings(self.retrieval)

    @property
    def lines(self) -> list[str]:
        """The sources of the last answer, as they stand below it."""
        return list(iter_reading_lines(self))

    @property
    def passage_lines(self) -> list[str]:
        """The passages of the last question in full."""
        return list(iter_passage_lines(self))
