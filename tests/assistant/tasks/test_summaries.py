"""Summaries: texts that fit are written at once, longer ones from summaries of their pieces, and all is checked."""

from collections.abc import Sequence

import pytest

from genloom.assistant.tasks.extracts import extract_centroid, extract_lead
from genloom.assistant.tasks.sentences import split_sentences
from genloom.assistant.tasks.summaries import (
    LENGTHS,
    find_length,
    summarize_document,
    trim_sentences,
)
from genloom.assistant.tasks.support import compute_support_share, measure_support
from genloom.errors import GenloomError

ARTICLE = (
    "The bridge over the Tamar was opened in 1859 by Prince Albert. It carries a single line of the railway. "
    "Engineers from Bristol repaired its piers in 1998. The work cost twelve million pounds. "
    "Passengers may walk across it once a year."
)


def count_words(text: str) -> int:
    return len(text.split())


class Writer:
    """Answers each prompt with the first sentence of its text, and keeps what it was asked."""

    def __init__(self, answer: str = "") -> None:
        self.calls: list[list[str]] = []
        self.answer = answer

    def __call__(self, prompts: Sequence[str], max_tokens: int) -> list[tuple[str, str]]:
        self.calls.append(list(prompts))
        texts = [prompt.partition("\n\n")[2] for prompt in prompts]
        return [(self.answer or split_sentences(text)[0], f"output {len(self.calls)}") for text in texts]


def test_a_text_that_fits_is_summarised_at_once() -> None:
    writer = Writer()
    found = summarize_document(ARTICLE, "short", 600, count_words, writer)
    assert (found.num_pieces, found.num_rounds, found.output) == (1, 0, "output 1")
    assert found.text == split_sentences(ARTICLE)[0]
    assert ARTICLE in writer.calls[0][0]


def test_a_long_text_is_summarised_in_pieces_that_hold_all_of_it() -> None:
    text = "\n\n".join(f"Paragraph {n} tells of day {n}. " + "It says many more words. " * 12 for n in range(30))
    writer = Writer()
    found = summarize_document(text, "line", 300, count_words, writer)
    assert found.num_pieces == len(writer.calls[0]) > 5
    assert found.num_rounds >= 1
    assert len(writer.calls[-1]) == 1
    joined = " ".join(writer.calls[0])
    assert all(f"Paragraph {n} tells" in joined for n in range(30))
    assert all(count_words(prompt) <= 300 for call in writer.calls for prompt in call)


def test_a_model_that_writes_nothing_gives_an_empty_summary() -> None:
    found = summarize_document("word " * 2000, "line", 300, count_words, Writer(" "))
    assert found.text == ""


def test_wrong_lengths_and_short_contexts_are_refused() -> None:
    with pytest.raises(GenloomError) as caught:
        find_length("shrot")
    assert caught.value.code == "tasks.unknown_length"
    assert "short" in str(caught.value)
    with pytest.raises(GenloomError) as caught:
        summarize_document(ARTICLE, "long", 120, count_words, Writer())
    assert caught.value.code == "tasks.context_too_short"
    assert set(LENGTHS) == {"line", "short", "medium", "long"}


def test_a_sentence_that_was_cut_is_left_off() -> None:
    assert trim_sentences("One is here. Two is there. And then the", 5) == "One is here. Two is there."
    assert trim_sentences("One is here. Two is there.", 1) == "One is here."
    assert trim_sentences("only a beginning", 2) == "only a beginning"


def test_extracts_are_sentences_of_the_text_in_its_order() -> None:
    sentences = split_sentences(ARTICLE)
    assert extract_lead(sentences, 2) == sentences[:2]
    central = extract_centroid(sentences, 2)
    assert len(central) == 2
    assert [sentence for sentence in sentences if sentence in central] == central


def test_sentences_of_the_text_are_supported_and_inventions_are_not() -> None:
    summary = (
        "The bridge over the Tamar was opened in 1859. It carries a line of the railway. "
        "The work cost ninety-nine million dollars in 2005. The mayor of Paris paid for the flowers."
    )
    support = measure_support(summary, ARTICLE)
    assert [each.is_supported for each in support] == [True, True, False, False]
    assert compute_support_share(support) == 0.5
    assert support[0].source == split_sentences(ARTICLE)[0]


def test_a_wrong_number_is_not_supported() -> None:
    (each,) = measure_support("The bridge over the Tamar was opened in 1895 by Prince Albert.", ARTICLE)
    assert each.overlap > 0.7
    assert not each.is_supported


def test_a_sentence_that_turns_the_text_around_is_not_supported() -> None:
    turned, straight = measure_support(
        "Passengers may not walk across it once a year. Passengers may walk across it once a year.", ARTICLE
    )
    assert turned.overlap > 0.7
    assert (turned.is_supported, straight.is_supported) == (False, True)


def test_nothing_is_supported_where_nothing_is_written() -> None:
    assert measure_support("", ARTICLE) == []
    assert compute_support_share([]) == 0
