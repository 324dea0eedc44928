"""The command `genloom` as it is typed here: a virtual environment that is not active has it at a path of its own."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

NAME = "genloom"
# Before a verb, an option or a field of a template; the verb is a group.
_COMMAND = re.compile(rf"(?<![\w./-]){NAME}(?= (?:[a-z{{-]|…))( [a-z]+)?")
_PLAIN_WORD = re.compile(r"[\w@%+=:,./-]+")
_BLANKS_TOO = re.compile(r"[\w@%+=:,./ -]+")
# Where a command in a text may end.
_ARGUMENTS = re.compile(rf"(?<![\w./-]){NAME} [a-z]+ [^;,()\"“]*")
_FIELD = re.compile(r"\{(\w+)\}")
_LEDGER_VERBS = frozenset(("arena", "forget", "learn", "promote", "rate", "ratings", "rollback"))  # with --ledger
_given_options: dict[str, str] = {}  # by their names, as they are typed in a shell


def find_program() -> str:
    """Return how this installation's command is typed: "genloom" if the shell finds it, else its path from here."""
    folder = Path(sys.executable).parent
    own, on_path = shutil.which(NAME, path=str(folder)), shutil.which(NAME)
    if on_path and (own is None or os.path.samefile(own, on_path)):
        return NAME
    return shlex.quote(_shorten_path(own)) if own else f"{shlex.quote(_shorten_path(sys.executable))} -m {NAME}"


def repeat_options(workspace: str | None = None, ledger: str = "") -> None:
    """Set the options that the commands in later texts repeat, because the user typed them too; none without values.

    A ledger's address with a password is not repeated.
    """
    _given_options.clear()
    if workspace is not None:
        _given_options["--workspace"] = shlex.quote(workspace)
    if ledger and not re.search(r"//[^/@]*:[^/@]*@|password=", ledger):
        _given_options["--ledger"] = shlex.quote(ledger)


def quote_name(name: str) -> str:
    """Return a name or a path as it must be typed in a shell."""
    if _PLAIN_WORD.fullmatch(name):
        return name
    return f'"{name}"' if _BLANKS_TOO.fullmatch(name) else shlex.quote(name)


def quote_fields(template: str) -> str:
    """Return a template of `str.format` in which the fields that stand in commands are those of `quoted`."""
    if _COMMAND.search(template) is None:
        return template
    return _ARGUMENTS.sub(lambda command: _FIELD.sub(r"{quoted[\1]}", command[0]), template)


def name_program(text: str, is_template: bool = False) -> str:
    """Return a text with its commands as they are typed here: ".venv/bin/genloom train" for "genloom train".

    Commands repeat the options of `repeat_options` behind their verb. A template is one of `str.format`, in which the
    braces of these and of the path are doubled.
    """
    if _COMMAND.search(text) is None:
        return text
    program = find_program()

    def name_command(found: re.Match[str]) -> str:
        verb = found[1] or ""
        takes_ledger = verb.strip() in _LEDGER_VERBS
        options = [f" {n} {v}" for n, v in _given_options.items() if verb and (n != "--ledger" or takes_ledger)]
        command = f"{program}{verb}{''.join(options)}"
        if is_template:
            return command.replace("{", "{{").replace("}", "}}")
        return command

    return _COMMAND.sub(name_command, text)


def _shorten_path(path: str) -> str:
    """Return a path from the working directory if it lies below it."""
    here = Path.cwd()
    is_below = here != here.parent and Path(path).is_relative_to(here)
    return str(Path(path).relative_to(here)) if is_below else path
