"""Options that give the values of a prompt's variables: the common ones by their names, any by --var."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.assistant.prompts.prompt import Prompt
    from genloom.assistant.prompts.template import Value

TEXT = "text"  # the variable that --file fills

VariableValues = Annotated[
    list[str],
    Parameter(help="Value of any variable as NAME=TEXT; several of one name are a list. Repeatable."),
]


@Parameter(name="*")
@dataclass(frozen=True)
class TopicOptions:
    """Values of the variables that most prompts have."""

    to: str = ""
    """Recipient, e.g. "a late supplier"."""

    about: str = ""
    """Subject of the text."""

    point: tuple[str, ...] = ()
    """Point to mention. Repeatable."""

    tone: str = ""
    """Tone, e.g. friendly or firm."""

    audience: str = ""
    """Readers, e.g. "children"."""

    language: str = ""
    """Language of the text. [default: English]"""

    sender: str = ""
    """Name of who signs it."""

    text: str = ""
    """Text to work on."""


DEFAULT_TOPIC_OPTIONS = TopicOptions()
_VARIABLES = {"point": "points"}  # whose option has another name


def name_option(variable: str) -> str:
    """Return the option that gives a variable."""
    options = {_VARIABLES.get(name, name): name for name in asdict(DEFAULT_TOPIC_OPTIONS)}
    return f"--{options[variable]}" if variable in options else f"--var {variable}=…"


def collect_values(
    topic: TopicOptions, assignments: Sequence[str], file: Path | None, prompt: "Prompt"
) -> "dict[str, Value]":
    """Return the values that the options give; the text of a file is that of the variable "text".

    Raises
    ------
    GenloomError
        assistant.bad_assignment: --var is not NAME=TEXT; assistant.value_twice; and what reading the file raises.
    """
    values: dict[str, Value] = {
        _VARIABLES.get(name, name): list(value) if isinstance(value, tuple) else value
        for name, value in asdict(topic).items()
        if value
    }
    lists: dict[str, list[str]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise GenloomError("assistant.bad_assignment", value=assignment)
        lists.setdefault(name, []).append(text)
    for name, texts in lists.items():
        if name in values:
            raise GenloomError("assistant.value_twice", name=name)
        is_list = name in prompt.variables and prompt.variables[name].kind == "list"
        if len(texts) > 1 and not is_list:
            raise GenloomError("assistant.value_twice", name=name)
        values[name] = texts if is_list else texts[0]
    if file is not None:
        if TEXT in values:
            raise GenloomError("assistant.value_twice", name=TEXT)
        from genloom.assistant.attachments import read_attachment

        values[TEXT] = read_attachment(file).text
    return values
