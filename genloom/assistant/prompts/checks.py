"""Checks of an answer: words that it contains or lacks, its length, its form, or the checks that rate outputs."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from genloom.assistant.prompts.patterns import compile_pattern, has_match
from genloom.errors import GenloomError
from genloom.settings import option
from genloom.text_format import format_count

_PUNCTUATION = " \t\n.,;:!?\"'“”‘’()[]*_`"


@dataclass(frozen=True)
class AnswerChecks:
    """The conditions of a right answer; all that is set must hold. Letters match without regard to case."""

    contains: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    equals: str = ""  # without blanks and punctuation at its ends
    choices: tuple[str, ...] = ()  # it equals one of these
    regex: str = ""  # found anywhere in it
    min_words: int = option(0, "least number of words", minimum=0)
    max_words: int = option(0, "most words; 0: no bound", minimum=0)
    json_equals: str = ""  # the JSON value that it is; a code block around it does not count
    schema: str = ""  # the JSON schema that it fits
    check: tuple[str, ...] = ()  # checks of `genloom parts check`, e.g. "length:unit=sentences;max_length=2"

    def __post_init__(self) -> None:
        if self.regex:
            compile_pattern(self.regex)
        for name in ("schema", "json_equals"):
            if value := getattr(self, name):
                parse_json_setting(value, name)
        for spec in self.check:
            _parse_check(spec)

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, f.name) for f in fields(self))


@dataclass(frozen=True)
class CheckFailure:
    """A check that an answer did not pass, and why."""

    check: str
    reason: str


def check_answer(answer: str, checks: AnswerChecks) -> list[CheckFailure]:
    """Return the checks that an answer does not pass; [] if it passes all."""
    failures = [*_check_words(answer, checks), *_check_forms(answer, checks)]
    for spec in checks.check:
        result = _parse_check(spec)(answer)
        if not result.has_passed:
            failures.append(CheckFailure(spec, result.reason))
    return failures


def normalise_answer(text: str) -> str:
    """Return an answer as it is compared: one blank between words, no punctuation at the ends, lower case."""
    return " ".join(text.split()).strip(_PUNCTUATION).casefold()


def contains_words(text: str, words: str) -> bool:
    """Return whether a text contains these words as whole words, without regard to case and blanks."""
    body, sought = (" ".join(part.casefold().split()) for part in (text, words))
    start = body.find(sought)
    while start >= 0:
        end = start + len(sought)
        before, after = body[start - 1 : start], body[end : end + 1]
        if not (before.isalnum() and sought[:1].isalnum()) and not (after.isalnum() and sought[-1:].isalnum()):
            return True
        start = body.find(sought, start + 1)
    return False


def extract_json(answer: str) -> Any:
    """Return the JSON value of an answer, also inside a code block; ValueError if it is none."""
    fence = re.fullmatch(r"\s*```\w*\s*\n(.*?)\n?\s*```\s*", answer, re.DOTALL)
    try:
        return json.loads(fence[1] if fence else answer)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def parse_json_setting(text: str, name: str) -> Any:
    """Return the JSON value of a setting.

    Raises
    ------
    GenloomError
        assistant.bad_json_setting.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GenloomError("assistant.bad_json_setting", name=name, reason=error) from None


def _check_words(answer: str, checks: AnswerChecks) -> list[CheckFailure]:
    failures = [CheckFailure("contains", f"{w!r} is missing") for w in checks.contains if not contains_words(answer, w)]
    failures += [CheckFailure("lacks", f"{w!r} is in it") for w in checks.lacks if contains_words(answer, w)]
    normal = normalise_answer(answer)
    if checks.equals and normal != normalise_answer(checks.equals):
        failures.append(CheckFailure("equals", f"it is not {checks.equals!r}"))
    if checks.choices and normal not in map(normalise_answer, checks.choices):
        failures.append(CheckFailure("choices", f"it is none of {', '.join(checks.choices)}"))
    count = len(answer.split())
    if count < checks.min_words:
        failures.append(CheckFailure("min_words", f"{format_count(count, 'word')}, fewer than {checks.min_words}"))
    if checks.max_words and count > checks.max_words:
        failures.append(CheckFailure("max_words", f"{format_count(count, 'word')}, more than {checks.max_words}"))
    return failures


def _check_forms(answer: str, checks: AnswerChecks) -> list[CheckFailure]:
    failures = []
    if checks.regex and (reason := _explain_mismatch(checks.regex, answer)):
        failures.append(CheckFailure("regex", reason))
    if not (checks.json_equals or checks.schema):
        return failures
    try:
        value = extract_json(answer)
    except ValueError as error:
        return [*failures, CheckFailure("json", f"not JSON: {error}")]
    if checks.json_equals and normalise_json(value) != normalise_json(json.loads(checks.json_equals)):
        failures.append(CheckFailure("json_equals", f"it is not {checks.json_equals}"))
    if checks.schema and (reason := find_schema_error(value, json.loads(checks.schema))):
        failures.append(CheckFailure("schema", reason))
    return failures


def normalise_json(value: Any) -> Any:
    """Return a JSON value as it is compared: texts as answers are."""
    if isinstance(value, Mapping):
        return {str(key).casefold(): normalise_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normalise_json(item) for item in value]
    return normalise_answer(value) if isinstance(value, str) else value


def find_schema_error(value: Any, schema: Any) -> str:
    """Return why a value does not fit a JSON schema; "" if it does.

    Raises
    ------
    GenloomError
        assistant.schema_library: the library that reads schemas is not installed; assistant.bad_json_setting: the
        schema is none.
    """
    try:
        from jsonschema import Draft202012Validator, SchemaError
        from referencing import Registry
        from referencing.exceptions import Unresolvable
    except ImportError:
        raise GenloomError("assistant.schema_library") from None
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise GenloomError("assistant.bad_json_setting", name="schema", reason=error.message) from None
    try:  # an empty registry: nothing is fetched from a network
        error = next(iter(Draft202012Validator(schema, registry=Registry()).iter_errors(value)), None)
    except Unresolvable as problem:
        raise GenloomError("assistant.bad_json_setting", name="schema", reason=problem) from None
    return "" if error is None else f"{'.'.join(map(str, error.absolute_path)) or 'it'}: {error.message}"


def _explain_mismatch(pattern: str, answer: str) -> str:
    try:
        return "" if has_match(pattern, answer) else f"nothing matches {pattern}"
    except TimeoutError:
        return f"the pattern {pattern} takes too long"


@cache
def _parse_check(spec: str) -> Any:
    from genloom.rate.auto_rater import parse_check

    return parse_check(spec, "text")[1]
