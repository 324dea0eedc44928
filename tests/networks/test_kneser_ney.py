"""The Kneser-Ney model against an implementation with dictionaries that follows the formula directly."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.networks.kneser_ney import MISSING, KneserNey
from tests.errors import raises_code


class Reference:
    """Counts events: (context of order - 1 tokens padded with MISSING, token)."""

    def __init__(self, events, vocab, order, discounts=None):
        self.vocab, self.order = vocab, order
        self.counts = []
        deepest = Counter(event for event in events if MISSING not in event[0])
        for depth in reversed(range(order)):
            if depth == order - 1:
                counts = deepest
            else:
                longer = {(context[order - 2 - depth :], token) for context, token in events}
                counts = Counter((context[1:], token) for context, token in longer if MISSING not in context[1:])
            self.counts.insert(0, counts)
        self.discounts = [self.estimate(counts) for counts in self.counts] if discounts is None else discounts
        self.rows = []
        for counts in self.counts:
            rows = defaultdict(dict)
            for (context, token), count in counts.items():
                rows[context][token] = count
            self.rows.append(rows)

    @staticmethod
    def estimate(counts):
        n = [sum(1 for c in counts.values() if c == k) for k in range(5)]
        if not all(n[1:]):
            return (0, 0.5, 1.0, 1.5)
        y = n[1] / (n[1] + 2 * n[2])
        d = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
        return (0, *d) if all(0 < d[k - 1] < k for k in (1, 2, 3)) else (0, 0.5, 1.0, 1.5)

    def probability(self, context, token, depth=None):
        depth = self.order - 1 if depth is None else depth
        if depth < 0:
            return 1 / self.vocab
        lower = self.probability(context[1:], token, depth - 1)
        row = self.rows[depth].get(tuple(context), {})
        if not row:
            return lower
        total = sum(row.values())
        cut = lambda count: self.discounts[depth][min(count, 3)]  # noqa: E731
        count = row.get(token, 0)
        return (count - cut(count) + sum(map(cut, row.values())) * lower) / total


def events_of(ids, order):
    padded = [MISSING] * (order - 1) + [int(i) for i in ids]
    return [(tuple(padded[i : i + order - 1]), padded[i + order - 1]) for i in range(len(ids))]


def text(seed, length, vocab):
    """A stream with structure: a skewed random walk, so that counts of every size and vanishing types occur."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, vocab, (vocab, 3))
    ids = [0]
    for _ in range(length - 1):
        ids.append(int(rng.integers(vocab)) if rng.random() < 0.2 else int(table[ids[-1], rng.integers(3)]))
    return np.array(ids, np.uint16)


streams = st.builds(text, st.integers(0, 2**31), st.integers(1, 90), st.integers(1, 7))


@settings(max_examples=60, deadline=None)
@given(ids=streams, other=streams, order=st.integers(1, 6))
def test_agrees_with_the_dictionary_implementation(ids, other, order):
    vocab = 9
    model = KneserNey.fit(ids, vocab, order)
    reference = Reference(events_of(ids, order), vocab, order)
    np.testing.assert_allclose(
        np.stack([level.discount for level in model.levels]), np.array(reference.discounts), atol=1e-12
    )
    for stream in (ids, other):
        expected = [np.log(reference.probability(context, token)) for context, token in events_of(stream, order)]
        np.testing.assert_allclose(model.log_prob(stream), expected, atol=1e-9, rtol=0)
    contexts = [context for context, _ in events_of(other, order)][:20]
    expected = [[reference.probability(context, token) for token in range(vocab)] for context in contexts]
    actual = model.predict_probs(np.array(contexts, np.int64).reshape(len(contexts), order - 1))
    np.testing.assert_allclose(actual, expected, atol=1e-9, rtol=0)


@settings(max_examples=40, deadline=None)
@given(ids=streams, other=streams, order=st.integers(1, 6))
def test_the_features_describe_the_counts(ids, other, order):
    vocab = 9
    model = KneserNey.fit(ids, vocab, order)
    reference = Reference(events_of(ids, order), vocab, order)
    events = [context for context, _ in events_of(other, order)][:20]
    contexts = np.array(events, np.int64).reshape(len(events), order - 1)
    log_p, features = model.predict_with_features(contexts[None], np.float64)
    np.testing.assert_array_equal(log_p[0], model.predict_probs(contexts, is_log=True))
    assert features.shape == (1, len(events), 2 * (order - 1))
    for context, actual in zip(events, features[0], strict=True):
        for depth in range(1, order):
            row = reference.rows[depth].get(context[order - 1 - depth :], {})
            total = sum(row.values())
            backoff = sum(reference.discounts[depth][min(count, 3)] for count in row.values()) / total if row else 1
            np.testing.assert_allclose(actual[2 * depth - 2 : 2 * depth], [np.log1p(total) / 5, backoff], atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("vocab", "used"), [(256, 60), (65_000, 3000)])
