"""Chat templates: known ones are recognised by the markers in their text, ours are written; none is ever executed."""

import json
import re
from collections.abc import Container
from dataclasses import asdict, replace

from genloom.codecs.roles import ROLES, Roles
from genloom.settings import made

_LONGEST = 1 << 16
_OURS = re.compile(r"\{#- genloom (\{.*?\}) -#\}", re.DOTALL)
_SYSTEM = re.compile(r"<\|im_start\|>system\n([^'\"{}<]+)<\|im_end\|>")

CHATML = Roles({role: f"<|im_start|>{role}\n" for role in ROLES}, dict.fromkeys(ROLES, "<|im_end|>\n"), ("<|im_end|>",))
LLAMA3 = Roles(
    {role: f"<|start_header_id|>{role}<|end_header_id|>\n\n" for role in ROLES},
    dict.fromkeys(ROLES, "<|eot_id|>"),
    ("<|eot_id|>",),
    start="<|begin_of_text|>",
    trims=True,
)
# Llama 3.1 and 3.2 always write a system turn that begins so; the date is the one their template falls back to.
_DATED = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
LLAMA31 = replace(
    LLAMA3,
    before={**LLAMA3.before, "system": LLAMA3.before["system"] + _DATED},
    system=" ",  # trimmed to nothing, but a turn
)
# Blanks before the first question after a system turn are kept by the template and trimmed here.
LLAMA2 = Roles(
    {"system": "<s>[INST] <<SYS>>\n", "user": "<s>[INST] ", "assistant": " "},
    {"system": "\n<</SYS>>\n\n", "user": " [/INST]", "assistant": " </s>"},
    ("</s>",),
    joined="",
    reply="",
    trims=True,
)
MISTRAL = Roles({"user": "[INST] ", "assistant": ""}, {"user": " [/INST]", "assistant": "</s>"}, ("</s>",), start="<s>")
MISTRAL3 = Roles(
    {"user": "[INST] ", "assistant": " "}, {"user": "[/INST]", "assistant": "</s>"}, ("</s>",), start="<s>", reply=""
)
ZEPHYR = Roles({role: f"<|{role}|>\n" for role in ROLES}, dict.fromkeys(ROLES, "</s>\n"), ("</s>",))

# All markers of a row stand in the template's text; the first row that fits is it.
_KNOWN: tuple[tuple[tuple[str, ...], Roles], ...] = (
    (("<|im_start|>", "<|im_end|>"), CHATML),
    (("<|start_header_id|>", "<|eot_id|>", "Cutting Knowledge Date"), LLAMA31),
    (("<|start_header_id|>", "<|eot_id|>"), LLAMA3),
    (("[INST]", "<<SYS>>", "strip"), LLAMA2),
    (("'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token"), MISTRAL),
    (("'[INST] ' + message['content'] + '[/INST]'", "' ' + message['content'] + eos_token"), MISTRAL3),
    (("'<|user|>\n' + message['content'] + eos_token", "<|assistant|>"), ZEPHYR),
)


def recognised(template: object, symbols: Container[str]) -> Roles | None:
    """The roles that a known template writes; None for one that is not known, or whose symbols the vocabulary lacks."""
    if not isinstance(template, str) or len(template) > _LONGEST:
        return None
    text = template.replace("\\n", "\n")
    roles = _ours(template) or next((roles for marks, roles in _KNOWN if all(mark in text for mark in marks)), None)
    if roles is None or any(stop not in symbols for stop in roles.stops):
        return None
    if roles is CHATML and (system := _SYSTEM.search(text)):
        return replace(roles, system=system[1])
    return roles


def _ours(template: str) -> Roles | None:
    """The roles that a template of Genloom's carries in its first comment."""
    found = _OURS.match(template)
    try:
        return made(Roles, json.loads(found[1]), "roles") if found else None
    except (ValueError, TypeError, RecursionError):
        return None


def template_of(roles: Roles) -> str:
    """A Jinja template that writes the same conversations; its first comment holds the roles themselves."""
    note = json.dumps(asdict(roles)).replace("#}", "#\\u007d")

    def put(text: str) -> str:
        return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""

    content = "{{ m['content'] | trim }}" if roles.trims else "{{ m['content'] }}"
    turns = []
    for role in roles.before:
        before = put(roles.before[role])
        if role == "user" and roles.joined is not None:
            first = "loop.first" if roles.system else "false"
            follows = f"{first} or (loop.index0 > 0 and messages[loop.index0 - 1]['role'] == 'system')"
            before = f"{{% if {follows} %}}{put(roles.joined)}{{% else %}}{before}{{% endif %}}"
        test = "if" if not turns else "elif"
        turns.append(f"{{% {test} m['role'] == '{role}' %}}{before}{content}{put(roles.after.get(role, ''))}")
    system = ""
    if roles.system:
        text = roles.before["system"] + (roles.system.strip() if roles.trims else roles.system)
        system = f"{{% if messages[0]['role'] != 'system' %}}{put(text + roles.after.get('system', ''))}{{% endif %}}"
    reply = roles.before["assistant"] if roles.reply is None else roles.reply
    return (
        f"{{#- genloom {note} -#}}{put(roles.start)}{system}"
        f"{{% for m in messages %}}{''.join(turns)}{{% endif %}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{put(reply)}{{% endif %}}"
    )
