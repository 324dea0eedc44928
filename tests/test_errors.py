"""Every error has a code with one text, every text is used, and texts keep to the rules of CONTRIBUTING."""

import ast
import pickle  # noqa: TID251  # as worker processes do
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genloom.errors import (
    REASON_START,
    GenloomError,
    find_nearest,
    format_message,
    list_areas,
    load_messages,
    to_sentence,
)

ROOT = Path(__file__).parents[1]
CALLS = {"GenloomError", "APIError", "ClientLeft", "EngineBusy", "EngineDied", "format_message"}
QUAINT = re.compile(
    r"\b(anew|shall|leave (it|them|\S+) away|is none|are none|goes on with|makes no sense|daring|symbols?)\b", re.I
)


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """(place, code, names of fields) of every error or message in the package; a `**` gives the name `*`."""
    for path in sorted((ROOT / "genloom").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                assert node.args, f"{place}: no code"
                first = node.args[0]
                if path.name == "errors.py" and not isinstance(first, ast.Constant):
                    continue  # the code is handed on
                assert isinstance(first, ast.Constant), f"{place}: the code of an error is a literal"
                yield place, str(first.value), {keyword.arg or "*" for keyword in node.keywords}


def fields_of(template: str) -> set[str]:
    names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    return {re.split(r"[.\[]", name)[0] for name in names}


def test_every_code_has_a_text_that_needs_no_more_than_the_fields_given() -> None:
    for place, code, given in calls():
        area, _, key = code.partition(".")
        assert area in list_areas(), f"{place}: there is no messages/{area}.toml"
        assert key in load_messages(area), f"{place}: messages/{area}.toml has no {key!r}"
        missing = fields_of(load_messages(area)[key]) - given
        assert not missing or "*" in given, f"{place}: {code} lacks {sorted(missing)}"


def test_every_text_is_used() -> None:
    used = {code for _, code, _ in calls()}
    unused = [f"{area}.{key}" for area in list_areas() for key in load_messages(area) if f"{area}.{key}" not in used]
    assert not unused


@pytest.mark.parametrize("area", list_areas())
def test_texts_are_plain(area: str) -> None:
    for key, text in load_messages(area).items():
        assert text == text.strip(), f"{area}.{key}: blanks around the text"
        assert not (found := QUAINT.search(text)), f"{area}.{key}: {found[0]!r}"


@pytest.mark.parametrize("area", list_areas())
def test_texts_begin_with_a_capital_a_name_or_as_a_reason(area: str) -> None:
    """Reasons ("it is empty") follow the name of what they are about; fragments do not end in a full stop."""
    name = re.compile(r"[A-Z{\W\d]|[a-z]+[._]|genloom |(conditions|dropout|heads|levels|size)\b|permission denied")
    for key, text in load_messages(area).items():
        is_sentence = text.endswith(".") and not REASON_START.match(text)
        assert not is_sentence or name.match(text), f"{area}.{key}: {text}"


def test_a_reason_becomes_a_sentence_and_names_stay() -> None:
    assert to_sentence(GenloomError("music.no_notes")) == "It has no notes."
    named = GenloomError("media.unreadable", path="it is.mid", reason=GenloomError("music.no_notes"))
    assert to_sentence(named) == "it is.mid: it has no notes"
    assert to_sentence(ValueError("it is")) == "it is"


def test_an_error_keeps_its_code_and_fields_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: dict[str, dict[str, str]] = {"toy": {"wrong": "The count must be at least 1 (got {value})."}}
    monkeypatch.setattr("genloom.errors.load_messages", lambda area: texts[area])
    error = GenloomError("toy.wrong", value=0)
    copy: Any = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (copy.code, copy.fields, str(copy)) == ("toy.wrong", {"value": 0}, "The count must be at least 1 (got 0).")
    assert format_message("toy.wrong", value=0) == str(error)


def test_the_nearest_known_name_is_suggested() -> None:
    assert find_nearest("colect", ["compare", "collect"]) == "collect"
    assert find_nearest("zzz", {"collect": "", "compare": ""}) is None
