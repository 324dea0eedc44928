"""Errors of the command's syntax in our words: what the parser found, the constraint, and the cure."""

import re
from typing import get_args

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from genloom.cli.app import VERBS
from genloom.errors import GenloomError, find_nearest, format_suggestion

_NAME_PATTERNS = {"models": r"/\d+$", "runs": r"^\d{4}-\d\d-\d\d-", "data": ""}  # of things to remove, by their kind


def build_usage_error(error: CycloptsError) -> GenloomError:
    """Return the error for what the parser could not read."""
    verb = " ".join(error.command_chain or ())
    match error:
        case CycloptsError(__cause__=GenloomError() as cause):  # a converter of ours, see options/numbers.py
            return cause
        case UnknownCommandError(unused_tokens=tokens):
            return build_unknown_verb_error((tokens or [""])[0])
        case UnknownOptionError(token=token):
            option = (token.keyword or token.value).partition("=")[0]
            known = [name for argument in error.argument_collection for name in argument.names if name.startswith("-")]
            hint = format_option_suggestion(option, known)
            return GenloomError("cli.unknown_option", verb=verb, option=option, hint=hint)
        case MissingArgumentError(argument=argument) if argument is not None:
            option, (count, _) = error.keyword or argument.name, argument.token_count()
            if not option.startswith("-"):
                return GenloomError("cli.argument_missing", verb=verb, argument=option)
            if count > 1:
                return GenloomError("cli.values_missing", option=option, count=count, verb=verb)
            return GenloomError("cli.value_missing", option=option)
        case RepeatArgumentError(token=token):
            return GenloomError("cli.option_twice", option=token.keyword)
        case UnusedCliTokensError(unused_tokens=tokens):
            return GenloomError("cli.unexpected_argument", argument=next(iter(tokens or ()), ""), verb=verb)
        case CoercionError(token=token, argument=argument) if token is not None and argument is not None:
            option, value = token.keyword or argument.name, token.value
            if error.target_type is bool:
                return GenloomError("cli.flag_with_value", option=option, value=value)
            if known := get_args(error.target_type):
                if verb == "remove" and not token.keyword:
                    example = next(each for each, pattern in _NAME_PATTERNS.items() if re.search(pattern, value))
                    return GenloomError("cli.remove_without_kind", value=value, known=", ".join(known), kind=example)
                hint = format_suggestion(value, known)
                return GenloomError("cli.bad_choice", option=option, value=value, known=", ".join(known), hint=hint)
    return GenloomError("cli.bad_usage", reason=str(error).rstrip("."), verb=verb)


def format_option_suggestion(option: str, known: list[str]) -> str:
    """Return the suggestion of a known option that begins like this one: in short words, many letters are common.

    The only one that begins with all of it is meant, such as --temperature by --temp.
    """
    completed = [name for name in known if name.startswith(option)] if len(option) > len("--x") else []
    if len(completed) == 1:
        return format_suggestion(completed[0], completed)
    return format_suggestion(option, [name for name in known if name.lstrip("-")[:1] == option.lstrip("-")[:1]])


def build_unknown_verb_error(verb: str) -> GenloomError:
    """Return the error for an unknown verb; the library's own text would import every verb, and so torch."""
    nearest_verb = find_nearest(verb, VERBS)
    if nearest_verb is None:
        return GenloomError("cli.unknown_verb", verb=verb, known=", ".join(VERBS))
    return GenloomError("cli.unknown_verb_nearest", verb=verb, nearest=nearest_verb)
