"""A conversation answered: put in the model's symbols, shortened to what it reads, the answer kept like any output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from genloom.codecs.roles import Speaking, stop_ids, written
from genloom.generate import engine
from genloom.model import Model
from genloom.store.conversation import Conversation
from genloom.store.workspace import Workspace
from genloom.types import Message

LENGTH = 512  # symbols an answer has at most where nobody says how many


@dataclass(frozen=True)
class Fitted:
    """What of a conversation the model is given to read."""

    ids: np.ndarray  # L, int64; ends with the marker that opens the answer
    dropped: int  # messages left out at the beginning
    cut: bool  # whether the beginning of the last message is left out too


def speaking(model: Model) -> Speaking:
    """The model's codec, which knows how conversations are written; ValueError where the model has never met any.

    A codec that is learned here has symbols for roles; a model comes to know them by being tuned or as an import.
    """
    card = {} if model.folder is None else model.folder.card
    taught = bool(card.get("parents") or card.get("source"))
    if not taught or getattr(model.codec, "roles", None) is None or not engine.left_to_right(model):
        raise ValueError(
            f"The model {model.ref} cannot chat: it knows no roles, since it learned plain text. Tune it on "
            f"conversations (genloom train DATA --from {model.ref}), import one that chats (genloom import smollm2), "
            "or use genloom generate."
        )
    return cast(Speaking, model.codec)


def messages_of(conversation: Conversation) -> list[Message]:
    """The system prompt, where there is one, and what was said."""
    system = [Message("system", conversation.system)] if conversation.system else []
    return [*system, *conversation.messages]


def fitted(codec: Speaking, messages: Sequence[Message], length: int) -> Fitted:
    """The conversation in at most `length` symbols: system prompt and newest turns, of an over-long last one its end.

    A turn, a question and its answer, is dropped as a whole. Raises ValueError where there is no room even for the
    system prompt.
    """
    head = [message for message in messages[:1] if message.role == "system"]
    rest = list(messages[len(head) :])
    assert rest, "there is something to answer"
    dropped = 0
    while len(ids := written(codec, [*head, *rest], reply=True)[0]) > length and _newer(rest):
        dropped, rest = dropped + _newer(rest), rest[_newer(rest) :]
    cut = len(ids) > length
    while (over := len(ids) - length) > 0:
        last = np.asarray(codec.encode(rest[-1].content))
        if over >= len(last):
            raise ValueError(
                f"The model reads {length} symbols of a conversation, and {len(ids) - len(last)} of them are the "
                "system prompt and the markers of the roles: nothing can be asked. Shorten the system prompt."
            )
        tail = codec.bytes_of(last[over:]).decode(errors="ignore")
        rest = [*rest[:-1], Message(rest[-1].role, tail)]
        ids = written(codec, [*head, *rest], reply=True)[0]
    return Fitted(ids, dropped, cut)


def _newer(messages: Sequence[Message]) -> int:
    """Where the second question stands; 0 where there is only one."""
    return next((i for i, message in enumerate(messages) if i and message.role == "user"), 0)


def questions(
    model: Model, conversations: Sequence[Sequence[Message]], seed: int | None, controls: Mapping[str, Any]
) -> tuple[engine.Request, list[Fitted]]:
    """The request for an answer to each conversation, whose last word is the user's, and what of them the model reads.

    At least half of what the model reads at once is the conversation's. Without a seed every answer is another.
    Raises ValueError where the model cannot chat.
    """
    codec, most = speaking(model), model.design.length
    room = int(controls.get("length") or LENGTH)
    given = [fitted(codec, messages, most - min(room, most // 2)) for messages in conversations]
    last = [messages[-1].content for messages in conversations]
    asked = engine.request(last, 1, seed, (), {**controls, "length": room})
    return replace(asked, ids=tuple(tuple(g.ids.tolist()) for g in given), ends=stop_ids(codec)), given


def question(
    model: Model, messages: Sequence[Message], seed: int | None, controls: Mapping[str, Any]
) -> tuple[engine.Request, Fitted]:
    """The same for one conversation."""
    asked, (given,) = questions(model, [messages], seed, controls)
    return asked, given


def keep(
    workspace: Workspace, model: Model, conversation: Conversation, asked: engine.Request, draft: engine.Draft
) -> Conversation:
    """Store the answer as an output that can be replayed; returns the conversation with it, not yet kept itself."""
    said = [{"role": message.role, "content": message.content} for message in messages_of(conversation)]
    (output,) = engine.store(workspace, model, engine.cut_short(asked, draft), draft, {"conversation": said})
    return conversation.answered(draft.written[0], model.ref, output)
