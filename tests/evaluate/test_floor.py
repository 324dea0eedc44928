"""The n-gram floor against the model it wraps and against scoring each document by hand."""

import math

import numpy as np
import pytest

from genloom.evaluate.text.ngram_baseline import DOCUMENT_START, fit_ngram_baseline
from genloom.networks.kneser_ney import KneserNey

TRAIN = ["the sea is wide and the sea is deep", "the sky is wide — and blue", "a deep blue sea"]
HELD = ["the sea is blue", "", "wide — and deep"]


def stream(documents):
    return np.array([symbol for text in documents for symbol in (DOCUMENT_START, *text.encode())])


def test_scores_the_bytes_of_documents_and_nothing_else():
    measured = fit_ngram_baseline(TRAIN, HELD, order=3)
    ids = stream(HELD)
    nats = -KneserNey.fit(stream(TRAIN), 257, 3).log_prob(ids)
    paid = nats[ids != DOCUMENT_START].pooled_proj()
    size = sum(len(text.encode()) for text in HELD)
    assert measured.bits_per_byte.mean == pytest.approx(paid / math.log(2) / size)
    assert measured.nats_per_character == pytest.approx(paid / sum(map(len, HELD)))
    assert measured.losses.num_bytes.tolist() == [15, 17]
    assert measured.train_bytes == sum(len(text.encode()) for text in TRAIN)
    assert not measured.is_capped
    assert "3-gram" in str(measured)


def test_pieces_of_long_documents_add_up():
    long = "and so it goes on, and on, and so. " * 500
    measured = fit_ngram_baseline([long], [long, "short"], order=4)
    assert measured.bits_per_byte.count == math.ceil(len(long) / 4000) + 1
    assert measured.losses.num_bytes.sum() == len(long) + 5
    assert measured.bits_per_byte.mean < 0.2


def test_the_cap_bounds_what_is_read_and_says_so():
    taken = []

    def documents():
        for text in ["abcd" * 100, "é" * 100, "never read"]:
            taken.append(text[:1])
            yield text

    measured = fit_ngram_baseline(documents(), ["abcd"], max_train_bytes=501)
    assert (measured.train_bytes, measured.is_capped) == (501, True)
    assert taken == ["a", "é"]
    assert "counted on the first" in str(measured)
    whole = fit_ngram_baseline(["abcd" * 100], ["abcd"], max_train_bytes=400)
    assert (whole.train_bytes, whole.is_capped) == (400, False)


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="no training text"):
        fit_ngram_baseline([], ["a"])
    with pytest.raises(ValueError, match="no held-out text"):
        fit_ngram_baseline(["abc"], [""])
