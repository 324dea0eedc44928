"""Errors that a user can fix: a code and fields for programs, one or two sentences for people.

The texts are in `genloom/messages/<area>.toml`, keyed by the second half of the code: `GenloomError("train.no_data")`
reads `no_data` in `messages/train.toml`. A text is a `str.format` template over the error's fields.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from genloom.option_names import name_option_fields, name_options
from genloom.program import name_program, quote_fields, quote_name
from genloom.text_format import agree_with_counts

_FOLDER = Path(__file__).parent / "messages"
REASON_START = re.compile("(an?|at|its?|no|none|of|one|region|that|the|there|this|what|with|without) ")  # of a text
_MAX_CHARS = 5000  # of a text; a value from a damaged file may have megabytes


class GenloomError(ValueError):
    """An error that a user can fix; `str(error)` says what is wrong, the value, the constraint and the cure.

    Programs read `code` ("train.no_data") and `fields` (the values in the text). A bug in Genloom is an
    AssertionError, never this.
    """

    def __init__(self, code: str, /, **fields: Any) -> None:
        super().__init__(format_message(code, **fields))
        self.code = code
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:  # so that worker processes can hand it to their parent
        return _rebuild_error, (self.code, self.fields)


class ErrorText(str):
    """The text of an error that was found and not raised, with its code and the values in the text."""

    code: str  # "": of no GenloomError
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, error: Exception) -> "ErrorText":
        """Return the text of an error."""
        text = cls(error)
        text.code, text.fields = getattr(error, "code", ""), getattr(error, "fields", {})
        return text


def format_message(code: str, /, **fields: Any) -> str:
    """Return the text of `code` with `fields` filled in; also for warnings and notes, which are not raised."""
    area, _, key = code.partition(".")
    written = load_messages(area)[key]
    fields = name_option_fields(fields, written, area)
    template = quote_fields(name_options(agree_with_counts(written, fields), area, is_template=True))
    quoted = {name: quote_name(str(value)) for name, value in fields.items()} if "{quoted[" in template else {}
    text = name_program(template, is_template=True).format(**fields, quoted=quoted)
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]} …"


@cache
def load_messages(area: str) -> dict[str, str]:
    """Load the texts of an area, by key."""
    return tomllib.loads((_FOLDER / f"{area}.toml").read_text(encoding="utf-8"))


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`; None if none is similar."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(known), n=1)), None)


def format_suggestion(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?", to follow a sentence of a text; "" if no known name is similar."""
    close = find_nearest(name, known)
    return "" if close is None else " " + format_message("core.did_you_mean", nearest=close)


def is_reason(error: Exception) -> bool:
    """Return whether the text of an error is a reason, "it is empty", to follow the name of what it is about."""
    area, _, key = getattr(error, "code", "").partition(".")
    return bool(area) and REASON_START.match(load_messages(area)[key]) is not None


def to_sentence(error: Exception) -> str:
    """Return the text of an error; that of a reason as a sentence of its own."""
    text = str(error)
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if is_reason(error) else text


def list_areas() -> list[str]:
    """List the areas that have texts, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def _rebuild_error(code: str, fields: dict[str, Any]) -> GenloomError:
    return GenloomError(code, **fields)
