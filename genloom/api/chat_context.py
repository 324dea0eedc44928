"""The context of a chat beside its messages: a memory, attached files, and a summary of those that fell out of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.argument_types import check_arguments
from genloom.errors import GenloomError
from genloom.text_format import format_count

if TYPE_CHECKING:
    from genloom.api.chat import Chat
    from genloom.assistant.attachments import Attachment, Excerpt
    from genloom.assistant.memory import Memory
    from genloom.store.conversation import EarlierSummary
    from genloom.types import Message

MEMORY_SHARE = 0.25  # of the tokens that a model reads, at most
ATTACHMENT_SHARE = 0.6  # of those that are left
KEPT_SHARE = 0.5  # of them that the newest messages take after a summary, so that not every turn makes one
MAX_SUMMARY_TOKENS = 160
_MESSAGE_TOKENS = 8  # of the markers of a message, about
_SUMMARY_TASK = (
    "Summarize this conversation in at most 80 words. Keep names, numbers, wishes and decisions. "
    "Write what was said, and add nothing."
)
_SUMMARY_TITLE = "Summary of the earlier conversation, written by the model:"


@dataclass(frozen=True)
class ContextShare:
    """A part of the context, and how many tokens it takes."""

    name: str
    num_tokens: int


@check_arguments
class ChatContext:
    """A reader of a chat: it adds facts, excerpts and summaries to the messages that the model reads.

    Attributes
    ----------
    memory
        The facts that the model is told; None: none.
    attachments
        The attached files; each question reads those of their passages that are most like it.
    has_summaries
        Whether messages that no longer fit are summarised by the model; else they are dropped.
    excerpts
        What was read of each attachment for the last answer.
    facts
        The facts that were read for the last answer.
    new_summary
        The summary that was made before the last answer; None: none was needed.
    """

    def __init__(self, chat: "Chat", *, memory: "Memory | None" = None, has_summaries: bool = False):
        self.chat, self.memory, self.has_summaries = chat, memory, has_summaries
        self.attachments: list[Attachment] = []
        self.excerpts: list[Excerpt] = []
        self.facts: list[str] = []
        self.new_summary: EarlierSummary | None = None

    def attach(self, path: str | Path) -> "Attachment":
        """Attach the text of a file, and return it; one of the same name is replaced.

        Raises
        ------
        GenloomError
            assistant.too_many, and what reading the file raises (`genloom.assistant.attachments.read_attachment`).
        """
        from genloom.assistant.attachments import MAX_ATTACHMENTS, read_attachment

        attachment = read_attachment(path)
        others = [each for each in self.attachments if each.name != attachment.name]
        if len(others) >= MAX_ATTACHMENTS:
            raise GenloomError("assistant.too_many", what="attachments", count=len(others) + 1, limit=MAX_ATTACHMENTS)
        self.attachments = [*others, attachment]
        return attachment

    def detach(self, name: str = "") -> list[str]:
        """Remove the attachment of this name, or all, and return the names of those removed.

        Raises
        ------
        GenloomError
            assistant.no_such_attachment.
        """
        removed = [each.name for each in self.attachments if name in ("", each.name)]
        if not removed:
            known = ", ".join(each.name for each in self.attachments) or "—"
            raise GenloomError("assistant.no_such_attachment", name=name or "any", known=known)
        self.attachments = [each for each in self.attachments if each.name not in removed]
        return removed

    def remember(self, fact: str) -> "Memory":
        """Add a fact to the memory, the one named "default" if the chat has none, and return it."""
        from genloom.assistant import memory

        self.memory = memory.add_fact(self.open_memory(), fact)
        return self.memory

    def forget(self, which: str) -> list[str]:
        """Remove a fact by its number, or those that contain a text, from the memory, and return them."""
        from genloom.assistant import memory

        self.memory, removed = memory.remove_facts(self.open_memory(), which)
        return removed

    def open_memory(self) -> "Memory":
        """Return the memory as its file is now, which the person may have edited."""
        from genloom.assistant.memory import open_memory

        name = "default" if self.memory is None else self.memory.name
        return open_memory(self.chat.model.workspace.folder, name)

    # The protocol of readers

    def prepare(self, messages: "list[Message]") -> "list[Message]":
        """Return the messages that the model reads for its next answer."""
        from genloom.assistant.attachments import excerpt_attachments, quote_excerpts
        from genloom.assistant.memory import choose_facts, describe_facts

        chat = self.chat
        budget = count_budget(chat)
        self.excerpts, self.facts, self.new_summary = [], [], None
        parts = []
        if self.memory is not None:
            self.memory = self.open_memory()
            limit = int(MEMORY_SHARE * budget)
            self.facts = choose_facts(self.memory, limit, lambda text: count_tokens(chat, text))
            parts.append(describe_facts(self.facts))
        if self.attachments:
            last = max(i for i, message in enumerate(messages) if message.role == "user")
            question = messages[last].content
            used = sum(count_tokens(chat, part) for part in parts) + count_tokens(chat, question)
            limit = int(ATTACHMENT_SHARE * (budget - used))
            self.excerpts = excerpt_attachments(
                self.attachments, chat.conversation.questions[-1], limit, lambda text: count_tokens(chat, text)
            )
            quoted = replace(messages[last], content=quote_excerpts(self.excerpts, question), is_trusted=False)
            messages = [*messages[:last], quoted, *messages[last + 1 :]]
        if self.has_summaries:
            used = sum(count_tokens(chat, part) + 1 for part in parts)
            messages, summary = self._summarise(messages, budget - used)
            parts.append(summary)
        return add_to_system(chat, messages, "\n\n".join(filter(None, parts)))

    def describe(self, answer: str) -> dict[str, Any]:
        """Return fields for the record of the answer."""
        record: dict[str, Any] = {}
        if self.facts:
            record["memory"] = list(self.facts)
        if self.excerpts:
            record["attachments"] = [excerpt.to_record() for excerpt in self.excerpts]
        return record

    @property
    def warnings(self) -> list[str]:
        """Notes on what of the attachments was not read, and the summary that was made before the answer."""
        notes = [
            f"of {excerpt.name}, {excerpt.num_tokens:,} of {excerpt.num_total:,} tokens were read: "
            "the passages most like the question"
            for excerpt in self.excerpts
            if not excerpt.is_whole
        ]
        if (summary := self.new_summary) is not None:
            notes.append(f"the first {summary.num_messages} messages are read as a summary (output {summary.output})")
        return notes

    @property
    def lines(self) -> list[str]:
        """Nothing is shown below the answer."""
        return []

    @property
    def passage_lines(self) -> list[str]:
        """The text that was read of each attachment for the last answer."""
        return [line for each in self.excerpts for line in (f"{each.name}:", *each.text.splitlines(), "")]

    def list_shares(self) -> list[ContextShare]:
        """List the parts of the context as the next question finds them, the room for its answer, and what is free."""
        from genloom.assistant.memory import describe_facts

        chat = self.chat
        conversation, summary = chat.conversation, chat.conversation.summary
        facts = [] if self.memory is None else self.open_memory().facts
        kept = conversation.messages[summary.num_messages :] if summary else conversation.messages
        budget = count_budget(chat)
        parts = [
            ("system prompt", count_tokens(chat, conversation.system) if conversation.system else 0),
            (f"memory, {format_count(len(facts), 'fact')}", count_tokens(chat, describe_facts(facts)) if facts else 0),
        ]
        if summary is not None:
            parts.append((f"summary of the first {summary.num_messages} messages", count_tokens(chat, summary.text)))
        parts.append((format_count(len(kept), "message"), sum(count_message(chat, message) for message in kept)))
        for attachment in self.attachments:
            parts.append((f"{attachment.name}, as much as fits", count_tokens(chat, attachment.text)))
        shares = [ContextShare(name, number) for name, number in parts if number]
        free = max(budget - sum(share.num_tokens for share in shares), 0)
        reserved = chat.context_length - budget
        return [*shares, ContextShare("kept for the answer", reserved), ContextShare("free", free)]

    # Summaries

    def _summarise(self, messages: "list[Message]", budget: int) -> "tuple[list[Message], str]":
        """Return the messages without those that a summary stands for, and the summary as the model is told it."""
        chat = self.chat
        first = 1 if messages and messages[0].role == "system" else 0
        system, turns = messages[:first], messages[first:]
        summary = chat.conversation.summary
        start = summary.num_messages if summary else 0
        sizes = [count_message(chat, message) for message in turns]
        used = sum(count_message(chat, message) for message in system)
        used += count_tokens(chat, summary.text) if summary else 0
        if used + sum(sizes[start:]) > budget:
            end = find_cut(turns, sizes, start, int(KEPT_SHARE * budget))
            if end > start:
                summary = self._write_summary(turns[start:end], end, summary)
                start = end
        text = f"{_SUMMARY_TITLE}\n{summary.text}" if summary is not None else ""
        return [*system, *turns[start:]], text

    def _write_summary(
        self, messages: "Sequence[Message]", end: int, earlier: "EarlierSummary | None"
    ) -> "EarlierSummary":
        """Let the model summarise messages together with the summary of those before; store it as an output."""
        from genloom.api.answering import answer
        from genloom.store.conversation import EarlierSummary
        from genloom.types import Message

        chat, names = self.chat, {"user": "User", "assistant": "Assistant"}
        lines = [f"Earlier: {earlier.text}"] if earlier else []
        lines += [f"{names.get(message.role, message.role)}: {message.content}" for message in messages]
        facts = {"summary_of": {"conversation": chat.conversation.id, "messages": end}}
        (output,) = answer(
            chat.model,
            [[Message("user", "\n".join([_SUMMARY_TASK, "", *lines]))]],
            facts=[facts],
            adapters=chat.adapters,
            precision=chat.precision,
            is_marked=chat.is_marked,
            progress=False,
            temperature=0.0,
            max_tokens=MAX_SUMMARY_TOKENS,
        )
        self.new_summary = EarlierSummary(str(output.continuation).strip(), end, output.id)
        chat.conversation = replace(chat.conversation, summary=self.new_summary)
        return self.new_summary


def find_cut(turns: "Sequence[Message]", sizes: Sequence[int], start: int, limit: int) -> int:
    """Return the first message that is kept: a question, from which on at most `limit` tokens follow.

    The last question is always kept.
    """
    questions = [i for i, message in enumerate(turns) if message.role == "user" and i > start]
    for i in questions:
        if sum(sizes[i:]) <= limit:
            return i
    return questions[-1] if questions else start


def count_budget(chat: "Chat") -> int:
    """Return how many tokens the model reads beside its answer."""
    from genloom.generate.text.conversation import DEFAULT_MAX_REPLY_TOKENS

    max_tokens = int(chat.params.get("max_tokens") or DEFAULT_MAX_REPLY_TOKENS)
    return chat.context_length - min(max_tokens, chat.context_length // 2)


def count_tokens(chat: "Chat", text: str) -> int:
    """Return how many tokens a text takes."""
    return len(chat.loaded_model.codec.encode(text)) if text else 0


def count_message(chat: "Chat", message: "Message") -> int:
    """Return how many tokens a message takes, with about those of its markers."""
    return count_tokens(chat, message.content) + _MESSAGE_TOKENS


def add_to_system(chat: "Chat", messages: "list[Message]", text: str) -> "list[Message]":
    """Return the messages with a text in the system message; of a model without one, before the first question."""
    from genloom.codecs.chat_template import require_chat_template
    from genloom.generate.text.conversation import get_chat_codec
    from genloom.types import Message

    if not text:
        return messages
    template = require_chat_template(get_chat_codec(chat.loaded_model))
    if messages[0].role == "system":
        return [replace(messages[0], content=f"{messages[0].content}\n\n{text}"), *messages[1:]]
    if "system" in template.prefixes:
        content = f"{template.default_system}\n\n{text}" if template.default_system else text
        return [Message("system", content), *messages]
    return [replace(messages[0], content=f"{text}\n\n{messages[0].content}"), *messages[1:]]


def get_context(chat: "Chat") -> ChatContext:
    """Return the context reader of a chat, which gets one if it has none."""
    for reader in chat.readers:
        if isinstance(reader, ChatContext):
            return reader
    context = ChatContext(chat)
    chat.readers.append(context)
    return context
