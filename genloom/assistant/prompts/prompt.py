"""A prompt: templates with variables, few-shot examples, settings of the sampler, and tests."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from genloom.assistant.prompts.checks import AnswerChecks
from genloom.assistant.prompts.template import (
    NAME,
    Slot,
    Template,
    Value,
    check_variables,
    escape_text,
    find_control_character,
    is_empty,
    parse_template,
)
from genloom.errors import GenloomError, format_suggestion
from genloom.settings import option, to_plain

MAX_VARIABLES = 64
MAX_EXAMPLES = 1000  # also of tests
MAX_VALUE_CHARS = 1_000_000  # of a variable
MAX_WORDS = 20_000  # of a length
_UNHASHED = ("name", "version", "description", "owner", "created", "note", "parent", "tests")


@dataclass(frozen=True)
class Variable:
    """A variable of a prompt. It must be given, unless it has a default or stands in optional parts only."""

    description: str = ""
    default: str = ""  # a template over the other variables
    kind: Literal["text", "list"] = "text"
    # The texts that short values stand for: short = "in at most 60 words". Other values stand for themselves.
    choices: Mapping[str, str] = field(default_factory=dict)
    is_closed: bool = False  # whether it takes nothing but these choices


@dataclass(frozen=True)
class Example:
    """An example of the task: values of the variables, and the right answer."""

    answer: str
    given: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class FewShot:
    """How many of the examples a request shows, which, and in which order."""

    count: int = option(0, "examples in a request; 0: none", minimum=0, maximum=64)
    choice: Literal["likeness", "meaning", "first"] = (
        "likeness"  # by the words or the meaning of the input, or the first
    )
    order: Literal["nearest_last", "nearest_first"] = "nearest_last"


@dataclass(frozen=True)
class PromptTest:
    """Values of the variables, and checks that the answer to them must pass."""

    given: Mapping[str, Value] = field(default_factory=dict)
    checks: AnswerChecks = field(default_factory=AnswerChecks)


@dataclass(frozen=True)
class Prompt:
    """A version of a prompt; saving a changed one makes the next version."""

    prompt: str  # the template of the user's message
    system: str = ""  # the template of the system message; "": none
    description: str = ""
    variables: Mapping[str, Variable] = field(default_factory=dict)
    few_shot: FewShot = field(default_factory=FewShot)
    examples: tuple[Example, ...] = ()
    tests: tuple[PromptTest, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # parameters of the sampler
    stop: tuple[str, ...] = ()  # strings that end an answer
    words: Mapping[str, int] = field(default_factory=dict)  # most words of an answer by the names of lengths
    owner: str = ""
    created: str = ""  # ISO 8601, UTC
    note: str = ""  # what changed, or how the version was made
    parent: str = ""  # the ref of the version that it was made from
    name: str = ""
    version: int = 0  # 0: comes with the package, or a file outside the workspace

    def __post_init__(self) -> None:
        check_prompt(self)

    @property
    def ref(self) -> str:
        """The name of the version, e.g. email/2; that of the package is email/0."""
        return f"{self.name}/{self.version}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that decides what a model reads and how it answers."""
        table = {name: value for name, value in to_plain(asdict(self)).items() if name not in _UNHASHED}
        for variable in table["variables"].values():
            del variable["description"]
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()

    @cached_property
    def system_template(self) -> Template:
        return parse_template(self.system, "system")

    @cached_property
    def prompt_template(self) -> Template:
        return parse_template(self.prompt, "prompt")

    @cached_property
    def required_variables(self) -> list[str]:
        """The variables that must be given: without a default, and outside optional parts."""
        slots = [node for t in (self.system_template, self.prompt_template) for node in t.nodes]
        names = dict.fromkeys(node.name for node in slots if isinstance(node, Slot))
        return [name for name in names if not self.variables[name].default]

    def fill_values(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Return the values of all variables: as given, by their choices, else their defaults.

        Raises
        ------
        GenloomError
            assistant.unknown_value, assistant.value_missing, assistant.value_too_long, assistant.bad_choice,
            assistant.value_not_text.
        """
        for name in given:
            if name not in self.variables:
                hint = format_suggestion(name, self.variables)
                known = ", ".join(self.variables) or "—"
                raise GenloomError("assistant.unknown_value", prompt=self.name, name=name, hint=hint, known=known)
        values = {name: _check_value(self, name, value) for name, value in given.items()}
        values = {name: value for name, value in values.items() if not is_empty(value)}
        for name in self.required_variables:
            if name not in values:
                description = self.variables[name].description
                note = f" ({description})" if description else ""
                raise GenloomError("assistant.value_missing", prompt=self.name, name=name, note=note)
        filled: dict[str, Value] = {}
        for name in order_defaults(self.variables):
            value = values.get(name)
            if value is None:
                value = parse_template(self.variables[name].default).render(filled)
            filled[name] = value if not isinstance(value, str) else self.variables[name].choices.get(value, value)
        return filled


def check_prompt(prompt: Prompt) -> None:
    """Raise GenloomError for a prompt that can't be used: its variables, defaults, templates, examples or tests."""
    if not prompt.prompt.strip():
        raise GenloomError("assistant.empty_prompt")
    for name in prompt.variables:
        if not NAME.fullmatch(name):
            raise GenloomError("assistant.bad_variable_name", name=name)
    for what, count, limit in (
        ("variables", len(prompt.variables), MAX_VARIABLES),
        ("examples", len(prompt.examples), MAX_EXAMPLES),
        ("tests", len(prompt.tests), MAX_EXAMPLES),
    ):
        if count > limit:
            raise GenloomError("assistant.too_many", what=what, count=count, limit=limit)
    for location, template in (("system", prompt.system_template), ("prompt", prompt.prompt_template)):
        check_variables(template, list(prompt.variables), location)
    order_defaults(prompt.variables)
    for name, count in prompt.words.items():
        if not 1 <= count <= MAX_WORDS:
            raise GenloomError("assistant.bad_words", name=name, count=count, limit=MAX_WORDS)
    for text in _iter_texts(asdict(prompt)):
        if (control := find_control_character(text)) is not None:
            raise GenloomError("assistant.control_character", line=control[0], character=control[1])
    for what, rows in (("examples", prompt.examples), ("tests", prompt.tests)):
        for number, row in enumerate(rows, start=1):
            for name in row.given:
                if name not in prompt.variables:
                    location = f"{what}[{number}].given"
                    hint, known = format_suggestion(name, prompt.variables), ", ".join(prompt.variables) or "—"
                    raise GenloomError(
                        "assistant.unknown_variable", location=location, name=name, hint=hint, known=known
                    )


def order_defaults(variables: Mapping[str, Variable]) -> list[str]:
    """Return the names of the variables, each after those that its default needs.

    Raises
    ------
    GenloomError
        assistant.unknown_variable; assistant.cyclic_default: a default needs itself.
    """
    needs = {}
    for name, variable in variables.items():
        template = parse_template(variable.default, f"variables.{name}.default")
        check_variables(template, list(variables), f"variables.{name}.default")
        needs[name] = set(template.variables)
    ordered: list[str] = []
    while len(ordered) < len(variables):
        ready = [name for name in variables if name not in ordered and needs[name] <= set(ordered)]
        if not ready:
            cycle = [name for name in variables if name not in ordered]
            raise GenloomError("assistant.cyclic_default", names=", ".join(cycle))
        ordered += ready
    return ordered


def _check_value(prompt: Prompt, name: str, value: Any) -> Value:
    variable = prompt.variables[name]
    items = [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else [None]
    if not all(isinstance(item, str) for item in items) or (variable.kind != "list" and not isinstance(value, str)):
        raise GenloomError("assistant.value_not_text", prompt=prompt.name, name=name, kind=variable.kind)
    size = sum(map(len, items))
    if size > MAX_VALUE_CHARS:
        raise GenloomError("assistant.value_too_long", name=name, size=size, limit=MAX_VALUE_CHARS)
    if variable.is_closed and (unknown := [item for item in items if item.strip() and item not in variable.choices]):
        known = ", ".join(variable.choices)
        hint = format_suggestion(unknown[0], variable.choices)
        raise GenloomError("assistant.bad_choice", name=name, value=unknown[0], known=known, hint=hint)
    return items if variable.kind == "list" else value


def _iter_texts(value: Any) -> Iterator[str]:
    """Yield all texts in nested tables and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _iter_texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _iter_texts(each)


def build_prompt(instruction: str, variable: str = "text", **fields: Any) -> Prompt:
    """Return a prompt that gives an instruction as plain text, and below it the text of one variable."""
    return Prompt(
        prompt=f"{escape_text(instruction)}\n\n{{{variable}}}" if instruction else f"{{{variable}}}",
        variables={variable: Variable()},
        **fields,
    )
