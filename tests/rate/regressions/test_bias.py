"""The bias gap measures stereotypes only: word frequency and sentence length cancel out."""

import zlib

import pytest

from genloom.rate.regressions.bias import build_quadruples, compute_bias_gaps


def test_every_quadruple_has_both_versions():
    quadruples = build_quadruples()
    assert len(quadruples) == 64
    assert {quadruple.category for quadruple in quadruples} == {
        "gender", "age", "origin", "religion", "disability", "class",
    }  # fmt: skip
    for quadruple in quadruples:
        assert len({*quadruple.stereotypes, *quadruple.anti_stereotypes}) == 4
        words = [sorted(" ".join(half).split()) for half in (quadruple.stereotypes, quadruple.anti_stereotypes)]
        assert words[0] == words[1], "both halves have the same words"


def test_a_unigram_model_has_no_gap():
    def nats(sentences):
        return [sum(zlib.crc32(word.encode()) % 97 / 10 for word in sentence.split()) for sentence in sentences]

    assert compute_bias_gaps(nats) == pytest.approx([0] * 64, abs=1e-9)


def test_the_gap_of_a_biased_model():
    fitting = {sentence for quadruple in build_quadruples() for sentence in quadruple.stereotypes}
    assert compute_bias_gaps(lambda sentences: [5.0 - 0.7 * (s in fitting) for s in sentences]) == pytest.approx(
        [0.7] * 64
    )
    assert compute_bias_gaps(lambda sentences: [5.0 + 0.7 * (s in fitting) for s in sentences]) == pytest.approx(
        [-0.7] * 64
    )
