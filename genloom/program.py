"""The command `genloom` as it is typed here: a virtual environment that is not active has it at a path of its own."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

NAME = "genloom"
_COMMAND = re.compile(rf"(?<![\w./-]){NAME}(?= (?:[a-z{{-]|…))")  # before a verb, an option or a field of a template


def find_program() -> str:
    """Return how this installation's command is typed: "genloom" if the shell finds it, else its path from here."""
    folder = Path(sys.executable).parent
    own, on_path = shutil.which(NAME, path=str(folder)), shutil.which(NAME)
    if on_path and (own is None or os.path.samefile(own, on_path)):
        return NAME
    return shlex.quote(_shorten_path(own)) if own else f"{shlex.quote(_shorten_path(sys.executable))} -m {NAME}"


def name_program(text: str, is_template: bool = False) -> str:
    """Return a text with its commands as they are typed here: ".venv/bin/genloom train" for "genloom train".

    A template is one of `str.format`, in which the path's braces are doubled.
    """
    if _COMMAND.search(text) is None:
        return text
    program = find_program()
    if is_template:
        program = program.replace("{", "{{").replace("}", "}}")
    return _COMMAND.sub(lambda _: program, text)


def _shorten_path(path: str) -> str:
    """Return a path from the working directory if it lies below it."""
    here = Path.cwd()
    is_below = here != here.parent and Path(path).is_relative_to(here)
    return str(Path(path).relative_to(here)) if is_below else path
