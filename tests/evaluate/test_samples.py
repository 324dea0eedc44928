"""Variety of samples, on texts whose numbers can be counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.evaluate.text.diversity import measure_longest_loop, measure_longest_repeat, measure_text_diversity


def test_counts_distinct_n_grams_over_all_samples():
    measured = measure_text_diversity(["the cat saw the dog", "The cat!"])
    # words: the cat saw the dog the cat !
    assert measured.count == 2
    assert measured.distinct_ratios == (pytest.approx(5 / 8), pytest.approx(5 / 6), 1.0, 1.0)
    assert (measured.repetition, measured.cross_overlap) == (0, 0)


def test_a_loop_is_seen_by_every_measure():
    stuck = measure_text_diversity(["to be or not " * 10, "to be or not " * 10])
    assert stuck.repetition == pytest.approx(1 - 4 / 37)
    assert stuck.longest_loop == 40
    assert stuck.longest_repeat == len("to be or not " * 9)
    assert stuck.cross_overlap == 1
    assert max(stuck.distinct_ratios) < 0.1


def test_scripts_without_spaces_are_counted_by_character():
    measured = measure_text_diversity(["吾輩は猫である吾輩は猫である"])
    assert measured.longest_loop == 14
    assert measured.distinct_ratios[0] == pytest.approx(0.5)


def test_short_and_empty_samples_measure_zero_not_an_error():
    measured = measure_text_diversity(["", "one"])
    assert (measured.repetition, measured.cross_overlap, measured.longest_repeat, measured.longest_loop) == (0, 0, 0, 0)
    assert measured.distinct_ratios == (1, 0, 0, 0)
    with pytest.raises(ValueError, match="at least one"):
        measure_text_diversity([])


@given(st.text("ab", max_size=30))
def test_longest_repeat_agrees_with_trying_every_stretch(text):
    n = len(text)
    slow = max((k for k in range(n) if any(text[i : i + k] in text[i + 1 :] for i in range(n - k + 1))), default=0)
    assert measure_longest_repeat(text) == slow


@given(st.lists(st.sampled_from("abc"), max_size=14))
def test_longest_loop_agrees_with_trying_every_stretch(words):
    slow = 0
    for start in range(len(words)):
        for end in range(start + 2, len(words) + 1):
            part = words[start:end]
            if any(all(part[i] == part[i - p] for i in range(p, len(part))) for p in range(1, len(part) // 2 + 1)):
                slow = max(slow, len(part))
    assert measure_longest_loop(words) == slow
