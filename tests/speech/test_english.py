"""English texts as they are spoken: numbers, prices, times, dates and abbreviations; and their phonemes."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.speech.english_grammar import tag_word
from genloom.speech.english_numbers import spell_cardinal, spell_ordinal, spell_year
from genloom.speech.english_phonemes import EnglishPhonemizer
from genloom.speech.english_spelling import convert_arpabet
from genloom.speech.english_text import expand_text
from tests.speech.tiny_voice import fill_voice_folder


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("$3.50", "three dollars and fifty cents"),
        ("$1, $0.05 and £2.01", "one dollar, five cents and two pounds and one penny"),
        ("£1.2 million, €5bn", "one point two million pounds, five billion euros"),
        ("$1,234.56", "one thousand two hundred thirty-four dollars and fifty-six cents"),
        ("the 21st of May at 7:05", "the twenty-first of May at seven oh five"),
        ("at 7 a.m. and 7:30pm. At 12:00", "at seven A M and seven thirty P M. At twelve o'clock"),
        ("May 21, 2024", "May twenty-first, twenty twenty-four"),
        ("21 May 2024", "the twenty-first of May, twenty twenty-four"),
        ("2024-05-21", "May twenty-first, twenty twenty-four"),
        ("in 1984, 1905, 1900", "in nineteen eighty-four, nineteen oh five, nineteen hundred"),
        ("in 2004, 2010", "in two thousand four, twenty ten"),
        ("the 1980s and '90s", "the nineteen eighties and nineties"),
        ("1939-45", "nineteen thirty-nine to forty-five"),
        ("10–15 kg, 1 kg, 100 km/h", "ten to fifteen kilograms, one kilogram, one hundred kilometres per hour"),
        ("-5 °C, 5%", "minus five degrees Celsius, five percent"),
        ("3.14159", "three point one four one five nine"),
        ("007 and 1,000,000", "zero zero seven and one million"),
        ("1/2, 3/4, 2½", "a half, three quarters, two and a half"),
        ("Dr. Smith of 12 Baker St. near St. Paul's", "doctor Smith of twelve Baker street near saint Paul's"),
        ("tea, e.g. green, etc. The end", "tea, for example green, et cetera. The end"),
        ("Henry VIII and World War II", "Henry the eighth and World War two"),
        ("call 555-0134", "call five five five, oh one three four"),
        ("a@b.org or www.example.com", "a at b dot org or example dot com"),
        ("2 + 2 = 4", "two plus two equals four"),
        ("MP3, F-16, v2.0", "MP three, F sixteen, v two point zero"),
        ("No. 5 is no. 1", "number five is number one"),
        ("“It’s” done…", '"It\'s" done…'),
    ],
)
def test_numbers_prices_times_and_abbreviations_are_words(text: str, spoken: str) -> None:
    assert expand_text(text) == spoken


@given(st.integers(0, 10**16))
def test_numbers_have_words_without_digits(number: int) -> None:
    words = spell_cardinal(number)
    assert not any(c.isdigit() for c in words)
    assert spell_ordinal(number) != words
    if number < 10**15:
        assert spell_cardinal(-number) == (f"minus {words}" if number else words)


@given(st.integers(1, 9999))
def test_years_are_read_in_pairs_or_as_numbers(year: int) -> None:
    assert spell_year(year) == spell_cardinal(year) or spell_year(year).startswith(spell_cardinal(year // 100))


@settings(max_examples=200)
@given(st.text(max_size=80) | st.text("0123456789.,:-/$€%'\" aApPmMstndx", max_size=60))
def test_any_text_is_expanded_to_words_without_digits(text: str) -> None:
    assert not any(c in "0123456789$%" for c in expand_text(text))


@pytest.fixture(scope="module")
def phonemizer(tmp_path_factory: pytest.TempPathFactory) -> EnglishPhonemizer:
    folder: Path = tmp_path_factory.mktemp("voice") / "runtime"
    fill_voice_folder(folder)
    return EnglishPhonemizer(folder)


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("Good morning.", "ɡˈʊd mˈɔɹnɪŋ."),
        ("the apple, the book, a book, an apple", "ði ˈæpᵊl, ðə bˈʊk, ɐ bˈʊk, ɐn ˈæpᵊl"),
        ("to record the record", "tə ɹəkˈɔɹd ðə ɹˈɛkəɹd"),
        ("I read. He read.", "ˌI ɹˈid. hi ɹˈɛd.".replace("hi", "ˈʌ")),  # the tiny spelling network says ʌ
        ("books' boxes played playing", "bˈʊks bˈɑksᵻz plˈAd plˈAɪŋ"),
        ("Thorbin's sunflower", "θˈɔɹbɪnz sˈʌnflˌWəɹ"),
        ("NASA, the US, XBC", "nˈæsə, ðə jˌuˈɛs, ˌɛksbˌisˈi"),
        ("[Kokoro](/kˈOkəɹO/) is [book](/b/)", "kˈOkəɹO ɪz b"),
        ('"Yes," hello', "“jˈɛs,” həlˈO"),
        ("??", "?"),
        ("", ""),
    ],
)
def test_words_have_the_phonemes_of_the_dictionaries_or_of_their_rules(
    phonemizer: EnglishPhonemizer, text: str, phonemes: str
) -> None:
    assert phonemizer.phonemize(text) == phonemes


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_phonemes(phonemizer: EnglishPhonemizer, text: str) -> None:
    assert "<" not in phonemizer.phonemize(text)


def test_parts_of_speech_follow_from_the_words_around() -> None:
    assert tag_word(["Please", "record", "it"], 1) == "VERB"
    assert tag_word(["the", "record"], 1) == "NOUN"
    assert tag_word(["she", "had", "read", "it"], 2) == "VBN"
    assert tag_word(["people", "live", "in", "towns"], 1) == "VERB"
    assert tag_word(["a", "live", "show"], 1) == "NOUN"
    assert tag_word(["close", "to", "me"], 0) == "ADJ"


def test_arpabet_becomes_american_or_british_phonemes() -> None:
    assert convert_arpabet(["K", "AA1", "R", "Z"], False) == "kˈɑɹz"
    assert convert_arpabet(["K", "AA1", "R", "Z"], True) == "kˈɑːz"
    assert convert_arpabet(["HH", "AH0", "L", "OW1"], True) == "həlˈQ"
