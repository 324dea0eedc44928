"""Questions about chats: what a model reads beside a conversation or for a prompt, and what supports its answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.types import Message

ATTACHMENT_SHARE = 0.6  # of the tokens that are left, for attached files


def read_context(
    workspace: Workspace,
    model: str,
    messages: Sequence[Mapping[str, str]],
    knowledge: str,
    attachments: Sequence[str],
    max_tokens: int,
) -> dict[str, Any]:
    """Return the messages with what the model reads beside them, what its record says of it, and what a page shows.

    `knowledge` is a name, "" for none; `attachments` are paths. Neither needs the weights of the model.
    """
    from genloom.generate.text.conversation import DEFAULT_MAX_REPLY_TOKENS

    codec, length = _read_chat_codec(workspace, model)
    room = length - min(max_tokens or DEFAULT_MAX_REPLY_TOKENS, length // 2)
    read = [Message(each["role"], each["content"]) for each in messages]
    facts: dict[str, Any] = {}
    found: dict[str, Any] = {}
    if knowledge:
        read, facts["knowledge"], found["knowledge"] = _add_knowledge(workspace, knowledge, read, codec, length, room)
    if attachments:
        question = next(each["content"] for each in reversed(messages) if each["role"] == "user")
        used = sum(len(codec.encode(each.content)) for each in read if each.role in ("system", "user"))
        limit = max(int(ATTACHMENT_SHARE * (room - used)), 0)
        read, excerpts = _add_attachments(read, attachments, question, limit, lambda text: len(codec.encode(text)))
        facts["attachments"] = found["attachments"] = excerpts
    packed = [{"role": each.role, "content": each.content, "is_trusted": each.is_trusted} for each in read]
    return {"messages": packed, "facts": {name: value for name, value in facts.items() if value}, "found": found}


def fill_prompt(
    workspace: Workspace, model: str, prompt: str, given: Mapping[str, Any], length: str, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the conversation that asks for an answer to a prompt of the library, and how the answer is drawn.

    It does not need the weights of the model.
    """
    from genloom.api.prompts import fit_to_codec
    from genloom.api.writing import apply_length
    from genloom.assistant.prompts.requests import describe_template

    codec, context_length = _read_chat_codec(workspace, model)
    found = workspace.prompts.get(prompt)
    values, _, limits = apply_length(found, given, length)
    settings = {**found.settings, **limits, **{name: value for name, value in params.items() if value is not None}}
    messages = fit_to_codec(found, values, codec, context_length, settings)
    return {
        "messages": [{"role": each.role, "content": each.content, "is_trusted": each.is_trusted} for each in messages],
        "params": settings,
        "stop": list(found.stop),
        "facts": describe_template(found, values),
    }


def _read_chat_codec(workspace: Workspace, model: str) -> tuple[Any, int]:
    """Return the codec and the context length of a model that chats, without its weights."""
    from genloom.capabilities import ChatCodec
    from genloom.model import read_codec

    design, codec = read_codec(workspace.store, workspace.store.get_model(model))
    if not isinstance(codec, ChatCodec) or codec.chat_template is None:
        raise GenloomError("generate.cannot_chat_template", model=model)
    return codec, design.context_length


def _add_knowledge(
    workspace: Workspace, name: str, messages: list[Message], codec: Any, length: int, room: int
) -> tuple[list[Message], dict[str, Any] | None, dict[str, Any]]:
    """Return the messages with the passages that fit, the field of the record, and what was found."""
    from genloom.api.knowledge_answers import add_fitting_sources, describe_knowledge, list_warnings

    questions = [message.content for message in messages if message.role == "user"]
    with workspace.open_knowledge(name, update=False) as knowledge:
        retrieval = knowledge.retrieve(questions[-1], questions[-2] if len(questions) > 1 else "")
        sources: Sequence[Any] = ()
        if retrieval.is_supported:
            messages, sources = add_fitting_sources(messages, retrieval, codec, length, room)
        read = {source.number for source in sources}
        found = {
            "name": name,
            "is_supported": bool(sources),
            "quotes": [{"text": quote.text, "source": quote.source} for quote in retrieval.quotes] if sources else [],
            "sources": [
                {
                    "number": source.number,
                    "title": source.title,
                    "text": source.text,
                    "is_read": source.number in read,
                }
                for source in retrieval.sources
            ],
            "warnings": list_warnings(retrieval),
        }
        return messages, describe_knowledge(knowledge, retrieval, sources) if sources else None, found


def _add_attachments(
    messages: list[Message], paths: Sequence[str], question: str, limit: int, count_tokens: Callable[[str], int]
) -> tuple[list[Message], list[dict[str, Any]]]:
    """Return the messages with as much of the files as fits before the last question, and how much of each that is."""
    from genloom.assistant.attachments import MAX_ATTACHMENTS, excerpt_attachments, quote_excerpts, read_attachment

    if len(paths) > MAX_ATTACHMENTS:
        raise GenloomError("assistant.too_many", what="attachments", count=len(paths), limit=MAX_ATTACHMENTS)
    attachments = [read_attachment(Path(path)) for path in paths]
    excerpts = excerpt_attachments(attachments, question, limit, count_tokens)
    last = max(number for number, message in enumerate(messages) if message.role == "user")
    quoted = replace(messages[last], content=quote_excerpts(excerpts, messages[last].content), is_trusted=False)
    return [*messages[:last], quoted, *messages[last + 1 :]], [excerpt.to_record() for excerpt in excerpts]


def cite_answer(workspace: Workspace, answer: str, sources: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the sentences of an answer, each with the number of the source that supports it, or why none does."""
    from genloom.assistant.knowledge.support import find_support
    from genloom.text_encoders.minilm.sentences import embed_texts

    found = find_support(
        answer, [each["text"] for each in sources], embed_texts, [str(each["title"]) for each in sources]
    )
    return [
        {
            "text": each.text,
            "source": sources[each.source]["number"] if each.is_supported and each.source is not None else None,
            "quote": each.quote if each.is_supported else "",
            "reason": "" if each.is_supported else each.reason or "words",
        }
        for each in found
    ]


QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "read_context": read_context,
    "cite_answer": cite_answer,
    "fill_prompt": fill_prompt,
}
