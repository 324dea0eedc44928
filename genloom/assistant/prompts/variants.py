"""Variants of a prompt: edits by rules, examples shown, and instructions that the model words itself."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from genloom.assistant.prompts.cases import Case, add_examples
from genloom.assistant.prompts.prompt import FewShot, Prompt
from genloom.assistant.prompts.requests import join_values
from genloom.assistant.prompts.template import escape_text, parse_template
from genloom.types import Message

EditKind = Literal["wording", "sentence", "place", "stop", "examples"]
EDIT_KINDS: tuple[EditKind, ...] = ("wording", "sentence", "place", "stop", "examples")  # in the order they are applied
MAX_LABELS = 12  # distinct answers that an instruction lists
MAX_INSTRUCTION_CHARS = 400
_FIRST_SLOT = re.compile(r"(?<!\\)(\{[A-Za-z_]\w*(\|\w+)?\}|\[\[)", re.A)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_EXAMPLE_COUNTS = (8, 4, 2)  # in the order they are tried


@dataclass(frozen=True)
class Edit:
    """A change of a prompt; edits of different kinds go together."""

    name: str
    kind: EditKind
    apply: Callable[[Prompt], Prompt]


@dataclass(frozen=True)
class Variant:
    """A prompt to try, and the edits that made it from the first one."""

    prompt: Prompt
    edits: tuple[Edit, ...] = ()

    @property
    def how(self) -> str:
        return " + ".join(edit.name for edit in self.edits) or "unchanged"


def build_variant(base: Prompt, edits: Sequence[Edit]) -> Variant:
    """Return the prompt with these edits, applied in the order of their kinds."""
    ordered = sorted(edits, key=lambda edit: EDIT_KINDS.index(edit.kind))
    prompt = base
    for edit in ordered:
        prompt = edit.apply(prompt)
    return Variant(prompt, tuple(ordered))


@dataclass(frozen=True)
class Instruction:
    """The words of a template before its first variable: what to do."""

    is_system: bool  # whether they stand in the system message
    text: str
    rest: str  # the source of the template behind them, with the label of the variable and the blanks before it


def find_instruction(prompt: Prompt) -> Instruction | None:
    """Return the instruction of a prompt: of its message, else of its system message; None without one.

    Words in the line of the first variable are its label, or a sentence that it completes.
    """
    for is_system, source in ((False, prompt.prompt), (True, prompt.system)):
        match = _FIRST_SLOT.search(source)
        lead = source[: match.start()] if match else source
        is_whole = match is None or lead.endswith("\n")
        end = len(lead.rstrip()) if is_whole else lead.rstrip().rfind("\n") + 1
        text = parse_template(lead[:end]).render({}).strip()
        if len(text.split()) > 1:
            return Instruction(is_system, text, source[len(lead[:end].rstrip()) :])
    return None


def set_instruction(prompt: Prompt, text: str) -> Prompt:
    """Return the prompt with another instruction, as plain text: in the place of the old one, else before all."""
    old = find_instruction(prompt)
    if old is None:
        return replace(prompt, prompt=f"{escape_text(text)}\n\n{prompt.prompt}")
    source = escape_text(text) + old.rest
    return replace(prompt, system=source) if old.is_system else replace(prompt, prompt=source)


def add_sentence(prompt: Prompt, words: str) -> Prompt:
    """Return the prompt with a sentence at the end of its instruction, or of the whole message without one."""
    old = find_instruction(prompt)
    if old is None:
        return replace(prompt, prompt=f"{prompt.prompt.rstrip()}\n\n{escape_text(words)}")
    return set_instruction(prompt, f"{old.text} {words}")


def move_instruction(prompt: Prompt) -> Prompt:
    """Return the prompt with its instruction as the system message."""
    old = find_instruction(prompt)
    if old is None or old.is_system or prompt.system or not old.rest.strip():
        return prompt
    return replace(prompt, system=escape_text(old.text), prompt=old.rest.lstrip())


def show_examples(prompt: Prompt, cases: Sequence[Case], few_shot: FewShot) -> Prompt:
    """Return the prompt with the cases as its examples."""
    return replace(add_examples(prompt, cases), few_shot=few_shot)


def list_rule_edits(prompt: Prompt, cases: Sequence[Case]) -> list[Edit]:
    """List the edits by rules: what the right answers have in common said in words, and where the instruction is."""
    edits = [
        Edit(name, "sentence", lambda p, words=words: add_sentence(p, words))
        for words, name in describe_answers([case.answer for case in cases if case.answer])
    ]
    limits = {case.checks.max_words for case in cases}
    if limits and 0 not in limits:
        words = f"Use at most {min(limits)} words."
        edits.append(Edit("word limit named", "sentence", lambda p: add_sentence(p, words)))
    if move_instruction(prompt) != prompt:
        edits.append(Edit("instruction as system message", "place", move_instruction))
    if not prompt.stop and all("\n" not in case.answer.strip() for case in cases):
        edits.append(Edit("stop at the end of the line", "stop", lambda p: replace(p, stop=("\n",))))
    return edits


def describe_answers(answers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield sentences that say what form right answers have, each with the name of the edit that adds it."""
    stripped = [answer.strip() for answer in answers]
    if not stripped:
        return
    labels = Counter(stripped)
    if 1 < len(labels) <= MAX_LABELS and len(stripped) >= 2 * len(labels):
        yield f"Answer with one of these words: {', '.join(sorted(labels))}.", "labels listed"
    if (keys := find_common_keys(stripped)) is not None:
        yield f"Answer only with a JSON object with the keys {', '.join(keys)}.", "keys of the JSON named"
    elif all(_DATE.fullmatch(answer) for answer in stripped):
        yield "Write the answer as YYYY-MM-DD, and nothing else.", "form of the date named"
    elif (longest := max(len(answer.split()) for answer in stripped)) <= 3:
        words = "one word" if longest == 1 else f"at most {longest} words"
        yield f"Answer with {words}, and nothing else.", "length of the answer named"
    else:
        yield "Write only the answer, without an introduction or explanation.", "no introduction"