def test_probabilities_sum_to_one_and_are_never_zero(dtype, vocab, used):
    rng = np.random.default_rng(1)
    ids = np.minimum(rng.geometric(8 / used, 30_000), used - 1).astype(np.uint16)
    model = KneserNey.fit(ids, vocab, 4)
    contexts = model.gather_contexts(ids, rng.integers(0, len(ids), 64))
    probs = model.predict_probs(contexts, dtype=dtype)
    assert probs.shape == (64, vocab)
    assert probs.dtype == dtype
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-4 if dtype is np.float32 else 1e-10)
    assert (probs > 0).all()
    log_probs = model.predict_probs(contexts, is_log=True, dtype=dtype)
    np.testing.assert_allclose(log_probs, np.log(probs), atol=1e-4)


def test_large_vocabularies_use_binary_search_and_agree():
    """Too many keys for a lookup table need sorting and binary search, which must give the same numbers."""
    rng = np.random.default_rng(2)
    ids = rng.zipf(1.3, 6000) % 60_000
    order, vocab = 6, 65_536
    model = KneserNey.fit(ids, vocab, order)
    assert any(level.table is None for level in model.levels)
    reference = Reference(events_of(ids, order), vocab, order)
    positions = rng.integers(0, len(ids), 50)
    events = events_of(ids, order)
    expected = [np.log(reference.probability(*events[i])) for i in positions]
    np.testing.assert_allclose(model.log_prob(ids)[positions], expected, atol=1e-9)
    rows = model.predict_probs(model.gather_contexts(ids, positions))
    np.testing.assert_allclose(np.log(rows[np.arange(50), ids[positions]]), expected, atol=1e-9)


def test_unseen_contexts_back_off_to_shorter_ones():
    ids = np.array([0, 1, 2, 0, 1, 3, 0, 1, 2, 4])
    model = KneserNey.fit(ids, 6, 3)
    unseen, unknown, short = model.predict_probs(np.array([[4, 1], [5, 1], [MISSING, 1]]))
    np.testing.assert_allclose(unseen, unknown)
    np.testing.assert_allclose(unseen, short)
    empty = model.predict_probs(np.array([[0, 5], [MISSING, MISSING]]))
    np.testing.assert_allclose(empty[0], empty[1])
    assert empty[0][5] == empty[0].min() > 0


def test_positions_of_any_shape_and_streams_longer_than_a_chunk(monkeypatch):
    ids = text(3, 500, 6)
    model = KneserNey.fit(ids, 6, 3)
    expected = model.log_prob(ids)
    monkeypatch.setattr("genloom.networks.kneser_ney._CHUNK_ROWS", 64)
    np.testing.assert_array_equal(model.log_prob(ids), expected)
    positions = np.arange(12).reshape(3, 4)
    probs = model.predict_probs(model.gather_contexts(ids, positions))
    assert probs.shape == (3, 4, 6)
    targets = ids[positions][..., None].astype(int)
    np.testing.assert_allclose(np.log(np.take_along_axis(probs, targets, 2))[..., 0], expected[positions])
    assert model.log_prob(ids[:0]).shape == (0,)


def test_arrays_round_trip_and_stay_small():
    ids = text(4, 5000, 7)
    model = KneserNey.fit(ids, 260, 5)
    arrays = model.to_arrays()
    again = KneserNey.from_arrays({name: array.copy() for name, array in arrays.items()})
    np.testing.assert_array_equal(again.log_prob(ids), model.log_prob(ids))
    contexts = model.gather_contexts(ids, np.arange(50))
    np.testing.assert_array_equal(again.predict_probs(contexts), model.predict_probs(contexts))
    assert all(arrays[f"{depth}.tokens"].dtype == np.uint8 for depth in range(5))


def test_damaged_arrays_and_unusable_streams_are_errors():
    arrays = KneserNey.fit(text(5, 300, 5), 9, 3).to_arrays()
    with raises_code("networks.ngram_damaged", reason="'1.counts' is missing"):
        KneserNey.from_arrays({name: array for name, array in arrays.items() if name != "1.counts"})
    for name, value in [
        ("2.tokens", arrays["2.tokens"][:-1]),
        ("1.tokens", arrays["1.tokens"] + 200),
        ("symbols", arrays["symbols"] + 100),
    ]:
        with raises_code("networks.ngram_damaged"):
            KneserNey.from_arrays({**arrays, name: value})
    with raises_code("networks.ngram_empty_text"):
        KneserNey.fit(np.array([], np.int64), 9, 3)
    with raises_code("networks.ngram_token_range", minimum=1, maximum=9, vocab_size=9):
        KneserNey.fit(np.array([1, 9]), 9, 3)
    with raises_code("networks.ngram_order", order=9):
        KneserNey.fit(np.array([1]), 9, 9)


def test_the_loss_approaches_the_entropy_of_a_known_source():
    """The source is of second order; the model approaches its entropy from counts alone."""
    rng = np.random.default_rng(6)
    table = rng.dirichlet(np.full(20, 0.3), 20 * 20)  # 400 contexts, far fewer than positions in the text
    edges = table.cumsum(1)
    draws, ids = rng.random(200_000), np.zeros(200_000, np.int64)
    for i in range(2, len(ids)):
        ids[i] = min(edges[ids[i - 2] * 20 + ids[i - 1]].searchsorted(draws[i]), 19)
    model = KneserNey.fit(ids[:180_000], 20, 3)
    held_out = ids[180_000:]
    entropy = -np.log(table[held_out[:-2] * 20 + held_out[1:-1], held_out[2:]]).mean()
    assert entropy < -model.log_prob(held_out).mean() < entropy + 0.08
