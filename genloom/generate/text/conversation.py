"""Chat replies: conversations as tokens, truncated to the context, and replies stored as outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from genloom.codecs.chat_template import ChatCodec, RenderMessage, get_eos_ids, render_chat
from genloom.errors import GenloomError
from genloom.generate import engine, output_records
from genloom.generate.prompt_notes import describe_unread
from genloom.model import Model
from genloom.store.conversation import Conversation
from genloom.store.workspace import Workspace
from genloom.types import Message

DEFAULT_MAX_REPLY_TOKENS = 512
_RECORDED_ROLES = {"tool": "user", "tools": "system"}  # of messages about tools, as models without them learn
# A chat model of a hundred million weights rambles at the temperature that suits a story.
DEFAULT_PARAMS: Mapping[str, Any] = {
    "max_tokens": DEFAULT_MAX_REPLY_TOKENS,
    "temperature": 0.3,
    "top_p": 0.9,
    "repetition_penalty": 1.05,
}


@dataclass(frozen=True)
class TruncatedConversation:
    """The part of a conversation that the model reads."""

    prompt_ids: np.ndarray  # L, int64; ends with the generation prompt
    num_dropped: int  # messages dropped at the beginning
    is_cut: bool  # whether the beginning of the last message is cut too
    num_unread: int = 0  # tokens of the conversation that are not read


def get_chat_codec(model: Model) -> ChatCodec:
    """Return the model's codec, with its chat template; raises ValueError if the model was not trained on chats.

    Every codec of ours has role tokens, but a model learns their use only by fine-tuning, or before it was imported.
    """
    if not isinstance(model.codec, ChatCodec) or not engine.is_left_to_right(model):
        raise GenloomError("generate.cannot_chat_kind", model=model.ref)
    if model.codec.chat_template is None:
        raise GenloomError("generate.cannot_chat_template", model=model.ref)
    if model.folder is None or not model.folder.has_learned_roles:
        raise GenloomError("generate.cannot_chat", model=model.ref)
    return model.codec


def can_chat(model: Model) -> bool:
    """Return whether the model can answer questions."""
    try:
        get_chat_codec(model)
    except ValueError:
        return False
    return True


def is_assistant(workspace: Workspace, model: Model) -> bool:
    """Return whether the model was tuned on conversations here, so that it answers a prompt and does not continue it.

    The cards of the model and of its adapters say so; for one of an earlier version, the first documents of its data.
    """
    if model.folder is None or not can_chat(model):
        return False
    folders = [model.folder, *(workspace.get_model(ref) for ref in model.adapters)]
    return any(is_chat_card(workspace, folder.card) for folder in folders)


def is_chat_card(workspace: Workspace, card: Mapping[str, Any]) -> bool:
    """Return whether a card is that of a model that was tuned on conversations."""
    if "chat" in card or not card.get("parents"):
        return bool(card.get("chat"))
    data_card = card.get("data") or {}
    try:
        dataset = workspace.get_dataset(data_card.get("name", ""), data_card.get("digest", ""))
    except ValueError:
        return False
    return any("turns" in item.meta for item in islice(dataset.iter_documents("train"), 64))


def choose_chat(workspace: Workspace, models: Sequence[Model], is_chat: bool | None = None) -> bool:
    """Return whether prompts are questions: as asked, else if one of the models is an assistant and all can chat.

    Raises ValueError if it is asked of a model that cannot chat.
    """
    if is_chat:
        for model in models:
            get_chat_codec(model)
    if is_chat is not None:
        return is_chat
    return any(is_assistant(workspace, model) for model in models) and all(map(can_chat, models))


def as_questions(model: Model, request: engine.Request) -> tuple[engine.Request, list[TruncatedConversation]]:
    """Return the request with each prompt as the question of a conversation of its own, and what is read of each."""
    conversations = [[Message("user", prompt)] for prompt in request.prompts]
    chat_request, contexts = build_chat_batch(model, conversations, 0, request.params)
    chat_request = replace(chat_request, nonces=request.nonces, stop=request.stop, given=request.given)
    return replace(chat_request, grammar=request.grammar, stop_loops=not request.grammar), contexts


def build_messages(conversation: Conversation) -> list[Message]:
    """Return the system prompt, if any, and the messages."""
    system = [Message("system", conversation.system)] if conversation.system else []
    return [*system, *conversation.messages]


def truncate_conversation(
    codec: ChatCodec, messages: Sequence[Message], max_length: int, render_message: RenderMessage | None = None
) -> TruncatedConversation:
    """Truncate a conversation to `max_length` tokens: keep the system prompt and the newest turns.

    A turn (question and answer) is dropped as a whole; only the last message is cut, at its beginning. Raises
    ValueError if the system prompt alone is too long. `render_message` is that of `render_chat`.
    """

    def render(messages: Sequence[Message]) -> np.ndarray:
        return render_chat(codec, messages, add_generation_prompt=True, render_message=render_message)[0]

    system_messages = [message for message in messages[:1] if message.role == "system"]
    chat_messages = list(messages[len(system_messages) :])
    assert chat_messages, "a conversation to reply to has a message"
    num_dropped = 0
    ids = render([*system_messages, *chat_messages])
    num_tokens = len(ids)
    while len(ids) > max_length and (num_oldest := _find_second_question(chat_messages)):
        num_dropped, chat_messages = num_dropped + num_oldest, chat_messages[num_oldest:]
        ids = render([*system_messages, *chat_messages])
    is_cut = len(ids) > max_length
    while (excess := len(ids) - max_length) > 0:
        last_ids = np.asarray(codec.encode(chat_messages[-1].content))
        if excess >= len(last_ids):
            raise GenloomError(
                "generate.system_prompt_too_long", max_length=max_length, num_tokens=len(ids) - len(last_ids)
            )
        tail = codec.decode_bytes(last_ids[excess:]).decode(errors="ignore")
        chat_messages = [*chat_messages[:-1], replace(chat_messages[-1], content=tail)]
        ids = render([*system_messages, *chat_messages])
    return TruncatedConversation(ids, num_dropped, is_cut, num_tokens - len(ids))


def _find_second_question(messages: Sequence[Message]) -> int:
    """Return the index of the second question; 0 if there is only one."""
    return next((i for i, message in enumerate(messages) if i and message.role == "user"), 0)


def build_chat_batch(
    model: Model,
    conversations: Sequence[Sequence[Message]],
    seed: int | None,
    params: Mapping[str, Any],
    render_message: RenderMessage | None = None,
) -> tuple[engine.Request, list[TruncatedConversation]]:
    """Build the request for a reply to each conversation, which ends with a user message, and the truncated prompts.

    At least half of the context is the conversation's. Without a seed, every reply differs. Raises ValueError if the
    model cannot chat.
    """
    codec, context_length = get_chat_codec(model), model.design.context_length
    max_tokens = int(params.get("max_tokens") or DEFAULT_MAX_REPLY_TOKENS)
    prompts = [
        truncate_conversation(codec, messages, context_length - min(max_tokens, context_length // 2), render_message)
        for messages in conversations
    ]
    last_messages = [messages[-1].content for messages in conversations]
    request = engine.build_request(last_messages, 1, seed, (), {**params, "max_tokens": max_tokens})
    prompt_ids = tuple(tuple(prompt.prompt_ids.tolist()) for prompt in prompts)
    return replace(request, prompt_ids=prompt_ids, eos_ids=get_eos_ids(codec), stop_loops=True), prompts


def build_chat_request(
    model: Model,
    messages: Sequence[Message],
    seed: int | None,
    params: Mapping[str, Any],
    render_message: RenderMessage | None = None,
) -> tuple[engine.Request, TruncatedConversation]:
    """Build the request for a reply to one conversation."""
    request, (prompt,) = build_chat_batch(model, [messages], seed, params, render_message)
    return request, prompt


def describe_question(question: str, context: TruncatedConversation) -> dict[str, Any]:
    """Return the fields of the record of an answer."""
    return {"conversation": [{"role": "user", "content": question}], **describe_unread(context.num_unread)}


def describe_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return messages for the record of an answer, those about tools in the roles that every template has."""
    return [{"role": _RECORDED_ROLES.get(each.role, each.role), "content": each.content} for each in messages]


def store_reply(
    workspace: Workspace,
    model: Model,
    conversation: Conversation,
    request: engine.Request,
    draft: engine.Draft,
    context: TruncatedConversation,
    *,
    messages: Sequence[Message] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Conversation:
    """Store the reply as an output that can be replayed; return the conversation with it, which is not stored yet.

    `messages` are those that the model read, if they differ from the conversation; `facts` are further fields of the
    record.
    """
    message_records = describe_messages(build_messages(conversation) if messages is None else messages)
    (output_id,) = output_records.store_outputs(
        workspace,
        model,
        engine.truncate_request(request, draft),
        draft,
        {"conversation": message_records, **describe_unread(context.num_unread), **(facts or {})},
    )
    return conversation.with_answer(draft.continuations[0], model.ref, output_id)
