"""How a conversation is written as symbols: markers may hold special symbols, what people say never does."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from genloom.codecs.codec_json import read_json
from genloom.codecs.text_tokens import fix_surrogates
from genloom.settings import parse
from genloom.types import Message

ROLES = ("system", "user", "assistant")
_FILE = "chat.json"


@dataclass(frozen=True)
class ChatTemplate:
    """The text around each turn. The marker `<|im_start|>` is the special symbol of that name, wherever it stands."""

    prefixes: Mapping[str, str]  # role -> what stands before its content, "<|im_start|>user\n"
    suffixes: Mapping[str, str]  # role -> what stands after it, "<|im_end|>\n"
    eos_tokens: tuple[str, ...]  # special symbols that end an answer
    default_system: str = ""  # the system turn where the conversation has none; "": none is written
    bos_text: str = ""  # what stands before everything, "<s>"
    user_prefix_after_system: str | None = (
        None  # before a user's turn that follows a system turn, where that differs (Llama 2)
    )
    generation_prompt: str | None = (
        None  # what opens the answer to be written, where it differs from before["assistant"]
    )
    should_strip: bool = False  # whether blanks around a content are left out

    def __post_init__(self) -> None:
        for markers in (self.prefixes, self.suffixes):
            if unknown := sorted(set(markers) - set(ROLES)):
                raise ValueError(f"There is no role {unknown[0]!r}: a conversation has {', '.join(ROLES)}.")
        if not self.eos_tokens or not {"user", "assistant"} <= set(self.prefixes):
            raise ValueError("A conversation needs markers for user and assistant, and a symbol that ends an answer.")


# The roles of the codecs that are learned here.
DEFAULT_CHAT_TEMPLATE = ChatTemplate(
    prefixes={role: f"<|{role}|>" for role in ROLES},
    suffixes={"assistant": "<|stop|>"},
    eos_tokens=("<|stop|>",),
    bos_text="<|stop|>",
)


class ChatCodec(Protocol):
    """What a codec needs so that conversations can be written with it."""

    @property
    def chat_template(self) -> ChatTemplate | None: ...

    @property
    def special_tokens(self) -> dict[str, int]: ...

    def encode(self, value: str) -> np.ndarray: ...

    def decode_bytes(self, ids: Sequence[int] | np.ndarray) -> bytes: ...


def render(codec: ChatCodec, messages: Sequence[Message], add_generation_prompt: bool) -> tuple[np.ndarray, np.ndarray]:
    """The conversation as ids (L, int64), and which of them the assistant has to write (L, bool).

    Those are its contents, each with the stop after it. With `reply` the ids end with the marker that opens an answer.
    The name of a special symbol inside a content is plain text. Raises ValueError where the codec has no roles, or
    not the role of a message.
    """
    template = require_chat_template(codec)
    ids: list[np.ndarray] = []
    target_masks: list[np.ndarray] = []
    pending: list[tuple[str, bool]] = []

    def flush_pending() -> None:
        if pending:
            encoded_ids, is_target = _encode_segments(codec, pending)
            ids.append(encoded_ids)
            target_masks.append(is_target)
            pending.clear()

    for text, is_marker, is_target in _iter_segments(template, messages, add_generation_prompt):
        for part in _split_marker(text, codec.special_tokens) if is_marker else [text]:
            if is_marker and part in codec.special_tokens:
                flush_pending()
                ids.append(np.array([codec.special_tokens[part]]))
                target_masks.append(np.array([is_target]))
            elif part:
                pending.append((part, is_target))
    flush_pending()
    if not ids:
        return np.empty(0, np.int64), np.empty(0, bool)
    return np.concatenate(ids).astype(np.int64), np.concatenate(target_masks)


def get_eos_ids(codec: ChatCodec) -> tuple[int, ...]:
    """The symbols that end an answer."""
    return tuple(codec.special_tokens[token] for token in require_chat_template(codec).eos_tokens)


def require_chat_template(codec: ChatCodec) -> ChatTemplate:
    """The codec's roles; ValueError where it has none."""
    if codec.chat_template is None:
        raise ValueError(
            "This model knows no roles: nothing says how a conversation is written for it. "
            "Use genloom generate, or train it on conversations first."
        )
    return codec.chat_template


def save_chat_template(template: ChatTemplate | None, folder: Path) -> None:
    """Write `chat.json` into a codec's folder, where there are roles."""
    if template is not None:
        (folder / _FILE).write_text(json.dumps(asdict(template), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_chat_template(folder: Path, special_tokens: Mapping[str, int]) -> ChatTemplate | None:
    """The roles in a codec's folder, None where it has none; ValueError names the file that is damaged."""
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        template = parse(ChatTemplate, read_json(path), "roles")
        if missing := [token for token in template.eos_tokens if token not in special_tokens]:
            raise ValueError(f"the codec has no special symbol {missing[0]!r}")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} can't be used: {error}. Restore the model's folder or import it again.") from error
    return template


def _iter_segments(
    template: ChatTemplate, messages: Sequence[Message], add_generation_prompt: bool
) -> Iterator[tuple[str, bool, bool]]:
    """Each piece of text, whether it is a marker, and whether the assistant has to write it."""
    yield template.bos_text, True, False
    if template.default_system and not (messages and messages[0].role == "system"):
        messages = [Message("system", template.default_system), *messages]
    previous_role = ""
    for message in messages:
        role = message.role
        if role not in template.prefixes:
            raise ValueError(
                f"This model's conversations have no role {role!r}; there is {', '.join(template.prefixes)}."
            )
        is_after_system = role == "user" and previous_role == "system" and template.user_prefix_after_system is not None
        yield (template.user_prefix_after_system or "" if is_after_system else template.prefixes[role]), True, False
        yield (message.content.strip() if template.should_strip else message.content), False, role == "assistant"
        suffix = template.suffixes.get(role, "")
        eos_end = max((suffix.find(token) + len(token) for token in template.eos_tokens if token in suffix), default=0)
        yield suffix[:eos_end], True, role == "assistant"
        yield suffix[eos_end:], True, False
        previous_role = role
    if add_generation_prompt:
        yield (
            (template.prefixes["assistant"] if template.generation_prompt is None else template.generation_prompt),
            True,
            False,
        )


def _split_marker(marker: str, special_tokens: Mapping[str, int]) -> list[str]:
    """A marker cut at the special symbols in it, longest names first."""
    contained_names = sorted((name for name in special_tokens if name in marker), key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, contained_names))})", marker) if contained_names else [marker]


def _encode_segments(codec: ChatCodec, segments: list[tuple[str, bool]]) -> tuple[np.ndarray, np.ndarray]:
    """Text between two special symbols is encoded as one, as the model has seen it; each id is its last byte's."""
    ids = np.asarray(codec.encode("".join(text for text, _ in segments)))
    is_target_byte = np.concatenate(
        [np.full(len(fix_surrogates(text).encode()), is_target) for text, is_target in segments]
    )
    if not len(ids) or not is_target_byte.any() or is_target_byte.all():
        return ids, np.full(len(ids), bool(is_target_byte.all()))
    ends = np.cumsum([len(codec.decode_bytes(ids[i : i + 1])) for i in range(len(ids))])
    ends -= ends[-1] - len(is_target_byte)  # some vocabularies write a blank before the text
    return ids, is_target_byte[np.clip(ends - 1, 0, len(is_target_byte) - 1)]
