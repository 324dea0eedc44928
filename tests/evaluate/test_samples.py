"""Variety of samples, on texts whose numbers can be counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.evaluate.samples import longest_loop, longest_repeat, variety


def test_counts_distinct_n_grams_over_all_samples():
    measured = variety(["the cat saw the dog", "The cat!"])
    # words: the cat saw the dog the cat !
    assert measured.count == 2
    assert measured.distinct == (pytest.approx(5 / 8), pytest.approx(5 / 6), 1.0, 1.0)
    assert (measured.repeated, measured.alike) == (0, 0)


def test_a_loop_is_seen_by_every_measure():
    stuck = variety(["to be or not " * 10, "to be or not " * 10])
    assert stuck.repeated == pytest.approx(1 - 4 / 37)
    assert stuck.longest_loop == 40
    assert stuck.longest_repeat == len("to be or not " * 9)
    assert stuck.alike == 1
    assert max(stuck.distinct) < 0.1


def test_scripts_without_spaces_are_counted_by_character():
    measured = variety(["吾輩は猫である吾輩は猫である"])
    assert measured.longest_loop == 14
    assert measured.distinct[0] == pytest.approx(0.5)


def test_short_and_empty_samples_measure_zero_not_an_error():
    measured = variety(["", "one"])
    assert (measured.repeated, measured.alike, measured.longest_repeat, measured.longest_loop) == (0, 0, 0, 0)
    assert measured.distinct == (1, 0, 0, 0)
    with pytest.raises(ValueError, match="at least one"):
        variety([])


@given(st.text("ab", max_size=30))
def test_longest_repeat_agrees_with_trying_every_stretch(text):
    n = len(text)
    slow = max((k for k in range(n) if any(text[i : i + k] in text[i + 1 :] for i in range(n - k + 1))), default=0)
    assert longest_repeat(text) == slow


@given(st.lists(st.sampled_from("abc"), max_size=14))
def test_longest_loop_agrees_with_trying_every_stretch(words):
    slow = 0
    for start in range(len(words)):
        for end in range(start + 2, len(words) + 1):
            part = words[start:end]
            if any(all(part[i] == part[i - p] for i in range(p, len(part))) for p in range(1, len(part) // 2 + 1)):
                slow = max(slow, len(part))
    assert longest_loop(words) == slow
