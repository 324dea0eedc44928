"""Conversations that were already rendered: turns between the markers of a chat template, in a text.

ChatML        <|im_start|>user⏎ … <|im_end|>
Llama 3       <|start_header_id|>user<|end_header_id|>⏎⏎ … <|eot_id|>
Gemma         <start_of_turn>user⏎ … <end_of_turn>
Phi, Zephyr   <|user|>⏎ … <|end|> or </s>
Llama 2       [INST] … [/INST] … </s>
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from genloom.types import Message

_ROLES = "system|developer|user|human|assistant|gpt|bot|model"
_ROLE_NAMES = {"developer": "system", "human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
# Around a whole conversation; a new one begins after them.
_BOUNDARY = re.compile(r"<\|begin_of_text\|>|<\|endoftext\|>|<\|end_of_text\|>|<s>|</s>|<bos>|<eos>")
_SYSTEM_BEGIN, _SYSTEM_END = "<<SYS>>", "<</SYS>>"  # of Llama 2, in the first question


@dataclass(frozen=True)
class _Markup:
    marker: re.Pattern[str]  # the beginning of a turn, with its role
    ends: tuple[str, ...]  # of a turn


_MARKUPS = (
    _Markup(re.compile(rf"<\|im_start\|>[ \t]*({_ROLES})\b[ \t]*\n?"), ("<|im_end|>",)),
    _Markup(
        re.compile(rf"<\|start_header_id\|>[ \t]*({_ROLES})[ \t]*<\|end_header_id\|>\n{{0,2}}"),
        ("<|eot_id|>", "<|end_of_text|>"),
    ),
    _Markup(re.compile(rf"<start_of_turn>[ \t]*({_ROLES})\b[ \t]*\n?"), ("<end_of_turn>",)),
    _Markup(re.compile(r"<\|(system|user|assistant)\|>[ \t]*\n?"), ("<|end|>", "</s>", "<|endoftext|>")),
)
MARKER = re.compile(
    r"<\|im_start\|>|<\|im_end\|>|<\|start_header_id\|>|<\|eot_id\|>|<start_of_turn>|<end_of_turn>"
    r"|<\|(?:system|user|assistant)\|>|\[/?INST\]"
)


def find_marker(text: str) -> str:
    """Return the first marker of a chat template in a text; "" for a text without."""
    if "<" not in text and "[" not in text:
        return ""
    found = MARKER.search(text)
    return found[0] if found else ""


def parse_marked_turns(text: str) -> list[tuple[Message, ...]]:
    """Return the conversations that a text consists of; [] if anything in it is not a turn between markers.

    A conversation ends before a system prompt, and at the markers of a text's beginning and end.
    """
    if not find_marker(text):
        return []
    turns = _parse_llama_2(text) if "[INST]" in text else _parse_roles(text)
    conversations = _split_conversations(turns)
    if any(MARKER.search(turn.content) for turns in conversations for turn in turns):
        return []
    return conversations if all(map(_is_complete, conversations)) else []


def _parse_roles(text: str) -> list[Message | None]:
    """Return the turns, None where a conversation begins; [] if the text holds anything else."""
    markup = next((each for each in _MARKUPS if each.marker.search(text)), None)
    if markup is None:
        return []
    before, *parts = markup.marker.split(text)
    if _BOUNDARY.sub("", before).strip():
        return []
    turns: list[Message | None] = []
    for role, content in zip(parts[::2], parts[1::2], strict=True):
        end = min((found, each) for each in (*markup.ends, "") if (found := _find_end(content, each)) >= 0)
        content, after = content[: end[0]], content[end[0] + len(end[1]) :]
        if _BOUNDARY.sub("", after).strip():
            return []
        turns.append(Message(_ROLE_NAMES.get(role, role), content.strip()))
        if _BOUNDARY.search(after):
            turns.append(None)
    if len(turns) > 1 and isinstance(last := turns[-1], Message) and last.role == "assistant" and not last.content:
        turns.pop()  # the marker that asks for an answer
    return turns


def _find_end(content: str, end: str) -> int:
    return content.find(end) if end else len(content)


def _parse_llama_2(text: str) -> list[Message | None]:
    before, *parts = re.split(r"\[(/?)INST\]", text)
    # The pieces of the text follow the slash of their marker: questions and answers in turn.
    if _BOUNDARY.sub("", before).strip() or parts[::2] != ["", "/"] * (len(parts) // 4):
        return []
    turns: list[Message | None] = []
    for question, answer in zip(parts[1::4], parts[3::4], strict=True):
        if question.lstrip().startswith(_SYSTEM_BEGIN) and _SYSTEM_END in question:
            system, _, question = question.lstrip().removeprefix(_SYSTEM_BEGIN).partition(_SYSTEM_END)
            turns.append(Message("system", system.strip()))
        answer, *others = _BOUNDARY.split(answer)
        if any(other.strip() for other in others):
            return []
        turns += [Message("user", question.strip()), Message("assistant", answer.strip())]
        if len(others) > 1:  # </s> follows each answer, and <s> begins a text
            turns.append(None)
    return turns


def _split_conversations(turns: Sequence[Message | None]) -> list[tuple[Message, ...]]:
    conversations: list[list[Message]] = [[]]
    for turn in turns:
        if turn is None or (turn.role == "system" and conversations[-1]):
            conversations.append([])
        if turn is not None:
            conversations[-1].append(turn)
    return [tuple(each) for each in conversations if each]


def _is_complete(turns: Sequence[Message]) -> bool:
    """Return whether each turn has a text, and an assistant answers."""
    return all(turn.content for turn in turns) and any(turn.role == "assistant" for turn in turns)
