"""Nouns agree with their numbers."""

from genloom.text_format import format_count


def test_one_is_one() -> None:
    assert [format_count(n, "rater") for n in (0, 1, 2)] == ["0 raters", "1 rater", "2 raters"]
    assert format_count(1200, "entry", "entries") == "1,200 entries"
