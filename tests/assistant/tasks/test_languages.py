"""Languages are known by code and name in any spelling, and others are refused with the nearest name."""

import pytest

from genloom.assistant.tasks.languages import LANGUAGES, find_language, find_source_language, is_in_language
from genloom.errors import GenloomError

ENGLISH = "The quick brown fox jumps over the lazy dog, and then it sleeps in the shade of an old tree."
FRENCH = "Le renard brun saute par-dessus le chien paresseux, puis il dort à l'ombre d'un vieil arbre."


@pytest.mark.parametrize("name", ["fr", "FR", "French", "français", "Francais", "fr-CA", "fr_FR"])
def test_a_language_is_known_by_code_and_name(name: str) -> None:
    assert find_language(name) == "fr"


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_name_leads_to_its_code(code: str) -> None:
    assert {find_language(name) for name in (code, *LANGUAGES[code])} == {code}


def test_another_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(GenloomError) as caught:
        find_language("Frensh")
    assert caught.value.code == "tasks.unknown_language"
    assert "French" in str(caught.value)
    with pytest.raises(GenloomError, match="Known"):
        find_language("qqq")


def test_the_language_of_a_text_is_found() -> None:
    assert find_source_language(ENGLISH, "fr") == "en"
    assert is_in_language(FRENCH, "fr") is True
    assert is_in_language(ENGLISH, "fr") is False
    assert is_in_language("OK", "fr") is None


@pytest.mark.parametrize(
    ("text", "code"), [(FRENCH, "tasks.source_is_target"), ("1 2", "tasks.source_language_unclear")]
)
def test_a_text_without_a_source_language_is_refused(text: str, code: str) -> None:
    with pytest.raises(GenloomError) as caught:
        find_source_language(text, "fr")
    assert caught.value.code == code
