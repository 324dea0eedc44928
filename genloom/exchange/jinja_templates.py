"""Chat templates in Jinja: recognise known ones by what they write, and write our own; none is ever executed."""

import json
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, replace

from genloom.codecs.chat_template import ROLES, ChatTemplate, iter_segments
from genloom.exchange.template_reader import UnreadableTemplate, render_jinja
from genloom.settings import parse_settings
from genloom.types import Message

_MAX_TEMPLATE_CHARS = 1 << 16
_OWN_COMMENT = re.compile(r"\{#- genloom (\{.*?\}) -#\}", re.DOTALL)

CHATML = ChatTemplate(
    {role: f"<|im_start|>{role}\n" for role in ROLES}, dict.fromkeys(ROLES, "<|im_end|>\n"), ("<|im_end|>",)
)
LLAMA3 = ChatTemplate(
    {role: f"<|start_header_id|>{role}<|end_header_id|>\n\n" for role in ROLES},
    dict.fromkeys(ROLES, "<|eot_id|>"),
    ("<|eot_id|>",),
    bos_text="<|begin_of_text|>",
    should_strip=True,
)
# Llama 3.1 and 3.2 always write a system turn with this header; the date is the default in their template.
_DATE_HEADER = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
LLAMA31 = replace(
    LLAMA3,
    prefixes={**LLAMA3.prefixes, "system": LLAMA3.prefixes["system"] + _DATE_HEADER},
    default_system=" ",  # stripped to nothing, but still a turn
)
# The template keeps blanks before the first question after a system turn; here they are stripped.
LLAMA2 = ChatTemplate(
    {"system": "<s>[INST] <<SYS>>\n", "user": "<s>[INST] ", "assistant": " "},
    {"system": "\n<</SYS>>\n\n", "user": " [/INST]", "assistant": " </s>"},
    ("</s>",),
    user_prefix_after_system="",
    generation_prompt="",
    should_strip=True,
)
MISTRAL = ChatTemplate(
    {"user": "[INST] ", "assistant": ""}, {"user": " [/INST]", "assistant": "</s>"}, ("</s>",), bos_text="<s>"
)
MISTRAL3 = ChatTemplate(
    {"user": "[INST] ", "assistant": " "},
    {"user": "[/INST]", "assistant": "</s>"},
    ("</s>",),
    bos_text="<s>",
    generation_prompt="",
)
ZEPHYR = ChatTemplate({role: f"<|{role}|>\n" for role in ROLES}, dict.fromkeys(ROLES, "</s>\n"), ("</s>",))

# The rows whose markers all occur in the template's text are compared with it.
_KNOWN_TEMPLATES: tuple[tuple[tuple[str, ...], ChatTemplate], ...] = (
    (("<|im_start|>", "<|im_end|>"), CHATML),
    (("<|start_header_id|>", "<|eot_id|>", "Cutting Knowledge Date"), LLAMA31),
    (("<|start_header_id|>", "<|eot_id|>"), LLAMA3),
    (("[INST]", "<<SYS>>", "strip"), LLAMA2),
    (("'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token"), MISTRAL),
    (("'[INST] ' + message['content'] + '[/INST]'", "' ' + message['content'] + eos_token"), MISTRAL3),
    (("'<|user|>\n' + message['content'] + eos_token", "<|assistant|>"), ZEPHYR),
)


def recognize_template(
    template: object, special_tokens: Container[str], bos_token: str | None = None, eos_token: str | None = None
) -> ChatTemplate | None:
    """Return the known chat template that writes the same as a Jinja template; None if there is no such template.

    Conversations decide, not the looks: a known template that differs in any of them is not taken. None also if the
    vocabulary lacks its tokens.
    """
    if not isinstance(template, str) or len(template) > _MAX_TEMPLATE_CHARS:
        return None
    text = template.replace("\\n", "\n")
    own_template = _parse_own_template(template)
    candidates = [own_template] if own_template else [
        chat_template for markers, chat_template in _KNOWN_TEMPLATES if all(marker in text for marker in markers)
    ]  # fmt: skip
    for candidate in candidates:
        if all(token in special_tokens for token in candidate.eos_tokens):
            for variant in (candidate, *_iter_variants(candidate, template, bos_token, eos_token)):
                if _writes_the_same(variant, template, bos_token, eos_token):
                    return variant
    return None


# Contents that a template may treat in a way of its own.
_CONTENTS = (
    "Hello there",
    'It\'s "5 < 6" & so\n\non: {{ x }}',
    "  spaces \n",
    "Straße, Ærø, ΑΩ, Ёж, 漢字, 😀, №1: 0123456789 % $ § # * _ ~ ` ^ | \\ / @ + = ; ? ! ( ) [ ] { }\r\t\xa0x. " * 20,
)
_NO_THOUGHTS = "<think>\n\n</think>\n\n"
# g: the beginning of an answer
_ROLES = ("u", "ug", "uau", "uaug", "su", "sug", "suau", "suaug", "uaua", "suaua", f"{'ua' * 24}ug", f"s{'ua' * 24}ug")
_NAMES = {"s": "system", "u": "user", "a": "assistant"}


