"""What supports a sentence: its words, numbers and names in a source; and what does not."""

import pytest

from genloom.assistant.knowledge.contradiction import has_denial, list_numbers
from genloom.assistant.knowledge.support import find_support
from genloom.text_encoders.minilm.sentences import embed_texts

SOURCES = (
    (
        "The warranty of the kettle lasts 24 months from the date of purchase. It does not cover the filter. "
        "Repairs are made by Miller and Sons in Bremen."
    ),
    "Parcels are sent within three working days. Shipping inside the country is free above 50 euros.",
)


@pytest.mark.parametrize(
    "sentence",
    [
        "The warranty of the kettle lasts 24 months.",
        "The kettle's warranty is 24 months from the date of purchase.",
        "Repairs are made by Miller and Sons.",
        "Shipping is free above 50 euros inside the country.",
        "The filter is not covered.",
        "Parcels are sent within 3 working days.",
    ],
)
def test_what_a_source_says_is_supported_and_quoted(sentence: str) -> None:
    (support,) = find_support(sentence, SOURCES, embed_texts)
    assert support.is_supported, support
    assert support.source is not None
    assert SOURCES[support.source][support.quote_start :].startswith(support.quote)


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("The warranty of the kettle lasts 36 months.", "numbers"),
        ("The warranty of the kettle does not last 24 months.", "denial"),
        ("Repairs are made by Schmidt and Sons in Bremen.", "names"),
        ("The kettle boils water in two minutes with a loud whistle.", "words"),
        ("Elephants are the largest animals on land.", "words"),
    ],
)
def test_what_no_source_says_is_marked_with_the_reason(sentence: str, reason: str) -> None:
    (support,) = find_support(sentence, SOURCES, embed_texts)
    assert not support.is_supported
    assert support.reason == reason


def test_each_sentence_of_an_answer_is_judged_by_itself() -> None:
    answer = "The warranty of the kettle lasts 24 months. It was built on the moon by robots."
    first, second = find_support(answer, SOURCES, embed_texts)
    assert (first.is_supported, second.is_supported) == (True, False)
    assert answer[first.start : first.end] == first.text
    assert answer[second.start : second.end] == second.text


def test_citations_that_a_model_writes_are_no_evidence() -> None:
    (support,) = find_support("The moon is made of green cheese. [1]", SOURCES, embed_texts)
    assert not support.is_supported


def test_names_of_the_section_may_be_used() -> None:
    (support,) = find_support(
        "The warranty of the Aquaboil kettle lasts 24 months.", SOURCES, embed_texts, ["Aquaboil", "Shipping"]
    )
    assert support.is_supported


def test_nothing_is_supported_without_sources_and_nothing_is_judged_without_words() -> None:
    assert not find_support("It lasts 24 months.", [], embed_texts)[0].is_supported
    assert find_support("… 24 !", SOURCES, embed_texts) == []
    assert find_support("", SOURCES, embed_texts) == []


def test_numbers_have_one_form() -> None:
    assert list_numbers("1,200 euros in three steps") == {"1200", "3"}
    assert list_numbers("on 2024-03-01 at 10:30") == {"2024-03-01", "10:30"}


def test_denials_are_found_in_several_languages() -> None:
    assert all(map(has_denial, ("It isn't so.", "Das gilt nicht.", "Il n'y a jamais de pain.", "It cannot be.")))
    assert not has_denial("It is so, and notable.")