def find_common_keys(answers: Sequence[str]) -> list[str] | None:
    """Return the keys that the JSON objects have in common, in the order of the first; None if one is no object."""
    objects: list[dict[str, Any]] = []
    for answer in answers:
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        objects.append(value)
    return [key for key in objects[0] if all(key in other for other in objects)]


def list_example_edits(cases: Sequence[Case]) -> list[Edit]:
    """List the ways to show examples: several counts, chosen by words or meaning, in both orders, and fixed sets."""
    known = [case for case in cases if case.answer.strip()]
    if len(known) < 2:
        return []
    few = min(4, len(known) - 1)
    sets: list[tuple[str, Sequence[Case], FewShot]] = []
    for count in _EXAMPLE_COUNTS:
        if count < len(known):
            sets.append((f"{count} examples alike in words", known, FewShot(count, "likeness", "nearest_last")))
            sets.append((f"{count} fixed examples", choose_varied(known, count), FewShot(count, "first")))
    if (most := _EXAMPLE_COUNTS[0]) < len(known):
        sets.append((f"{most} other fixed examples", choose_varied(known[::-1], most), FewShot(most, "first")))
    sets.append((f"{few} examples alike in meaning", known, FewShot(few, "meaning", "nearest_last")))
    sets.append((f"{few} examples, most alike first", known, FewShot(few, "likeness", "nearest_first")))
    return [
        Edit(name, "examples", lambda p, shown=shown, few_shot=few_shot: show_examples(p, shown, few_shot))
        for name, shown, few_shot in sets
    ]


def choose_varied(cases: Sequence[Case], count: int) -> list[Case]:
    """Return cases with as many different answers as possible, in turn; those with equal answers in their order."""
    by_answer: dict[str, list[Case]] = {}
    for case in cases:
        by_answer.setdefault(case.answer.strip(), []).append(case)
    chosen: list[Case] = []
    while len(chosen) < min(count, len(cases)):
        for group in by_answer.values():
            if group and len(chosen) < count:
                chosen.append(group.pop(0))
    return chosen


def build_paraphrase_request(instruction: str) -> list[Message]:
    """Return the conversation that asks a model to word an instruction in another way."""
    task = "Rewrite this instruction in other words. Keep its meaning."
    return [
        Message("user", f"{task}\n\nName the animal in the text."),
        Message("assistant", "Find the animal that the text mentions, and write its name."),
        Message("user", f"{task}\n\n{instruction}"),
    ]


def build_induction_request(cases: Sequence[Case]) -> list[Message]:
    """Return the conversation that asks a model which instruction leads from inputs to answers (Zhou et al. 2022)."""
    shown = "\n\n".join(f"Input: {join_values(case.given)}\nOutput: {case.answer}" for case in cases)
    return [
        Message("user", "Input: 3\nOutput: three\n\nInput: 7\nOutput: seven\n\nWhich instruction was given?"),
        Message("assistant", "Write the number as a word."),
        Message("user", f"{shown}\n\nWhich instruction was given?"),
    ]


def clean_instruction(answer: str) -> str:
    """Return the instruction in a model's answer: its first line without quotes; "" if it is none."""
    line = next((line.strip() for line in answer.splitlines() if line.strip()), "")
    line = re.sub(r"^(instruction|answer|output|rewritten instruction)\s*:\s*", "", line, flags=re.IGNORECASE)
    line = line.strip(" \"'“”*`")
    return line if len(line.split()) > 2 and len(line) <= MAX_INSTRUCTION_CHARS else ""


def list_worded_edits(prompt: Prompt, answers: Sequence[str], name: str) -> list[Edit]:
    """List the edits that take an instruction which a model worded, and which the prompt does not have."""
    old = find_instruction(prompt)
    known = {old.text.casefold()} if old else set()
    edits = []
    for text in filter(None, map(clean_instruction, answers)):
        if text.casefold() not in known:
            known.add(text.casefold())
            label = f"{name} {len(edits) + 1}"
            edits.append(Edit(label, "wording", lambda p, text=text: set_instruction(p, text)))
    return edits