def _iter_conversations() -> Iterator[tuple[list[Message], bool]]:
    for roles in _ROLES:
        for shift in range(len(_CONTENTS)):
            turns = [
                Message(_NAMES[role], _CONTENTS[(n + shift) % len(_CONTENTS)])
                for n, role in enumerate(roles.removesuffix("g"))
            ]
            yield turns, roles.endswith("g")


def _render_jinja(
    template: str, messages: Sequence[Message], should_prompt: bool, bos_token: str | None, eos_token: str | None
) -> str:
    return render_jinja(
        template,
        [{"role": message.role, "content": message.content} for message in messages],
        add_generation_prompt=should_prompt,
        bos_token=bos_token or "",
        eos_token=eos_token or "",
        tools=None,
    )


def _iter_variants(
    candidate: ChatTemplate, template: str, bos_token: str | None, eos_token: str | None
) -> Iterator[ChatTemplate]:
    """Yield the candidate with the system message that the template writes for a conversation without one."""
    prefix, suffix = candidate.prefixes.get("system"), candidate.suffixes.get("system")
    if not prefix or not suffix:
        return
    try:
        text = _render_jinja(template, [Message("user", _CONTENTS[0])], False, bos_token, eos_token)
    except UnreadableTemplate:
        return
    begin = candidate.bos_text + prefix
    if text.startswith(begin) and suffix in text:
        yield replace(candidate, default_system=text[len(begin) : text.index(suffix, len(begin))])


def _writes_the_same(candidate: ChatTemplate, template: str, bos_token: str | None, eos_token: str | None) -> bool:
    """Return whether both write the same for every conversation that the candidate can write."""
    has_compared = False
    for messages, should_prompt in _iter_conversations():
        has_blanks = any(message.content != message.content.strip() for message in messages)
        if (candidate is LLAMA2 and has_blanks) or not all(m.role in candidate.prefixes for m in messages):
            continue  # see LLAMA2
        try:
            written = _render_jinja(
                template, messages, should_prompt, bos_token or candidate.bos_text or "<s>",
                eos_token or candidate.eos_tokens[0],
            )  # fmt: skip
        except UnreadableTemplate:
            return False
        if not should_prompt:  # Qwen3 closes the thoughts of a last answer that has none
            written = written.replace(_NO_THOUGHTS, "")
        if written != "".join(text for text, _, _ in iter_segments(candidate, messages, should_prompt)):
            return False
        has_compared = True
    return has_compared


def _parse_own_template(template: str) -> ChatTemplate | None:
    """Return the chat template in the first comment of a template by Genloom."""
    match = _OWN_COMMENT.match(template)
    try:
        return parse_settings(ChatTemplate, json.loads(match[1]), "chat_template") if match else None
    except (ValueError, TypeError, RecursionError):
        return None


def to_jinja(chat_template: ChatTemplate) -> str:
    """Return a Jinja template that writes the same conversations; its first comment holds the chat template itself."""
    comment = json.dumps(asdict(chat_template)).replace("#}", "#\\u007d")

    def quote(text: str) -> str:
        return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""

    content = "{{ m['content'] | trim }}" if chat_template.should_strip else "{{ m['content'] }}"
    branches = []
    for role in chat_template.prefixes:
        prefix = quote(chat_template.prefixes[role])
        if role == "user" and chat_template.user_prefix_after_system is not None:
            first_test = "loop.first" if chat_template.default_system else "false"
            follows_system = f"{first_test} or (loop.index0 > 0 and messages[loop.index0 - 1]['role'] == 'system')"
            after_system = quote(chat_template.user_prefix_after_system)
            prefix = f"{{% if {follows_system} %}}{after_system}{{% else %}}{prefix}{{% endif %}}"
        keyword = "if" if not branches else "elif"
        branches.append(
            f"{{% {keyword} m['role'] == '{role}' %}}{prefix}{content}{quote(chat_template.suffixes.get(role, ''))}"
        )
    system = ""
    if chat_template.default_system:
        default = chat_template.default_system.strip() if chat_template.should_strip else chat_template.default_system
        turn = quote(chat_template.prefixes["system"] + default + chat_template.suffixes.get("system", ""))
        system = f"{{% if messages[0]['role'] != 'system' %}}{turn}{{% endif %}}"
    generation_prompt = (
        chat_template.prefixes["assistant"]
        if chat_template.generation_prompt is None
        else chat_template.generation_prompt
    )
    return (
        f"{{#- genloom {comment} -#}}{quote(chat_template.bos_text)}{system}"
        f"{{% for m in messages %}}{''.join(branches)}{{% endif %}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{quote(generation_prompt)}{{% endif %}}"
    )
