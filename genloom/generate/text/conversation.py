"""Chat replies: conversations as tokens, truncated to the context, and replies stored as outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from genloom.capabilities import get_chat_template
from genloom.codecs.chat_template import ChatCodec, get_eos_ids, render
from genloom.errors import GenloomError
from genloom.generate import engine
from genloom.model import Model
from genloom.store.conversation import Conversation
from genloom.store.workspace import Workspace
from genloom.types import Message

DEFAULT_MAX_REPLY_TOKENS = 512


@dataclass(frozen=True)
class TruncatedConversation:
    """The part of a conversation that the model reads."""

    prompt_ids: np.ndarray  # L, int64; ends with the generation prompt
    num_dropped: int  # messages dropped at the beginning
    is_cut: bool  # whether the beginning of the last message is cut too


def get_chat_codec(model: Model) -> ChatCodec:
    """Return the model's codec, with its chat template; raises ValueError if the model was not trained on chats.

    Every codec of ours has role tokens, but a model learns their use only by fine-tuning, or before it was imported.
    """
    card = {} if model.folder is None else model.folder.card
    is_tuned_or_imported = bool(card.get("parents") or card.get("source"))
    if not is_tuned_or_imported or get_chat_template(model.codec) is None or not engine.is_left_to_right(model):
        raise GenloomError("generate.cannot_chat", model=model.ref)
    return cast(ChatCodec, model.codec)


def build_messages(conversation: Conversation) -> list[Message]:
    """Return the system prompt, if any, and the messages."""
    system = [Message("system", conversation.system)] if conversation.system else []
    return [*system, *conversation.messages]


def truncate_conversation(codec: ChatCodec, messages: Sequence[Message], max_length: int) -> TruncatedConversation:
    """Truncate a conversation to `max_length` tokens: keep the system prompt and the newest turns.

    A turn (question and answer) is dropped as a whole; only the last message is cut, at its beginning. Raises
    ValueError if the system prompt alone is too long.
    """
    system_messages = [message for message in messages[:1] if message.role == "system"]
    chat_messages = list(messages[len(system_messages) :])
    assert chat_messages, "a conversation to reply to has a message"
    num_dropped = 0
    ids = render(codec, [*system_messages, *chat_messages], add_generation_prompt=True)[0]
    while len(ids) > max_length and (num_oldest := _find_second_question(chat_messages)):
        num_dropped, chat_messages = num_dropped + num_oldest, chat_messages[num_oldest:]
        ids = render(codec, [*system_messages, *chat_messages], add_generation_prompt=True)[0]
    is_cut = len(ids) > max_length
    while (excess := len(ids) - max_length) > 0:
        last_ids = np.asarray(codec.encode(chat_messages[-1].content))
        if excess >= len(last_ids):
            raise GenloomError(
                "generate.system_prompt_too_long", max_length=max_length, num_tokens=len(ids) - len(last_ids)
            )
        tail = codec.decode_bytes(last_ids[excess:]).decode(errors="ignore")
        chat_messages = [*chat_messages[:-1], Message(chat_messages[-1].role, tail)]
        ids = render(codec, [*system_messages, *chat_messages], add_generation_prompt=True)[0]
    return TruncatedConversation(ids, num_dropped, is_cut)


def _find_second_question(messages: Sequence[Message]) -> int:
    """Return the index of the second question; 0 if there is only one."""
    return next((i for i, message in enumerate(messages) if i and message.role == "user"), 0)


def build_chat_batch(
    model: Model, conversations: Sequence[Sequence[Message]], seed: int | None, params: Mapping[str, Any]
) -> tuple[engine.Request, list[TruncatedConversation]]:
    """Build the request for a reply to each conversation, which ends with a user message, and the truncated prompts.

    At least half of the context is the conversation's. Without a seed, every reply differs. Raises ValueError if the
    model cannot chat.
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
        request, prompt_ids=tuple(tuple(prompt.prompt_ids.tolist()) for prompt in prompts), eos_ids=get_eos_ids(codec)
    ), prompts


def build_chat_request(
    model: Model, messages: Sequence[Message], seed: int | None, params: Mapping[str, Any]
) -> tuple[engine.Request, TruncatedConversation]:
    """Build the request for a reply to one conversation."""
    request, (prompt,) = build_chat_batch(model, [messages], seed, params)
    return request, prompt


def store_reply(
    workspace: Workspace, model: Model, conversation: Conversation, request: engine.Request, draft: engine.Draft
) -> Conversation:
    """Store the reply as an output that can be replayed; return the conversation with it, which is not stored yet."""
    message_records = [{"role": message.role, "content": message.content} for message in build_messages(conversation)]
    (output_id,) = engine.store_outputs(
        workspace, model, engine.truncate_request(request, draft), draft, {"conversation": message_records}
    )
    return conversation.with_answer(draft.continuations[0], model.ref, output_id)
