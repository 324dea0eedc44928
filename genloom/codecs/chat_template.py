"""Conversations as tokens: markers may contain special tokens, the contents of messages never do."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.capabilities import ChatCodec
from genloom.codecs.codec_json import read_json
from genloom.errors import GenloomError
from genloom.settings import parse_settings
from genloom.text_format import fix_surrogates
from genloom.types import Message

if TYPE_CHECKING:
    from typing_extensions import TypeIs

ROLES = ("system", "user", "assistant")
_FILE = "chat.json"


@dataclass(frozen=True)
class ChatTemplate:
    """The text around each message. `<|im_start|>` anywhere in a marker is the special token of that name."""

    prefixes: Mapping[str, str]  # role -> the text before its content, "<|im_start|>user\n"
    suffixes: Mapping[str, str]  # role -> the text after its content, "<|im_end|>\n"
    eos_tokens: tuple[str, ...]  # special tokens that end an answer
    default_system: str = ""  # the system message of a conversation without one; "": omit it
    bos_text: str = ""  # the text before the conversation, "<s>"
    # The prefix of a user message that follows a system message, if it differs (Llama 2).
    user_prefix_after_system: str | None = None
    # The text before the answer to generate, if it differs from prefixes["assistant"].
    generation_prompt: str | None = None
    should_strip: bool = False  # strip blanks around a content

    def __post_init__(self) -> None:
        for markers in (self.prefixes, self.suffixes):
            if unknown := sorted(set(markers) - set(ROLES)):
                raise GenloomError("codecs.unknown_role", role=unknown[0], known=", ".join(ROLES))
        required_roles = {"user", "assistant", *(("system",) if self.default_system else ())}
        if not self.eos_tokens or not required_roles <= set(self.prefixes):
            raise GenloomError("codecs.chat_template_incomplete")


@dataclass(frozen=True)
class MessageSegments:
    """A message with markers of its own, such as the result of a tool: none of it is learned."""

    prefix: str  # a marker
    pieces: tuple[tuple[str, bool], ...]  # of its content: a text, and whether that is a marker
    suffix: str  # a marker


# Returns the segments of a message, by its number among all; None: those of the template.
RenderMessage = Callable[[ChatTemplate, Sequence[Message], int], "MessageSegments | None"]

# The template of the codecs that are trained here.
DEFAULT_CHAT_TEMPLATE = ChatTemplate(
    prefixes={role: f"<|{role}|>" for role in ROLES},
    suffixes={"assistant": "<|stop|>"},
    eos_tokens=("<|stop|>",),
    bos_text="<|stop|>",
)


def is_conversation(value: Any) -> "TypeIs[Sequence[Message]]":
    """Return whether a value is a conversation: messages, and not a value of a medium."""
    return isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], Message)


def render_chat(
    codec: ChatCodec,
    messages: Sequence[Message],
    add_generation_prompt: bool,
    render_message: "RenderMessage | None" = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of the conversation (L, int64), and which of them the assistant writes (L, bool).

    The assistant writes its contents, each with the EOS token after it. With `add_generation_prompt`, the ids end with
    the marker that begins an answer. The name of a special token inside a content is plain text. Raise ValueError if
    the codec has no chat template, or the template lacks the role of a message. `render_message` writes messages that
    the template does not know.
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

    for text, is_marker, is_target in iter_segments(template, messages, add_generation_prompt, render_message):
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
    """Return the ids of the tokens that end an answer."""
    return tuple(codec.special_tokens[token] for token in require_chat_template(codec).eos_tokens)


def require_chat_template(codec: ChatCodec) -> ChatTemplate:
    """Return the chat template of the codec; raise ValueError if it has none."""
    if codec.chat_template is None:
        raise GenloomError("codecs.no_chat_template")
    return codec.chat_template


def save_chat_template(template: ChatTemplate | None, folder: Path) -> None:
    """Write `chat.json` into the folder of a codec, if there is a template."""
    if template is not None:
        (folder / _FILE).write_text(json.dumps(asdict(template), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_chat_template(folder: Path, special_tokens: Mapping[str, int]) -> ChatTemplate | None:
    """Load the template in the folder of a codec, if there is one; ValueError names the file that is damaged."""
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        template = parse_settings(ChatTemplate, read_json(path), "chat_template")
        if missing := [token for token in template.eos_tokens if token not in special_tokens]:
            raise GenloomError("codecs.chat_template_token_missing", token=missing[0])
    except (ValueError, TypeError) as error:
        raise GenloomError("codecs.damaged_chat_template", path=path, reason=str(error).removesuffix(".")) from error
    return template


def iter_segments(
    template: ChatTemplate,
    messages: Sequence[Message],
    add_generation_prompt: bool,
    render_message: "RenderMessage | None" = None,
) -> Iterator[tuple[str, bool, bool]]:
    """Yield each segment of text, whether it is a marker, and whether the assistant writes it."""
    yield template.bos_text, True, False
    if template.default_system and not (messages and messages[0].role == "system"):
        messages = [Message("system", template.default_system), *messages]
    previous_role = ""
    for number, message in enumerate(messages):
        role = message.role
        segments = render_message(template, messages, number) if render_message else None
        if segments is not None:
            yield segments.prefix, True, False
            for text, is_marker in segments.pieces:
                yield text, is_marker, False
            yield segments.suffix, True, False
            previous_role = role
            continue
        is_target = role == "assistant" and message.is_learned
        if role not in template.prefixes:
            raise GenloomError("codecs.role_not_in_template", role=role, known=", ".join(template.prefixes))
        is_after_system = role == "user" and previous_role == "system" and template.user_prefix_after_system is not None
        yield (template.user_prefix_after_system or "" if is_after_system else template.prefixes[role]), True, False
        yield (message.content.strip() if template.should_strip else message.content), False, is_target
        suffix = template.suffixes.get(role, "")
        eos_end = max((suffix.find(token) + len(token) for token in template.eos_tokens if token in suffix), default=0)
        yield suffix[:eos_end], True, is_target
        yield suffix[eos_end:], True, False
        previous_role = role
    if add_generation_prompt:
        prompt = template.prefixes["assistant"] if template.generation_prompt is None else template.generation_prompt
        yield prompt, True, False


def _split_marker(marker: str, special_tokens: Mapping[str, int]) -> list[str]:
    """Split a marker at the special tokens in it, longest names first."""
    contained_names = sorted((name for name in special_tokens if name in marker), key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, contained_names))})", marker) if contained_names else [marker]


def _encode_segments(codec: ChatCodec, segments: list[tuple[str, bool]]) -> tuple[np.ndarray, np.ndarray]:
    """Encode the text between two special tokens as one string, as in training; the last byte of an id is decisive."""
    ids = np.asarray(codec.encode("".join(text for text, _ in segments)))
    is_target_byte = np.concatenate(
        [np.full(len(fix_surrogates(text).encode()), is_target) for text, is_target in segments]
    )
    if not len(ids) or not is_target_byte.any() or is_target_byte.all():
        return ids, np.full(len(ids), bool(is_target_byte.all()))
    ends = np.cumsum([len(codec.decode_bytes(ids[i : i + 1])) for i in range(len(ids))])
    ends -= ends[-1] - len(is_target_byte)  # some vocabularies write a blank before the text
    return ids, is_target_byte[np.clip(ends - 1, 0, len(is_target_byte) - 1)]
