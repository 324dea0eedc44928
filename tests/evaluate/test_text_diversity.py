"""Diversity of text samples, on texts whose numbers can be counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.evaluate.text.diversity import measure_longest_loop, measure_longest_repeat, measure_text_diversity
from tests.errors import raises_code


def test_counts_distinct_n_grams_over_all_samples():
    metrics = measure_text_diversity(["the cat saw the dog", "The cat!"])
    # words: the cat saw the dog the cat !
    assert metrics.count == 2
    assert metrics.distinct_ratios == (pytest.approx(5 / 8), pytest.approx(5 / 6), 1.0, 1.0)
    assert (metrics.repetition, metrics.cross_overlap) == (0, 0)


def test_every_metric_shows_a_loop():
    metrics = measure_text_diversity(["to be or not " * 10, "to be or not " * 10])
    assert metrics.repetition == pytest.approx(1 - 4 / 37)
    assert metrics.longest_loop == 40
    assert metrics.longest_repeat == len("to be or not " * 9)
    assert metrics.cross_overlap == 1
    assert max(metrics.distinct_ratios) < 0.1


def test_scripts_without_spaces_are_counted_by_character():
    metrics = measure_text_diversity(["吾輩は猫である吾輩は猫である"])
    assert metrics.longest_loop == 14
    assert metrics.distinct_ratios[0] == pytest.approx(0.5)


def test_short_and_empty_samples_measure_zero_not_an_error():
    metrics = measure_text_diversity(["", "one"])
    assert (metrics.repetition, metrics.cross_overlap, metrics.longest_repeat, metrics.longest_loop) == (0, 0, 0, 0)
    assert metrics.distinct_ratios == (1, 0, 0, 0)
    with raises_code("evaluate.no_samples"):
        measure_text_diversity([])


@given(st.text("ab", max_size=30))
def test_longest_repeat_agrees_with_brute_force(text):
    n = len(text)
    expected = max((k for k in range(n) if any(text[i : i + k] in text[i + 1 :] for i in range(n - k + 1))), default=0)
    assert measure_longest_repeat(text) == expected


@given(st.lists(st.sampled_from("abc"), max_size=14))
def test_longest_loop_agrees_with_brute_force(words):
    expected = 0
    for start in range(len(words)):
        for end in range(start + 2, len(words) + 1):
            part = words[start:end]
            if any(all(part[i] == part[i - p] for i in range(p, len(part))) for p in range(1, len(part) // 2 + 1)):
                expected = max(expected, len(part))
    assert measure_longest_loop(words) == expected
