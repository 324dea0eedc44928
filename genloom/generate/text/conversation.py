"""A conversation answered: put in the model's symbols, shortened to what it reads, the answer kept like any output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from genloom.codecs.chat_template import ChatCodec, get_eos_ids, render
from genloom.generate import engine
from genloom.model import Model
from genloom.store.conversation import Conversation
from genloom.store.workspace import Workspace
from genloom.types import Message

DEFAULT_MAX_REPLY_TOKENS = 512  # symbols an answer has at most where nobody says how many


@dataclass(frozen=True)
class TruncatedConversation:
    """What of a conversation the model is given to read."""

    prompt_ids: np.ndarray  # L, int64; ends with the marker that opens the answer
    num_dropped: int  # messages left out at the beginning
    is_cut: bool  # whether the beginning of the last message is left out too


def get_chat_codec(model: Model) -> ChatCodec:
    """The model's codec, which knows how conversations are written; ValueError where the model has never met any.

    A codec that is learned here has symbols for roles; a model comes to know them by being tuned or as an import.
    """
    card = {} if model.folder is None else model.folder.card
    is_tuned_or_imported = bool(card.get("parents") or card.get("source"))
    if (
        not is_tuned_or_imported
        or getattr(model.codec, "chat_template", None) is None
        or not engine.is_left_to_right(model)
    ):
        raise ValueError(
            f"The model {model.ref} cannot chat: it knows no roles, since it learned plain text. Tune it on "
            f"conversations (genloom train DATA --from {model.ref}), import one that chats (genloom import smollm2), "
            "or use genloom generate."
        )
    return cast(ChatCodec, model.codec)


def build_messages(conversation: Conversation) -> list[Message]:
    """The system prompt, where there is one, and what was said."""
    system = [Message("system", conversation.system)] if conversation.system else []
    return [*system, *conversation.messages]


def truncate_conversation(codec: ChatCodec, messages: Sequence[Message], max_length: int) -> TruncatedConversation:
    """The conversation in at most `length` symbols: system prompt and newest turns, of an over-long last one its end.

    A turn, a question and its answer, is dropped as a whole. Raises ValueError where there is no room even for the
    system prompt.
    """
    system_messages = [message for message in messages[:1] if message.role == "system"]
    chat_messages = list(messages[len(system_messages) :])
    assert chat_messages, "there is something to answer"
    num_dropped = 0
    while len(
        ids := render(codec, [*system_messages, *chat_messages], add_generation_prompt=True)[0]
    ) > max_length and _find_second_question(chat_messages):
        num_dropped, chat_messages = (
            num_dropped + _find_second_question(chat_messages),
            chat_messages[_find_second_question(chat_messages) :],
        )
    is_cut = len(ids) > max_length
    while (excess := len(ids) - max_length) > 0:
        last_ids = np.asarray(codec.encode(chat_messages[-1].content))
        if excess >= len(last_ids):
            raise ValueError(
                f"The model reads {max_length} symbols of a conversation, and {len(ids) - len(last_ids)} of them are the "
                "system prompt and the markers of the roles: nothing can be asked. Shorten the system prompt."
            )
        tail = codec.decode_bytes(last_ids[excess:]).decode(errors="ignore")
        chat_messages = [*chat_messages[:-1], Message(chat_messages[-1].role, tail)]
        ids = render(codec, [*system_messages, *chat_messages], add_generation_prompt=True)[0]
    return TruncatedConversation(ids, num_dropped, is_cut)


def _find_second_question(messages: Sequence[Message]) -> int:
    """Where the second question stands; 0 where there is only one."""
    return next((i for i, message in enumerate(messages) if i and message.role == "user"), 0)


def build_chat_batch(
    model: Model, conversations: Sequence[Sequence[Message]], seed: int | None, params: Mapping[str, Any]
) -> tuple[engine.Request, list[TruncatedConversation]]:
    """The request for an answer to each conversation, whose last word is the user's, and what of them the model reads.

    At least half of what the model reads at once is the conversation's. Without a seed every answer is another.
    Raises ValueError where the model cannot chat.
    """
    codec, context_length = get_chat_codec(model), model.design.context_length
    max_tokens = int(params.get("max_tokens") or DEFAULT_MAX_REPLY_TOKENS)
    prompts = [
        truncate_conversation(codec, messages, context_length - min(max_tokens, context_length // 2))
        for messages in conversations
    ]
    last_messages = [messages[-1].content for messages in conversations]
    request = engine.build_request(last_messages, 1, seed, (), {**params, "max_tokens": max_tokens})
    return replace(
        request, ids=tuple(tuple(prompt.prompt_ids.tolist()) for prompt in prompts), ends=get_eos_ids(codec)
    ), prompts


def build_chat_request(
    model: Model, messages: Sequence[Message], seed: int | None, params: Mapping[str, Any]
) -> tuple[engine.Request, TruncatedConversation]:
    """The same for one conversation."""
    request, (prompt,) = build_chat_batch(model, [messages], seed, params)
    return request, prompt


def store_reply(
    workspace: Workspace, model: Model, conversation: Conversation, request: engine.Request, draft: engine.Draft
) -> Conversation:
    """Store the answer as an output that can be replayed; returns the conversation with it, not yet kept itself."""
    message_records = [{"role": message.role, "content": message.content} for message in build_messages(conversation)]
    (output_id,) = engine.store_outputs(
        workspace, model, engine.truncate_request(request, draft), draft, {"conversation": message_records}
    )
    return conversation.with_answer(draft.continuations[0], model.ref, output_id)
