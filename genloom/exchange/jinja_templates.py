"""Chat templates in Jinja: recognise known ones by markers in their text, and write our own; none is ever executed."""

import json
import re
from collections.abc import Container
from dataclasses import asdict, replace

from genloom.codecs.chat_template import ROLES, ChatTemplate
from genloom.settings import parse

_MAX_TEMPLATE_CHARS = 1 << 16
_OWN_COMMENT = re.compile(r"\{#- genloom (\{.*?\}) -#\}", re.DOTALL)
_SYSTEM_PATTERN = re.compile(r"<\|im_start\|>system\n([^'\"{}<]+)<\|im_end\|>")

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

# The first row whose markers all occur in the template's text decides.
_KNOWN_TEMPLATES: tuple[tuple[tuple[str, ...], ChatTemplate], ...] = (
    (("<|im_start|>", "<|im_end|>"), CHATML),
    (("<|start_header_id|>", "<|eot_id|>", "Cutting Knowledge Date"), LLAMA31),
    (("<|start_header_id|>", "<|eot_id|>"), LLAMA3),
    (("[INST]", "<<SYS>>", "strip"), LLAMA2),
    (("'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token"), MISTRAL),
    (("'[INST] ' + message['content'] + '[/INST]'", "' ' + message['content'] + eos_token"), MISTRAL3),
    (("'<|user|>\n' + message['content'] + eos_token", "<|assistant|>"), ZEPHYR),
)


def recognize_template(template: object, special_tokens: Container[str]) -> ChatTemplate | None:
    """Return the chat template of a known Jinja template; None if it is unknown or the vocabulary lacks its tokens."""
    if not isinstance(template, str) or len(template) > _MAX_TEMPLATE_CHARS:
        return None
    text = template.replace("\\n", "\n")
    chat_template = _parse_own_template(template) or next(
        (chat_template for markers, chat_template in _KNOWN_TEMPLATES if all(marker in text for marker in markers)),
        None,
    )
    if chat_template is None or any(token not in special_tokens for token in chat_template.eos_tokens):
        return None
    if chat_template is CHATML and (system_match := _SYSTEM_PATTERN.search(text)):
        return replace(chat_template, default_system=system_match[1])
    return chat_template


def _parse_own_template(template: str) -> ChatTemplate | None:
    """Return the chat template in the first comment of a template by Genloom."""
    match = _OWN_COMMENT.match(template)
    try:
        return parse(ChatTemplate, json.loads(match[1]), "chat_template") if match else None
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
