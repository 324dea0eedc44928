"""Cleaning normalises text, and does not change text that is already normal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.collect.builtin import load_shakespeare
from genloom.collect.text.clean import clean_text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Größe, “quoted” — côté, naïve façade", "Größe, “quoted” — côté, naïve façade"),
        ("日本語、中文；한국어 🌊 👩‍👩‍👧", "日本語、中文；한국어 🌊 👩‍👩‍👧"),
        ("one\r\ntwo\rthree\x0cfour\u2028five", "one\ntwo\nthree\nfour\nfive"),
        ("a\x00b\x07c\x1b[0m", "abc[0m"),
        ("soft\xadhyphen zero\u200bwidth \ufeffmark", "softhyphen zerowidth mark"),
        ("no\xa0break thin\u2009space", "no break thin space"),
        ("trailing  \t\nblanks \n\n\n\n\n\nmany lines\n\n", "trailing\nblanks\n\n\nmany lines"),
        ("\n    indented = code\n\tkept", "    indented = code\n\tkept"),
        ("e\u0301 composed", "é composed"),
        ("half a pair \ud83d here", "half a pair \ufffd here"),
        (" \n\t\n ", ""),
    ],
)
def test_cleaning(before: str, after: str) -> None:
    assert clean_text(before) == (after, False)


@pytest.mark.parametrize("right", ["Größe über alles", "l’été déjà “côté” —", "naïve café…", "мира", "Ærø"])
@pytest.mark.parametrize("wrong", ["sloppy-windows-1252", "latin-1"])
def test_wrongly_decoded_text_is_repaired(right: str, wrong: str) -> None:
    import ftfy.bad_codecs.sloppy  # noqa: F401  # Windows-1252 as browsers read it, its five gaps filled

    broken = right.encode("utf-8").decode(wrong)
    text, repaired = clean_text(f"A good line — with a dash.\n{broken}\nÀ la fin.")
    assert text == f"A good line — with a dash.\n{right}\nÀ la fin."
    assert repaired


@given(st.text())
def test_cleaning_twice_equals_cleaning_once(text: str) -> None:
    once, _ = clean_text(text)
    again, repaired = clean_text(once)
    assert (again == once) or repaired  # text that was broken twice is repaired once each time
    once.encode("utf-8")


def test_clean_text_does_not_change() -> None:
    text = load_shakespeare().rstrip()
    assert clean_text(text) == (text, False)
