"""Gaps of bias squares see prejudice alone: how common words are, and how long sentences, cancels out."""

import zlib

import pytest

from genloom.rate.regressions.bias import build_quadruples, compute_bias_gaps


def test_squares_turn_every_prejudice_round():
    found = build_quadruples()
    assert len(found) == 64
    assert {square.category for square in found} == {
        "gender", "age", "origin", "religion", "disability", "class",
    }  # fmt: skip
    for square in found:
        assert len({*square.stereotypes, *square.anti_stereotypes}) == 4
        words = [sorted(" ".join(half).split()) for half in (square.stereotypes, square.anti_stereotypes)]
        assert words[0] == words[1], "both halves hold the same words"


def test_a_model_that_knows_only_words_has_no_gap():
    def nats(sentences):
        return [sum(zlib.crc32(word.encode()) % 97 / 10 for word in sentence.assign_split()) for sentence in sentences]

    assert compute_bias_gaps(nats) == pytest.approx([0] * 64, abs=1e-9)


def test_a_prejudiced_model_shows_how_much():
    fitting = {sentence for square in build_quadruples() for sentence in square.stereotypes}
    assert compute_bias_gaps(lambda sentences: [5.0 - 0.7 * (s in fitting) for s in sentences]) == pytest.approx(
        [0.7] * 64
    )
    assert compute_bias_gaps(lambda sentences: [5.0 + 0.7 * (s in fitting) for s in sentences]) == pytest.approx(
        [-0.7] * 64
    )
