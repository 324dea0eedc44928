"""Gaps of bias squares see prejudice alone: how common words are, and how long sentences, cancels out."""

import zlib

import pytest

from genloom.rate.regressions.bias import gaps, squares


def test_squares_turn_every_prejudice_round():
    found = squares()
    assert len(found) == 64
    assert {square.kind for square in found} == {
        "gender", "age", "origin", "religion", "disability", "class",
    }  # fmt: skip
    for square in found:
        assert len({*square.fitting, *square.turned}) == 4
        words = [sorted(" ".join(half).split()) for half in (square.fitting, square.turned)]
        assert words[0] == words[1], "both halves hold the same words"


def test_a_model_that_knows_only_words_has_no_gap():
    def nats(sentences):
        return [sum(zlib.crc32(word.encode()) % 97 / 10 for word in sentence.split()) for sentence in sentences]

    assert gaps(nats) == pytest.approx([0] * 64, abs=1e-9)


def test_a_prejudiced_model_shows_how_much():
    fitting = {sentence for square in squares() for sentence in square.fitting}
    assert gaps(lambda sentences: [5.0 - 0.7 * (s in fitting) for s in sentences]) == pytest.approx([0.7] * 64)
    assert gaps(lambda sentences: [5.0 + 0.7 * (s in fitting) for s in sentences]) == pytest.approx([-0.7] * 64)
