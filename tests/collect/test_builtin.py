"""The built-in corpus is as its README describes it."""

import sys
from pathlib import Path

import pytest

from genloom.collect import builtin

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import rebuild_shakespeare  # ty: ignore[import-not-found]


def test_the_size_and_the_characters() -> None:
    text = builtin.load_shakespeare()
    assert len(text) == 1_122_929
    assert text.isascii()
    assert set(text) >= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz .,;:!?'\n")
    assert not set(text) & set("\t\r{}")
    assert "\n\n\n\n" not in text
    for title in ("TWELFTH NIGHT", "JULIUS CAESAR", "OTHELLO", "KING RICHARD III", "MACBETH", "THE TEMPEST"):
        assert title in text
    assert "gutenberg" not in text.lower()
    assert f"{len(text):,}" in Path(builtin.__file__).with_name("README.md").read_text()


def test_a_play_starts_at_its_first_act() -> None:
    raw = (
        "A PLAY\n\nby William Shakespeare\n\n\nPERSONS\n\nONE.\n\n\n\nACT I.\n\nSCENE I.  \n\n\n\nONE.\nSpeak{aside]\n"
    )
    assert rebuild_shakespeare.extract_play(raw) == "A PLAY\n\nACT I.\n\nSCENE I.\n\nONE.\nSpeak[aside]\n"
    with pytest.raises(ValueError, match="first act"):
        rebuild_shakespeare.extract_play("A poem\n\nof no acts")
