"""The choice among candidates of a translation: faults are found, and the best is taken."""

from collections.abc import Sequence

import pytest

from genloom.assistant.tasks.translation import (
    TranslationCandidate,
    build_translation_prompt,
    choose_translation,
    clean_candidate,
    find_faults,
)

SOURCE = "The warranty of the machine ends after two years, and then you pay for repairs."
GOOD = "La garantie de la machine se termine après deux ans, et ensuite vous payez les réparations."
OTHER = "La protection de la machine se termine après deux ans, et ensuite vous payez les réparations."
TERMS = {"warranty": "garantie"}


def choose(
    first: str, later: Sequence[str] = (), forced: str = "", terms: dict[str, str] | None = None, tries: int = 4
):
    asked: list[tuple[int, bool]] = []

    def write(prompt: str, count: int, grammar: str) -> list[TranslationCandidate]:
        asked.append((count, bool(grammar)))
        return (
            [TranslationCandidate(forced, "forced")] * bool(forced)
            if grammar
            else [TranslationCandidate(each, each) for each in later]
        )

    found = choose_translation(SOURCE, ("en", "fr"), terms or {}, TranslationCandidate(first, "first"), tries, write)
    return found, asked


def test_a_good_first_candidate_is_taken_without_others() -> None:
    found, asked = choose(GOOD, terms=TERMS)
    assert (found.text, found.output, found.means, found.missing, found.problems) == (GOOD, "first", "first", {}, ())
    assert asked == []


def test_another_candidate_is_taken_if_the_first_lacks_a_term() -> None:
    found, asked = choose(OTHER, [OTHER, GOOD], terms=TERMS)
    assert (found.text, found.means, found.missing) == (GOOD, "choice", {})
    assert asked == [(3, False)]


def test_a_grammar_is_the_last_resort() -> None:
    found, asked = choose(OTHER, [OTHER], forced="La garantie se termine après deux ans, et vous payez.", terms=TERMS)
    assert (found.means, found.output, found.missing) == ("grammar", "forced", {})
    assert asked == [(3, False), (1, True)]


def test_a_missing_term_is_said_where_no_grammar_helps() -> None:
    found, _ = choose(OTHER, [OTHER], terms=TERMS)
    assert found.missing == TERMS
    assert found.means == "first"


def test_a_copy_or_another_language_is_no_translation() -> None:
    assert choose(SOURCE, [OTHER])[0].text == OTHER
    assert choose("Die Garantie der Maschine endet nach zwei Jahren, und dann bezahlen Sie.", [OTHER])[0].text == OTHER
    found, _ = choose(SOURCE, [SOURCE])
    assert found.problems == ("copy",)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        (SOURCE, "copy"),
        ("The guarantee of this machine runs out after some years.", "language"),
        (f"{GOOD} Then you pay for repairs.", "part"),
        (GOOD * 4, "length"),
        ("Oui.", "length"),
        ("Utilisez warranty = garantie dans la phrase, et la garantie de la machine est de deux ans.", "echo"),
    ],
)
def test_faults(text: str, fault: str) -> None:
    assert fault in find_faults(TranslationCandidate(text, None), SOURCE, "fr", TERMS)


def test_labels_and_quotation_marks_are_removed() -> None:
    assert clean_candidate(TranslationCandidate(f'Translation: "{GOOD}"', None), SOURCE).text == GOOD
    assert clean_candidate(TranslationCandidate("« Oui »", None), "« Yes »").text == "« Oui »"
    assert clean_candidate(TranslationCandidate("Chère Anna,\n\noui.", None), "Dear Anna,").text == "Chère Anna, oui."
    assert clean_candidate(TranslationCandidate("Oui,\nmerci.", None), "Yes,\nthanks.").text == "Oui,\nmerci."


def test_the_prompt_names_the_languages_and_the_terms() -> None:
    prompt = build_translation_prompt("Hello", "en", "fr", TERMS)
    assert "English" in prompt
    assert "French" in prompt
    assert "warranty = garantie" in prompt
    assert prompt.endswith("\n\nHello")
