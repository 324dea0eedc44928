"""Nouns agree with their numbers."""

import re

import pytest

from genloom import text_format
from genloom.errors import list_areas, load_messages
from genloom.text_format import agree_with_counts, format_count


def test_one_is_one() -> None:
    assert [format_count(n, "rater") for n in (0, 1, 2)] == ["0 raters", "1 rater", "2 raters"]
    assert format_count(1200, "entry", "entries") == "1,200 entries"


@pytest.mark.parametrize(
    ("template", "fields", "text"),
    [
        ("it has {count:,} documents", {"count": 1}, "it has 1 document"),
        ("{count} more passages were left out", {"count": 1}, "1 more passage was left out"),
        ("{count} prompts have blanks", {"count": 2}, "2 prompts have blanks"),
        ("all {expected:,} entries were lost", {"expected": 1.0}, "all 1 entry was lost"),
        ("its {count} axes", {"count": 1}, "its 1 axis"),
        ("version {version} has no rows", {"version": 1}, "version 1 has no rows"),
        ("{count} of its {total} rows were not used", {"count": 1, "total": 3}, "1 of its 3 rows were not used"),
        ("{name} files", {"name": "1"}, "1 files"),
    ],
)
def test_nouns_of_texts_agree_with_their_fields(template: str, fields: dict[str, object], text: str) -> None:
    assert agree_with_counts(template, fields).replace(":,", "").format(**fields).replace("1.0", "1") == text


def test_every_counted_noun_of_a_text_is_known() -> None:
    counted = re.compile(r"\{\w+:,\} (?:(?!of |and |to |or |times )[a-z-]+ ){0,2}?([a-z]+s)\b")
    unknown = {
        f"{area}.{key}: {noun}"
        for area in list_areas()
        for key, template in load_messages(area).items()
        for noun in counted.findall(template)
        if noun not in text_format._PLURALS and noun not in ("is", "has", "takes", "this")
    }
    assert not unknown
