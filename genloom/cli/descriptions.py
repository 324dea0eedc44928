"""Descriptions of options that are parameters of the Python API too: its docstrings are their source."""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

Command = TypeVar("Command", bound=Callable[..., Any])

_SECTION = re.compile(r"^Parameters\n-+\n(.*?)(?=\n\n\w+\n-+\n|\Z)", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^(\w[\w, ]*)\n((?: {4}.*\n?)+)", re.MULTILINE)
_UNSET = re.compile(r'(?<=\.) (?:None|0|""): (.+)\.$')  # what a value that sets nothing means


def describe_like(verb: Callable[..., Any]) -> Callable[[Command], Command]:
    """Add to the docstring of a command the descriptions that it lacks and a verb of the Python API has."""

    def decorate(command: Command) -> Command:
        doc = inspect.getdoc(command) or ""
        missing = inspect.signature(command).parameters.keys() - read_descriptions(doc).keys()
        entries = {
            name: text for name, text in read_descriptions(inspect.getdoc(verb) or "").items() if name in missing
        }
        lines = [f"{name}\n    {to_help(text)}" for name, text in entries.items()]
        command.__doc__ = "\n".join([doc, *([] if _SECTION.search(doc) else ["", "Parameters", "----------"]), *lines])
        return command

    return decorate


def read_descriptions(doc: str) -> dict[str, str]:
    """Return the descriptions of the parameters in a docstring in numpy's style, by name."""
    section = _SECTION.search(doc)
    entries = _ENTRY.findall(section[1]) if section else []
    return {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}


def to_help(text: str) -> str:
    """Return the description of a parameter as help: `steps` is --steps, and "0: all cores." is the default."""
    text = re.sub(r"`(\w+)`", lambda match: f"--{match[1].strip('_').replace('_', '-')}", text)
    return _UNSET.sub(r" [default: \1]", text)
