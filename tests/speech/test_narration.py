"""Texts in passages: sentences with pauses, short ones joined, long ones divided; nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from genloom.speech.markup import MAX_PAUSE_SECONDS, PARAGRAPH_SECONDS, Pause, iter_parts
from genloom.speech.narration import Passage, divide_sentence, is_spoken, iter_passages


def narrate(text: str, max_phonemes: int = 60, min_phonemes: int = 10) -> list[str | float]:
    parts = iter_passages(text, lambda passage: passage, max_phonemes, min_phonemes)
    return [part.phonemes if isinstance(part, Passage) else part.seconds for part in parts]


def test_sentences_are_passages_and_paragraphs_have_a_pause_between_them() -> None:
    text = "The first sentence. The second one!\n\nAnother paragraph?"
    assert narrate(text) == ["The first sentence.", "The second one!", PARAGRAPH_SECONDS, "Another paragraph?"]


def test_short_sentences_are_joined_to_the_next() -> None:
    assert narrate("No. Yes. I am not sure. Oh.") == ["No. Yes. I am not sure.", "Oh."]


def test_long_sentences_are_divided_after_clauses() -> None:
    pieces = narrate("one two three, four five six, seven eight nine, ten eleven twelve", 40)
    assert pieces == ["one two three, four five six,", "seven eight nine, ten eleven twelve"]


def test_pauses_are_read_in_both_notations() -> None:
    parts = list(iter_parts('One [pause 2s] two <break time="250ms"/> three [pause] <speak>four</speak> [pause 99s]'))
    assert [part.seconds for part in parts if isinstance(part, Pause)] == [2, 0.25, 0.5, MAX_PAUSE_SECONDS]
    assert [part for part in parts if isinstance(part, str)] == ["One", "two", "three", "four"]


def test_text_without_a_sound_has_no_passage() -> None:
    assert narrate("… !? —") == []


@given(st.text("ab ,.;", min_size=1, max_size=300), st.integers(5, 50))
def test_no_sound_is_lost_and_no_piece_is_too_long(text: str, max_phonemes: int) -> None:
    pieces = divide_sentence(text.strip(), max_phonemes)
    assert all(len(piece) <= max_phonemes and is_spoken(piece) for piece in pieces)
    assert "".join(c for piece in pieces for c in piece if c.isalpha()) == "".join(c for c in text if c.isalpha())
