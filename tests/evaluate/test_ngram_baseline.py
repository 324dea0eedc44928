"""The n-gram baseline against the model it wraps, and against scoring each document by hand."""

import math

import numpy as np
import pytest

from genloom.evaluate.text.ngram_baseline import DOCUMENT_START, fit_ngram_baseline
from genloom.networks.kneser_ney import KneserNey
from tests.errors import raises_code

TRAIN = ["the sea is wide and the sea is deep", "the sky is wide — and blue", "a deep blue sea"]
HELD_OUT = ["the sea is blue", "", "wide — and deep"]


def concat(documents):
    return np.array([token for text in documents for token in (DOCUMENT_START, *text.encode())])


def test_only_the_bytes_of_documents_are_scored():
    measured = fit_ngram_baseline(TRAIN, HELD_OUT, order=3)
    ids = concat(HELD_OUT)
    nats = -KneserNey.fit(concat(TRAIN), 257, 3).log_prob(ids)
    held_out_nats = nats[ids != DOCUMENT_START].sum()
    size = sum(len(text.encode()) for text in HELD_OUT)
    assert measured.bits_per_byte.mean == pytest.approx(held_out_nats / math.log(2) / size)
    assert measured.nats_per_character == pytest.approx(held_out_nats / sum(map(len, HELD_OUT)))
    assert measured.losses.num_units.tolist() == [15, 17]
    assert measured.train_bytes == sum(len(text.encode()) for text in TRAIN)
    assert not measured.is_capped


def test_the_blocks_of_long_documents_add_up():
    long = "and so it goes on, and on, and so. " * 500
    measured = fit_ngram_baseline([long], [long, "short"], order=4)
    assert measured.bits_per_byte.count == math.ceil(len(long) / 4000) + 1
    assert measured.losses.num_units.sum() == len(long) + 5
    assert measured.bits_per_byte.mean < 0.2


def test_the_cap_bounds_what_is_read():
    read = []

    def documents():
        for text in ["abcd" * 100, "é" * 100, "never read"]:
            read.append(text[:1])
            yield text

    measured = fit_ngram_baseline(documents(), ["abcd"], max_train_bytes=501)
    assert (measured.train_bytes, measured.is_capped) == (501, True)
    assert read == ["a", "é"]
    whole = fit_ngram_baseline(["abcd" * 100], ["abcd"], max_train_bytes=400)
    assert (whole.train_bytes, whole.is_capped) == (400, False)


def test_no_text_is_refused():
    with raises_code("evaluate.no_training_text"):
        fit_ngram_baseline([], ["a"])
    with raises_code("evaluate.nothing_held_out"):
        fit_ngram_baseline(["abc"], [""])
