"""Nouns agree with their numbers."""

from genloom.rate.wording import counted


def test_one_is_one() -> None:
    assert [counted(n, "rater") for n in (0, 1, 2)] == ["0 raters", "1 rater", "2 raters"]
    assert counted(1200, "entry", "entries") == "1,200 entries"
