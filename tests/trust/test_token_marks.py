"""Marks in tokens: found in what the key chose, never in anything else, with p-values that hold."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from genloom.generate.text.conversation import DEFAULT_PARAMS
from genloom.noise import CONTEXT_WIDTH, TOKEN_POOL_SIZE, Noise, are_free
from genloom.trust.marks import CHAT_PARAMS, MAX_P_VALUE
from genloom.trust.token_marks import (
    Candidates,
    ContextTokens,
    compute_blind_ratios,
    compute_log_evidence,
    compute_log_gamma_tail,
    compute_model_ratios,
    estimate_edit_rates,
    find_blind_mark,
    find_mark_by_model,
    list_candidates,
    read_context_tokens,
)

KEY, VOCAB = 2**63 + 77, 300


def compute_logits(context: np.ndarray, scale: float) -> np.ndarray:
    """Return the logits of a language whose next token depends on the two before it."""
    rng = np.random.default_rng([3, *context[-2:].tolist()])
    return (scale * rng.standard_normal(VOCAB)).astype(np.float32)


def write_text(key: int, nonce: int, length: int, scale: float = 2.5, prompt: Sequence[int] = (0,)) -> np.ndarray:
    """Sample a text with the noise of marked outputs; after BOS, or after a prompt."""
    noise, ids = Noise(key, (nonce,), is_marked=True), np.array(prompt, np.int64)
    for _ in range(length):
        logits = torch.from_numpy(compute_logits(ids, scale))[None]
        ids = np.append(ids, noise.sample_tokens(logits, [ids]).numpy())
    return ids


def build_candidates(ids: np.ndarray, scale: float = 2.5) -> dict[int, Candidates]:
    """Return what a model knows that has learned the language."""
    rows = {}
    for at in range(1, len(ids)):
        chances = np.exp(compute_logits(ids[:at], scale).astype(np.float64))
        rows[at] = list_candidates(chances / chances.sum(), int(ids[at]))
    return rows


def find_both(ids: np.ndarray, key: int, scale: float = 2.5) -> tuple[float, float]:
    """Return the p-values of blind detection and of detection by the model."""
    tokens = read_context_tokens(None, ids)
    return find_blind_mark(tokens, key).p_value, find_mark_by_model(tokens, key, build_candidates(ids, scale)).p_value


def test_a_marked_text_is_found_with_its_pool_index_and_not_by_another_key() -> None:
    ids = write_text(KEY, 5 * TOKEN_POOL_SIZE + 123, 150)
    tokens = read_context_tokens(None, ids)
    blind, by_model = find_blind_mark(tokens, KEY), find_mark_by_model(tokens, KEY, build_candidates(ids))
    assert blind.p_value < MAX_P_VALUE
    assert by_model.p_value < blind.p_value
    assert blind.pool_index == by_model.pool_index == 123
    assert min(find_both(ids, KEY + 1)) > 1e-3
    assert min(find_both(write_text(KEY + 1, 9, 150), KEY)) > 1e-3


def test_an_unmarked_text_is_not_found() -> None:
    noise, ids = Noise(KEY, (7,)), np.zeros(1, np.int64)
    for _ in range(150):
        ids = np.append(ids, noise.sample_tokens(torch.from_numpy(compute_logits(ids, 2.5))[None], [ids]).numpy())
    assert min(find_both(ids, KEY)) > 1e-3


def test_an_excerpt_without_its_prompt_between_other_text_is_found() -> None:
    rng = np.random.default_rng(4)
    ids = write_text(KEY, 12, 150, prompt=[0, *rng.integers(0, VOCAB, 40).tolist()])
    ids = np.concatenate([rng.integers(0, VOCAB, 100), ids[60:], rng.integers(0, VOCAB, 100)])
    assert max(find_both(ids, KEY)) < MAX_P_VALUE


def test_a_text_with_a_tenth_of_its_tokens_replaced_is_found() -> None:
    rng, ids = np.random.default_rng(5), write_text(KEY, 31, 250)
    ids = np.where(rng.random(len(ids)) < 0.1, rng.integers(0, VOCAB, len(ids)), ids)
    assert max(find_both(ids, KEY)) < MAX_P_VALUE


def test_a_predictable_text_is_found_by_the_model_only() -> None:
    """Of 0.5 nats a token."""
    scale = 10.0
    ids = write_text(KEY, 8, 200, scale)
    chances = [candidates[1] for candidates in build_candidates(ids, scale).values()]
    entropy = np.mean([-(c[c > 0] * np.log(c[c > 0])).sum() for c in chances])
    assert 0.2 < entropy < 0.8
    blind, by_model = find_both(ids, KEY, scale)
    assert by_model < MAX_P_VALUE < blind


def test_probabilities_of_a_model_that_is_slightly_wrong_suffice() -> None:
    ids = write_text(KEY, 8, 200, 2.5)
    tokens = read_context_tokens(None, ids)
    assert find_mark_by_model(tokens, KEY, build_candidates(ids, 2.0)).p_value < MAX_P_VALUE


def test_tokens_count_once_after_a_context_and_not_after_short_and_free_ones() -> None:
    ids = np.array([0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 9])
    tokens = read_context_tokens(None, ids)
    assert tokens.positions.tolist() == [4, 5, 6, 7, 8, 9]  # the last follows 1 2 3 4 again
    assert tokens.hashes.tolist() == ids[tokens.positions].tolist()
    assert read_context_tokens(None, ids, first=7).positions.tolist() == [7, 8, 9]
    for length in range(CONTEXT_WIDTH + 1):
        assert len(read_context_tokens(None, ids[:length])) == 0
        assert find_blind_mark(read_context_tokens(None, ids[:length]), KEY).p_value == 1
    long = read_context_tokens(None, np.random.default_rng(0).integers(0, 10**6, 500))
    assert find_blind_mark(long, KEY).num_tokens == len(long) - are_free(KEY, long.folded).sum()


def test_repeating_a_passage_adds_no_evidence() -> None:
    ids = write_text(KEY, 3, 60)
    once = find_blind_mark(read_context_tokens(None, ids), KEY)
    often = find_blind_mark(read_context_tokens(None, np.tile(ids, 30)), KEY)
    assert often.num_tokens <= once.num_tokens + CONTEXT_WIDTH
    assert often.log_p > once.log_p - 3


def test_the_tail_of_the_gamma_distribution_is_exact() -> None:
    assert compute_log_gamma_tail(1, 3.0) == pytest.approx(-3.0)
    assert compute_log_gamma_tail(2, 3.0) == pytest.approx(-3.0 + math.log(4))
    assert compute_log_gamma_tail(500, 0.0) == 0
    assert compute_log_gamma_tail(500, 1e-9) == pytest.approx(0, abs=1e-9)
    samples = np.random.default_rng(0).gamma(175, size=200_000)
    for x in (160.0, 175.0, 200.0):
        assert math.exp(compute_log_gamma_tail(175, x)) == pytest.approx((samples > x).mean(), rel=0.02)
    assert compute_log_gamma_tail(4096, 9000.0) == pytest.approx(-1684.83, abs=0.01)


def test_the_evidence_has_a_mean_of_at_most_one_without_a_mark() -> None:
    """So that 1 / evidence is a p-value."""
    rng = np.random.default_rng(0)
    uniform_PN = rng.random((40_000, 6))
    assert np.exp(compute_log_evidence(compute_blind_ratios(uniform_PN))).mean() == pytest.approx(1, abs=0.1)
    chance_N = np.array([0.9, 0.5, 0.2, 0.7, 0.4, 0.6])
    is_chosen_PN = rng.random((40_000, 6)) < chance_N
    ratios = compute_model_ratios(is_chosen_PN, chance_N)
    assert np.exp(compute_log_evidence(ratios)).mean() == pytest.approx(1, abs=0.1)
    edits = estimate_edit_rates(np.array([0.9, 0.0, 1e-6, 0.5, 1e-3, 0.1]))
    assert (np.diff(edits[[0, 3, 5, 4, 2, 1]]) >= 0).all()
    gaps = np.array([1, 2, 7, 8, 12, 40])  # tokens in between that do not count
    assert np.exp(compute_log_evidence(ratios, gaps, edits)).mean() == pytest.approx(1, abs=0.1)
    assert np.exp(compute_log_evidence(ratios, gaps)).mean() == pytest.approx(1, abs=0.1)
    impossible = compute_model_ratios(np.zeros((5, 1), bool), np.zeros(1))
    assert np.isfinite(compute_log_evidence(impossible)).all()


def test_p_values_of_wrong_keys_are_not_too_small() -> None:
    """Below every level lies at most that share of them."""
    rng = np.random.default_rng(1)
    p_values = []
    for key in range(30):
        tokens = read_context_tokens(None, rng.integers(0, VOCAB, 60))
        p_values.append(find_blind_mark(tokens, key).p_value)
    for level in (0.02, 0.1, 0.3):
        assert np.mean(np.array(p_values) <= level) <= level + 3 * math.sqrt(level / len(p_values))


def test_scores_of_wrong_keys_are_distributed_as_the_theory_says() -> None:
    """The p-value of one pool index is uniform: what the p-value of a text is made of."""
    from genloom.noise import pool_token_bits, to_uniform

    tokens = read_context_tokens(None, np.random.default_rng(2).integers(0, VOCAB, 50))
    bits = pool_token_bits(5, np.arange(TOKEN_POOL_SIZE), tokens.folded, tokens.hashes)
    scores = -np.log1p(-to_uniform(bits)).sum(1)
    p_values = np.sort([math.exp(compute_log_gamma_tail(len(tokens), float(score))) for score in scores])
    distance = np.abs(p_values - (np.arange(len(p_values)) + 0.5) / len(p_values)).max()
    assert distance < 1.95 / math.sqrt(len(p_values))  # Kolmogorov–Smirnov, p = 0.001


def test_candidates_are_the_likely_tokens_with_the_one_that_was_seen_first() -> None:
    chances = np.array([0.5, 0.0, 0.3, 0.2])
    ids, probabilities = list_candidates(chances, 2)
    assert ids.tolist() == [2, 0, 3]
    assert probabilities == pytest.approx([0.3, 0.5, 0.2])
    ids, probabilities = list_candidates(chances, 1)  # a token that the sampler could not choose
    assert ids.tolist() == [1, 0, 2, 3]
    assert probabilities[0] == 0
    many = np.full(1000, 1e-3)
    ids, probabilities = list_candidates(many, 999)
    assert len({*ids.tolist()}) == len(ids) <= 65
    assert probabilities.sum() == pytest.approx(1)


def test_nothing_to_read_is_no_evidence() -> None:
    empty = ContextTokens(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert find_blind_mark(empty, KEY).p_value == 1
    assert find_mark_by_model(empty, KEY, {}).p_value == 1


def test_the_sampling_of_chats_is_the_one_that_detection_tries() -> None:
    assert {name: value for name, value in DEFAULT_PARAMS.items() if name != "max_tokens"} == dict(CHAT_PARAMS)
