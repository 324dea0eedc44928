"""The n-gram floor against the model it wraps and against scoring each document by hand."""

import math

import numpy as np
import pytest

from genloom.evaluate.floor import START, floor
from genloom.networks.kneser_ney import KneserNey

TRAIN = ["the sea is wide and the sea is deep", "the sky is wide — and blue", "a deep blue sea"]
HELD = ["the sea is blue", "", "wide — and deep"]


def stream(documents):
    return np.array([symbol for text in documents for symbol in (START, *text.encode())])


def test_scores_the_bytes_of_documents_and_nothing_else():
    measured = floor(TRAIN, HELD, order=3)
    ids = stream(HELD)
    nats = -KneserNey.fit(stream(TRAIN), 257, 3).log_prob(ids)
    paid = nats[ids != START].sum()
    size = sum(len(text.encode()) for text in HELD)
    assert measured.bits_per_byte.mean == pytest.approx(paid / math.log(2) / size)
    assert measured.nats_per_character == pytest.approx(paid / sum(map(len, HELD)))
    assert measured.pieces.bytes.tolist() == [15, 17]
    assert measured.train_bytes == sum(len(text.encode()) for text in TRAIN)
    assert not measured.capped
    assert "3-gram" in str(measured)


def test_pieces_of_long_documents_add_up():
    long = "and so it goes on, and on, and so. " * 500
    measured = floor([long], [long, "short"], order=4)
    assert measured.bits_per_byte.count == math.ceil(len(long) / 4000) + 1
    assert measured.pieces.bytes.sum() == len(long) + 5
    assert measured.bits_per_byte.mean < 0.2


def test_the_cap_bounds_what_is_read_and_says_so():
    taken = []

    def documents():
        for text in ["abcd" * 100, "é" * 100, "never read"]:
            taken.append(text[:1])
            yield text

    measured = floor(documents(), ["abcd"], most_train=501)
    assert (measured.train_bytes, measured.capped) == (501, True)
    assert taken == ["a", "é"]
    assert "counted on the first" in str(measured)
    whole = floor(["abcd" * 100], ["abcd"], most_train=400)
    assert (whole.train_bytes, whole.capped) == (400, False)


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="no training text"):
        floor([], ["a"])
    with pytest.raises(ValueError, match="no held-out text"):
        floor(["abc"], [""])
