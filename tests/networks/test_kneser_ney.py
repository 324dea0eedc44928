"""The Kneser-Ney model against a dictionary implementation written straight from the formula."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.networks.kneser_ney import MISSING, KneserNey


class Reference:
    """Events are (context of order - 1 tokens padded with NONE, token); everything else is counted from them."""

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
    slow = Reference(events_of(ids, order), vocab, order)
    np.testing.assert_allclose(
        np.stack([level.discount for level in model.levels]), np.array(slow.discounts), atol=1e-12
    )
    for stream in (ids, other):
        wanted = [np.log(slow.probability(context, token)) for context, token in events_of(stream, order)]
        np.testing.assert_allclose(model.log_prob(stream), wanted, atol=1e-9, rtol=0)
    contexts = [context for context, _ in events_of(other, order)][:20]
    wanted = [[slow.probability(context, token) for token in range(vocab)] for context in contexts]
    got = model.predict_probs(np.array(contexts, np.int64).reshape(len(contexts), order - 1))
    np.testing.assert_allclose(got, wanted, atol=1e-9, rtol=0)


@settings(max_examples=40, deadline=None)
@given(ids=streams, other=streams, order=st.integers(1, 6))
def test_reading_tells_what_the_probabilities_rest_on(ids, other, order):
    vocab = 9
    model = KneserNey.fit(ids, vocab, order)
    slow = Reference(events_of(ids, order), vocab, order)
    events = [context for context, _ in events_of(other, order)][:20]
    contexts = np.array(events, np.int64).reshape(len(events), order - 1)
    log_p, basis = model.predict_with_features(contexts[None], np.float64)
    np.testing.assert_array_equal(log_p[0], model.predict_probs(contexts, is_log=True))
    assert basis.shape == (1, len(events), 2 * (order - 1))
    for context, got in zip(events, basis[0], strict=True):
        for depth in range(1, order):
            row = slow.rows[depth].get(context[order - 1 - depth :], {})
            total = sum(row.values())
            held = sum(slow.discounts[depth][min(count, 3)] for count in row.values()) / total if row else 1
            np.testing.assert_allclose(got[2 * depth - 2 : 2 * depth], [np.log1p(total) / 5, held], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(ids=streams, order=st.integers(1, 6))
def test_leaving_one_out_equals_counting_without_it(ids, order):
    vocab = 9
    model = KneserNey.fit(ids, vocab, order)
    got = model.predict_probs_at(ids, np.arange(len(ids)))
    events = events_of(ids, order)
    for i in range(len(ids)):
        rest = Reference(events[:i] + events[i + 1 :], vocab, order, [level.discount for level in model.levels])
        wanted = [rest.probability(events[i][0], token) for token in range(vocab)]
        np.testing.assert_allclose(got[i], wanted, atol=1e-9, rtol=0)


def test_leaving_one_out_changes_what_it_should():
    """A model that saw a text once is sure of it; with the occurrence left out it is not."""
    ids = np.random.default_rng(0).integers(0, 50, 400)
    model = KneserNey.fit(ids, 50, 5)
    at = np.arange(len(ids))
    sure = model.predict_probs_at(ids, at, is_leave_one_out=False)[at, ids]
    fair = model.predict_probs_at(ids, at)[at, ids]
    assert np.exp(np.log(sure).mean()) > 0.3
    assert np.exp(np.log(fair).mean()) < 0.04


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("vocab", "used"), [(256, 60), (65_000, 3000)])
def test_rows_sum_to_one_and_never_reach_zero(dtype, vocab, used):
    rng = np.random.default_rng(1)
    ids = np.minimum(rng.geometric(8 / used, 30_000), used - 1).astype(np.uint16)
    model = KneserNey.fit(ids, vocab, 4)
    at = rng.integers(0, len(ids), 64)
    for rows in (
        model.predict_probs_at(ids, at, dtype=dtype),
        model.predict_probs(model.gather_contexts(ids, at), dtype=dtype),
    ):
        assert rows.shape == (64, vocab)
        assert rows.dtype == dtype
        np.testing.assert_allclose(rows.sum(1), 1, atol=1e-4 if dtype is np.float32 else 1e-10)
        assert (rows > 0).all()
    logs = model.predict_probs_at(ids, at, is_log=True, dtype=dtype)
    np.testing.assert_allclose(logs, np.log(model.predict_probs_at(ids, at, dtype=dtype)), atol=1e-4)


def test_large_vocabulary_and_deep_contexts_take_the_sorted_path_and_agree():
    """Keys too many for direct tables go through sorting and binary search; the numbers must not depend on that."""
    rng = np.random.default_rng(2)
    ids = rng.zipf(1.3, 6000) % 60_000
    order, vocab = 6, 65_536
    model = KneserNey.fit(ids, vocab, order)
    assert any(level.table is None for level in model.levels)
    slow = Reference(events_of(ids, order), vocab, order)
    some = rng.integers(0, len(ids), 50)
    events = events_of(ids, order)
    wanted = [np.log(slow.probability(*events[i])) for i in some]
    np.testing.assert_allclose(model.log_prob(ids)[some], wanted, atol=1e-9)
    rows = model.predict_probs(model.gather_contexts(ids, some))
    np.testing.assert_allclose(np.log(rows[np.arange(50), ids[some]]), wanted, atol=1e-9)


def test_unseen_contexts_hand_over_to_shorter_ones():
    ids = np.array([0, 1, 2, 0, 1, 3, 0, 1, 2, 4])
    model = KneserNey.fit(ids, 6, 3)
    unseen, unknown, short = model.predict_probs(np.array([[4, 1], [5, 1], [MISSING, 1]]))
    np.testing.assert_allclose(unseen, unknown)
    np.testing.assert_allclose(unseen, short)
    nothing = model.predict_probs(np.array([[0, 5], [MISSING, MISSING]]))
    np.testing.assert_allclose(nothing[0], nothing[1])
    assert nothing[0][5] == nothing[0].min() > 0


def test_positions_of_any_shape_and_streams_longer_than_a_chunk(monkeypatch):
    ids = text(3, 500, 6)
    model = KneserNey.fit(ids, 6, 3)
    whole = model.log_prob(ids)
    monkeypatch.setattr("genloom.networks.kneser_ney._CHUNK_ROWS", 64)
    np.testing.assert_array_equal(model.log_prob(ids), whole)
    at = np.arange(12).reshape(3, 4)
    rows = model.predict_probs_at(ids, at, is_leave_one_out=False)
    assert rows.shape == (3, 4, 6)
    np.testing.assert_allclose(np.log(np.take_along_axis(rows, ids[at][..., None].astype(int), 2))[..., 0], whole[at])
    assert model.log_prob(ids[:0]).shape == (0,)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_contexts_after_rows_are_those_at_the_places_after_them(order):
    ids = text(7, 40, 6)
    model = KneserNey.fit(ids, 6, order)
    rows = np.stack([ids[:12], ids[20:32]])
    contexts = model.gather_row_contexts(rows)
    assert contexts.shape == (2, 12, order - 1)
    np.testing.assert_array_equal(contexts[0], model.gather_contexts(ids, np.arange(1, 13)))
    np.testing.assert_array_equal(contexts[1, 6:], model.gather_contexts(ids, np.arange(27, 33)))
    assert (contexts[:, 0, :-1] == MISSING).all()
    leave_out = np.stack([ids[1:13], ids[21:33]])
    assert model.predict_probs(contexts, leave_out).shape == (2, 12, 6)
    np.testing.assert_allclose(
        model.predict_probs(contexts, leave_out)[0], model.predict_probs_at(ids, np.arange(1, 13)), atol=1e-12
    )


def test_arrays_round_trip_and_stay_small():
    ids = text(4, 5000, 7)
    model = KneserNey.fit(ids, 260, 5)
    arrays = model.to_arrays()
    again = KneserNey.from_arrays({name: array.copy() for name, array in arrays.items()})
    np.testing.assert_array_equal(again.log_prob(ids), model.log_prob(ids))
    np.testing.assert_array_equal(
        again.predict_probs_at(ids, np.arange(50)), model.predict_probs_at(ids, np.arange(50))
    )
    assert all(arrays[f"{depth}.tokens"].dtype == np.uint8 for depth in range(5))


def test_damaged_arrays_and_unusable_streams_are_refused():
    arrays = KneserNey.fit(text(5, 300, 5), 9, 3).to_arrays()
    with pytest.raises(ValueError, match=r"'1\.counts' is missing"):
        KneserNey.from_arrays({name: array for name, array in arrays.items() if name != "1.counts"})
    for name, value in [
        ("2.tokens", arrays["2.tokens"][:-1]),
        ("1.tokens", arrays["1.tokens"] + 200),
        ("symbols", arrays["symbols"] + 100),
    ]:
        with pytest.raises(ValueError, match="damaged"):
            KneserNey.from_arrays({**arrays, name: value})
    with pytest.raises(ValueError, match="empty"):
        KneserNey.fit(np.array([], np.int64), 9, 3)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        KneserNey.fit(np.array([1, 9]), 9, 3)
    with pytest.raises(ValueError, match="order"):
        KneserNey.fit(np.array([1]), 9, 9)


def test_comes_close_to_the_entropy_of_a_known_source():
    """A second-order source of known entropy: the model comes close to it from counts alone."""
    rng = np.random.default_rng(6)
    table = rng.dirichlet(np.full(20, 0.3), 20 * 20)  # 400 contexts, far fewer than the text has places
    edges = table.cumsum(1)
    draws, ids = rng.random(200_000), np.zeros(200_000, np.int64)
    for i in range(2, len(ids)):
        ids[i] = min(edges[ids[i - 2] * 20 + ids[i - 1]].searchsorted(draws[i]), 19)
    model = KneserNey.fit(ids[:180_000], 20, 3)
    held = ids[180_000:]
    entropy = -np.log(table[held[:-2] * 20 + held[1:-1], held[2:]]).mean()
    assert entropy < -model.log_prob(held).mean() < entropy + 0.08
