"""Conversations that were already rendered: turns between the markers of a chat template, in a text.

ChatML        <|im_start|>user⏎ … <|im_end|>
Llama 3       <|start_header_id|>user<|end_header_id|>⏎⏎ … <|eot_id|>
Gemma         <start_of_turn>user⏎ … <end_of_turn>
Phi-4         <|im_start|>user<|im_sep|> … <|im_end|>
Llama 4       <|header_start|>user<|header_end|>⏎⏎ … <|eot|>
DeepSeek      <｜User｜> … <｜Assistant｜> … <｜end▁of▁sentence｜>
Command R     <|START_OF_TURN_TOKEN|><|USER_TOKEN|> … <|END_OF_TURN_TOKEN|>
Phi, Zephyr   <|user|>⏎ … <|end|> or </s>
Llama 2       [INST] … [/INST] … </s>
Mistral       [SYSTEM_PROMPT] … [/SYSTEM_PROMPT] [INST] … [/INST] … </s>
Alpaca        ### Instruction:⏎ … ### Input:⏎ … ### Response:⏎ …
Guanaco       ### Human: … ### Assistant: …
Vicuna        USER: … ASSISTANT: … </s>
hh-rlhf       ⏎⏎Human: … ⏎⏎Assistant: …
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from genloom.types import Message

_ROLES = "system|developer|user|human|assistant|gpt|bot|model"
_ROLE_NAMES = {
    "developer": "system",
    "human": "user",
    **dict.fromkeys(("gpt", "bot", "model", "chatbot"), "assistant"),
}
# Around a whole conversation; a new one begins after them.
_BOUNDARY = re.compile(
    r"<\|begin_of_text\|>|<\|endoftext\|>|<\|end_of_text\|>|<s>|</s>|<bos>|<eos>|<BOS_TOKEN>|<｜begin▁of▁sentence｜>"
)
_SYSTEM_PROMPT = re.compile(r"\A(.*?)\[SYSTEM_PROMPT\](.*?)\[/SYSTEM_PROMPT\]", re.DOTALL)  # of Mistral
_SYSTEM_BEGIN, _SYSTEM_END = "<<SYS>>", "<</SYS>>"  # of Llama 2, in the first question


@dataclass(frozen=True)
class _Markup:
    marker: re.Pattern[str]  # the beginning of a turn, with its role
    ends: tuple[str, ...]  # of a turn


_MARKUPS = (
    _Markup(re.compile(rf"<\|im_start\|>[ \t]*({_ROLES})\b[ \t]*(?:<\|im_sep\|>)?\n?"), ("<|im_end|>",)),
    _Markup(re.compile(rf"<\|header_start\|>[ \t]*({_ROLES})[ \t]*<\|header_end\|>\n{{0,2}}"), ("<|eot|>",)),
    _Markup(re.compile(r"<｜(User|Assistant)｜>"), ("<｜end▁of▁sentence｜>",)),
    _Markup(re.compile(r"<\|START_OF_TURN_TOKEN\|><\|(SYSTEM|USER|CHATBOT)_TOKEN\|>"), ("<|END_OF_TURN_TOKEN|>",)),
    _Markup(
        re.compile(rf"<\|start_header_id\|>[ \t]*({_ROLES})[ \t]*<\|end_header_id\|>\n{{0,2}}"),
        ("<|eot_id|>", "<|end_of_text|>"),
    ),
    _Markup(re.compile(rf"<start_of_turn>[ \t]*({_ROLES})\b[ \t]*\n?"), ("<end_of_turn>",)),
    _Markup(re.compile(r"<\|(system|user|assistant)\|>[ \t]*\n?"), ("<|end|>", "</s>", "<|endoftext|>")),
)
# Templates of plain words: the mark of a question, and of its answer. Both must occur.
_ALPACA = re.compile(r"^### (Instruction|Input|Response):[ \t]*\n?", re.MULTILINE)
_ALPACA_PREFACE = re.compile(r"Below is an instruction that describes a task[^\n]*")
_WORD_MARKUPS = (
    re.compile(r"### (System|Human|User|Assistant): ?"),
    re.compile(r"(?:^|(?<=[ \n>]))(USER|ASSISTANT): ?", re.MULTILINE),
    re.compile(r"(?:\A\s*|\n\n)(Human|Assistant): "),
)
MARKER = re.compile(
    r"<\|im_start\|>|<\|im_end\|>|<\|start_header_id\|>|<\|eot_id\|>|<start_of_turn>|<end_of_turn>"
    r"|<\|(?:system|user|assistant)\|>|\[/?INST\]"
    r"|<\|im_sep\|>|<\|header_start\|>|<\|eot\|>|<｜(?:User|Assistant|end▁of▁sentence)｜>|<\|(?:START|END)_OF_TURN_TOKEN\|>"
)


def find_marker(text: str) -> str:
    """Return the first marker of a chat template in a text; "" for a text without."""
    if ("<" in text or "[" in text) and (found := MARKER.search(text)):
        return found[0]
    if "### Response:" in text and (found := _ALPACA.search(text)):
        return found[0].strip()
    if "### Assistant:" in text and (found := _WORD_MARKUPS[0].search(text)):
        return found[0].strip()
    if "ASSISTANT:" in text and (found := _WORD_MARKUPS[1].search(text)) and found[1] == "USER":
        return found[0].strip()
    if "\n\nAssistant: " in text and (found := _WORD_MARKUPS[2].match(text)) and found[1] == "Human":
        return found[0].strip()
    return ""


def parse_marked_turns(text: str) -> list[tuple[Message, ...]]:
    """Return the conversations that a text consists of; [] if anything in it is not a turn between markers.

    A conversation ends before a system prompt, and at the markers of a text's beginning and end.
    """
    if not find_marker(text):
        return []
    if "[INST]" in text:
        turns = _parse_llama_2(text)
    elif MARKER.search(text):
        turns = _parse_roles(text)
    else:
        turns = _parse_alpaca(text) if _ALPACA.search(text) else _parse_words(text)
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
        turns.append(Message(_ROLE_NAMES.get(role.lower(), role.lower()), content.strip()))
        if _BOUNDARY.search(after):
            turns.append(None)
    if len(turns) > 1 and isinstance(last := turns[-1], Message) and last.role == "assistant" and not last.content:
        turns.pop()  # the marker that asks for an answer
    return turns


def _parse_alpaca(text: str) -> list[Message | None]:
    """Return an instruction, with its input, and the answer, as often as they occur in a text."""
    before, *parts = _ALPACA.split(text)
    pieces = [(name, content.strip()) for name, content in zip(parts[::2], parts[1::2], strict=True)]
    if _ALPACA_PREFACE.sub("", _BOUNDARY.sub("", before)).strip():
        return []
    turns: list[Message | None] = []
    question: list[str] = []
    for name, content in pieces:
        if name != "Response":
            if question and name == "Instruction":
                return []
            question += [content] if content else []
            continue
        if not question:
            return []
        answer, has_end, after = _split_at_boundary(content)
        if _ALPACA_PREFACE.sub("", after).strip():
            return []
        turns += [Message("user", "\n\n".join(question)), Message("assistant", answer)]
        turns += [None] if has_end or after.strip() else []
        question = []
    return [] if question else turns


def _parse_words(text: str) -> list[Message | None]:
    """Return the turns of a template of plain words; a sentence before the first of them is the system prompt."""
    markup = next((each for each in _WORD_MARKUPS if each.search(text)), None)
    if markup is None:
        return []
    before, *parts = markup.split(text)
    before = _BOUNDARY.sub("", before).strip()
    if "\n\n" in before:  # more than an instruction
        return []
    turns: list[Message | None] = [Message("system", before)] if before else []
    for name, content in zip(parts[::2], parts[1::2], strict=True):
        content, _, after = _split_at_boundary(content)
        if after.strip():
            return []
        turns.append(Message(_ROLE_NAMES.get(name.lower(), name.lower()), content.strip()))
    roles = [turn.role for turn in turns if turn is not None and turn.role != "system"]
    return turns if roles == ["user", "assistant"] * (len(roles) // 2) else []


def _split_at_boundary(content: str) -> tuple[str, bool, str]:
    """Return a turn up to the marker of a text's end, whether there is one, and what stands behind it."""
    found = _BOUNDARY.search(content)
    if found is None:
        return content.strip(), False, ""
    return content[: found.start()].strip(), True, _BOUNDARY.sub("", content[found.end() :])


def _find_end(content: str, end: str) -> int:
    return content.find(end) if end else len(content)


def _parse_llama_2(text: str) -> list[Message | None]:
    if prompt := _SYSTEM_PROMPT.match(text):
        turns = _parse_llama_2(prompt[1] + text[prompt.end() :])
        return [Message("system", prompt[2].strip()), *turns] if turns else []
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
