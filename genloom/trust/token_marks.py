"""The mark in tokens: evidence that a key chose them, with a p-value that holds for any text.

The noise of a marked token is a function of the key, a pool index and the tokens before it (`genloom.noise`). Whoever
has the key computes the noise again. Without the key, it is independent of the text: that is the null hypothesis, so
no assumption about texts is needed. Contexts that occur twice count once; those that use the whole nonce do not count.

Blind detection sees the noise of the tokens in the text: marked ones tend to have high noise (Aaronson 2022). Detection
by the model also knows the probabilities, and so the token that the key would have chosen.

Shape letters: N tokens that count, P pool indices, S states, C candidates, L tokens, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log

import numpy as np

from genloom.capabilities import MarkedCodec
from genloom.noise import CONTEXT_WIDTH, TOKEN_POOL_SIZE, are_free, fold_in, fold_windows, pool_token_bits, to_uniform

MAX_TOKENS = 4096  # that count, from the beginning: more take time and add nothing
NUM_SHORTLISTED = 48  # pool indices whose candidates are computed, in detection by the model
MAX_CANDIDATES = 64  # tokens that could have been chosen in place of one
CANDIDATE_MASS = 0.9995  # the probability of the candidates together, if there are not more of them
SWITCH_RATE = 1 / 128  # of the states of a text a token: marked, of somebody else
EDIT_RATE = 0.04  # of the tokens of a marked text
BATCH_SHARES = (0.95, 0.8, 0.5)  # of the values of a batch that are marked, as tried
EDITED_CHANCE = 1e-3  # the probability of an edited token, of which the model's says little

# The density of the noise of a marked token of probability p is u^(1/p - 1) / p. Each blind state is a mixture over p;
# the first is the null hypothesis.
_PROBABILITIES = np.array([0.9, 0.6, 0.3, 0.1, 0.02])
_BLIND_STATES = np.array([[0.75, 0.1, 0.08, 0.05, 0.02], [0.35, 0.2, 0.2, 0.15, 0.1], [0.05, 0.1, 0.25, 0.3, 0.3]])
# With the model: the chance that a token is another one than the key would have chosen, beyond that of chance.
_MISS_RATES = np.array([0.5, 0.15, 0.03])


@dataclass(frozen=True)
class Expectation:
    """The probabilities of a text that may be marked: of misses, of no mark, of edits."""

    miss_rates: tuple[float, ...] = tuple(_MISS_RATES)  # of its states
    unmarked: float = 1 / (len(_MISS_RATES) + 1)  # the probability that it begins unmarked
    edit_rate: float = EDIT_RATE
    num_shortlisted: int = NUM_SHORTLISTED


ANY_TEXT = Expectation()
SHORT_VALUE = Expectation((0.02,), 0.02, 0.002, 160)  # as it was written, by these probabilities


Candidates = tuple[np.ndarray, np.ndarray]  # a token and others that could have been chosen, and their probabilities


@dataclass(frozen=True)
class ContextTokens:
    """The tokens of a text whose context is new in it."""

    folded: np.ndarray  # N uint64, the contexts
    hashes: np.ndarray  # N int64, of the tokens
    positions: np.ndarray  # N int64, their places in the text
    maps: Mapping[int, np.ndarray] = field(default_factory=dict)  # by position: the hash of each token; {}: its id

    def __len__(self) -> int:
        return len(self.hashes)

    def select(self, mask: np.ndarray) -> "ContextTokens":
        return ContextTokens(self.folded[mask], self.hashes[mask], self.positions[mask], self.maps)


@dataclass(frozen=True)
class TokenMark:
    """The evidence of the best pool index. `log_p` is the logarithm of a p-value that allows for the whole pool."""

    log_p: float
    pool_index: int
    num_tokens: int

    @property
    def p_value(self) -> float:
        return exp(min(self.log_p, 0.0))


@dataclass(frozen=True)
class PoolEvidence:
    """The evidence of some pool indices: the logarithms of e-values, whose mean under the null hypothesis is 1."""

    pool_indices: np.ndarray  # P int64
    log_e_P: np.ndarray
    num_tokens: int


def read_context_tokens(codec: object, ids: np.ndarray, first: int = 0) -> ContextTokens:
    """Return the tokens of a text, from `first` on, with BOS before it, that have a context as the sampler has it."""
    ids = np.asarray(ids, np.int64)
    if isinstance(codec, MarkedCodec):
        reader, rows, maps = codec.read_token_contexts(), [], {}
        for position in range(1, len(ids)):
            (context,) = reader([ids[:position]])
            if context.window is not None and position >= first:
                maps[position] = context.candidates
                rows.append((fold_in(context.window), context.candidates[ids[position]], position))
        folded, hashes, positions = zip(*rows, strict=True) if rows else ((), (), ())
        return ContextTokens(
            np.array(folded, np.uint64), np.array(hashes, np.int64), np.array(positions, np.int64), maps
        )
    if len(ids) <= CONTEXT_WIDTH:
        return ContextTokens(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    folded = fold_windows(np.lib.stride_tricks.sliding_window_view(ids[:-1], CONTEXT_WIDTH))
    positions = np.sort(np.unique(folded, return_index=True)[1]) + CONTEXT_WIDTH
    positions = positions[positions >= first]
    return ContextTokens(folded[positions - CONTEXT_WIDTH], ids[positions], positions)


def find_blind_mark(tokens: ContextTokens, key: int) -> TokenMark:
    """Search the pool for a mark by this key, without the model.

    Two tests share the level: the sum of -log(1 - u) over all tokens, whose tail is exact, and a test for texts of
    which only parts are marked, whose tail is a bound.
    """
    tokens = limit_tokens(tokens, key)
    if not len(tokens):
        return TokenMark(0.0, 0, 0)
    uniform_PN = to_uniform(pool_token_bits(key, np.arange(TOKEN_POOL_SIZE), tokens.folded, tokens.hashes))
    score_P = -np.log1p(-uniform_PN).sum(1)
    log_e_P = compute_log_evidence(compute_blind_ratios(uniform_PN), tokens.positions)
    log_p_P = np.minimum([compute_log_gamma_tail(len(tokens), float(score)) for score in score_P], -log_e_P)
    best = int(log_p_P.argmin())
    return TokenMark(min(float(log_p_P[best]) + log(2 * TOKEN_POOL_SIZE), 0.0), best, len(tokens))


def find_mark_by_model(tokens: ContextTokens, key: int, candidates: Mapping[int, Candidates]) -> TokenMark:
    """Search the pool for a mark by this key, given the candidates at each position of the text.

    Any probabilities give a valid p-value; those that the text was generated with give the strongest.
    """
    evidence = compute_pool_evidence(tokens, key, candidates)
    if not evidence.num_tokens:
        return TokenMark(0.0, 0, 0)
    best = int(evidence.log_e_P.argmax())
    log_p = log(TOKEN_POOL_SIZE) - float(evidence.log_e_P[best])
    return TokenMark(min(log_p, 0.0), int(evidence.pool_indices[best]), evidence.num_tokens)


def compute_pool_evidence(
    tokens: ContextTokens, key: int, candidates: Mapping[int, Candidates], expected: Expectation = ANY_TEXT
) -> PoolEvidence:
    """Return the evidence of the pool indices with the best noise, given the candidates at each position."""
    tokens = limit_tokens(tokens, key)
    tokens = tokens.select(np.array([position in candidates for position in tokens.positions.tolist()], bool))
    row_candidates = [to_hashes(tokens, position, candidates[position]) for position in tokens.positions.tolist()]
    # A token that is certain says nothing.
    is_uncertain_N = np.array([len(ids) > 1 for ids, _ in row_candidates], bool)
    tokens = tokens.select(is_uncertain_N)
    row_candidates = [each for each, is_uncertain in zip(row_candidates, is_uncertain_N, strict=True) if is_uncertain]
    if not len(tokens):
        return PoolEvidence(np.zeros(0, np.int64), np.zeros(0), 0)
    chance_N = np.array([probabilities[0] for _, probabilities in row_candidates])
    shortlist = shortlist_pool(tokens, key, chance_N, expected)
    width = max(len(ids) for ids, _ in row_candidates)
    ids_NC = np.array([np.pad(ids, (0, width - len(ids)), mode="edge") for ids, _ in row_candidates])
    chance_NC = np.array([np.pad(p, (0, width - len(p))) for _, p in row_candidates])
    folded = np.repeat(tokens.folded, width)
    is_used = chance_NC.ravel() > 0
    gumbel = np.full((len(shortlist), len(is_used)), -np.inf)
    bits = pool_token_bits(key, shortlist, folded[is_used], ids_NC.ravel()[is_used])
    with np.errstate(divide="ignore"):
        gumbel[:, is_used] = np.log(chance_NC.ravel()[is_used]) - np.log(-np.log(to_uniform(bits)))
    is_chosen_PN = gumbel.reshape(len(shortlist), *ids_NC.shape).argmax(2) == 0
    ratio_NPS = compute_model_ratios(is_chosen_PN, chance_N, np.array(expected.miss_rates))
    edit_N = estimate_edit_rates(chance_N, expected.edit_rate)
    log_e_P = compute_log_evidence(ratio_NPS, tokens.positions, edit_N, expected.unmarked)
    return PoolEvidence(shortlist, log_e_P, len(tokens))


def combine_evidence(values: Sequence[PoolEvidence]) -> float:
    """Return the logarithm of a p-value for a batch, whose values are each marked with another pool index, or not.

    The hypotheses are all choices of pool indices, no two of them equal, so that the noise of different values is
    independent, whatever tokens they share. Each value is marked with one of the probabilities `BATCH_SHARES`, which
    have the same prior. The mean of the likelihood ratios over the hypotheses is an e-value (its mean under the null
    hypothesis is at most 1), and the one hypothesis that is found here bounds it from below.
    """
    ratios = [
        (float(log_e) - log(TOKEN_POOL_SIZE), row, int(index))
        for row, each in enumerate(values)
        for index, log_e in zip(each.pool_indices.tolist(), each.log_e_P.tolist(), strict=True)
    ]
    ratios.sort(reverse=True)
    return min(min(-_combine_ratios(ratios, len(values), share) for share in BATCH_SHARES) + log(len(BATCH_SHARES)), 0)


def _combine_ratios(ratios: Sequence[tuple[float, int, int]], num_values: int, share: float) -> float:
    """Return the logarithm of an e-value from (ratio, value, pool index), the highest first; `share` are marked."""
    floor, best, taken = log(1 - share), dict[int, float](), set[int]()
    for ratio, row, index in ratios:
        if ratio + log(share) <= floor:
            break
        if row not in best and index not in taken:
            best[row] = ratio + log(share)
            taken.add(index)
    return sum(best.values()) + floor * (num_values - len(best))


def to_hashes(tokens: ContextTokens, position: int, candidates: Candidates) -> Candidates:
    """Return the candidates as the hashes that key their noise."""
    ids, probabilities = candidates
    return (tokens.maps[position][ids] if tokens.maps else ids), probabilities


def limit_tokens(tokens: ContextTokens, key: int) -> ContextTokens:
    """Return the first tokens whose context is not free under this key."""
    tokens = tokens.select(~are_free(key, tokens.folded))
    return tokens.select(np.arange(len(tokens)) < MAX_TOKENS)


def list_candidates(probabilities_V: np.ndarray, token: int) -> Candidates:
    """Return the token and the likely others, with their probabilities among these; a token without chance has 0."""
    count = min(MAX_CANDIDATES, len(probabilities_V))
    top = np.argpartition(-probabilities_V, count - 1)[:count]
    top = top[np.argsort(-probabilities_V[top], kind="stable")]
    mass = probabilities_V[top].cumsum()
    top = top[: int(np.searchsorted(mass, CANDIDATE_MASS * mass[-1])) + 1]
    others = top[(top != token) & (probabilities_V[top] > 0)]
    ids = np.concatenate([[token], others])
    chances = probabilities_V[ids].astype(np.float64)
    return ids, chances / max(chances.sum(), 1e-300)


def shortlist_pool(
    tokens: ContextTokens, key: int, chance_N: np.ndarray, expected: Expectation = ANY_TEXT
) -> np.ndarray:
    """Return the pool indices with the most evidence in the noise of the tokens alone."""
    log_u_PN = np.log(to_uniform(pool_token_bits(key, np.arange(TOKEN_POOL_SIZE), tokens.folded, tokens.hashes)))
    clipped_N = np.clip(chance_N, 1e-3, 1)
    density_NP = (np.exp((1 / clipped_N - 1) * log_u_PN) / clipped_N).T
    miss_rates = np.array(expected.miss_rates)
    ratio_NPS = (1 - miss_rates) * density_NP[:, :, None] + miss_rates
    edit_N = estimate_edit_rates(chance_N, expected.edit_rate)
    log_e_P = compute_log_evidence(ratio_NPS, tokens.positions, edit_N, expected.unmarked)
    return np.argsort(-log_e_P)[: expected.num_shortlisted]


def compute_blind_ratios(uniform_PN: np.ndarray) -> np.ndarray:
    """Return the likelihood ratio of each state to the null hypothesis, N P S."""
    log_u_PN = np.log(uniform_PN)
    densities = np.stack([np.exp((1 / p - 1) * log_u_PN) / p for p in _PROBABILITIES])
    return np.einsum("sk,kpn->nps", _BLIND_STATES, densities)


def compute_model_ratios(
    is_chosen_PN: np.ndarray, chance_N: np.ndarray, miss_rates: np.ndarray = _MISS_RATES
) -> np.ndarray:
    """Return the likelihood ratio of each state to the null hypothesis, N P S, by whether the key chose the token."""
    with np.errstate(divide="ignore", invalid="ignore"):
        match_NS = (1 - miss_rates) / chance_N[:, None] + miss_rates
    return np.where(is_chosen_PN.T[:, :, None], match_NS[:, None], miss_rates)


def estimate_edit_rates(chance_N: np.ndarray, rate: float = EDIT_RATE) -> np.ndarray:
    """Return the probability that each token was edited, by the probability that the model gives it, N."""
    edited = rate * EDITED_CHANCE
    return np.clip(edited / (edited + (1 - rate) * chance_N), rate / 2, 0.98)


def compute_log_evidence(
    ratio_NPS: np.ndarray,
    positions: np.ndarray | None = None,
    edit_N: np.ndarray | None = None,
    unmarked: float | None = None,
) -> np.ndarray:
    """Return the logarithm of an e-value for each pool index (P): its mean under the null hypothesis is at most 1.

    It is the likelihood ratio of a hidden Markov model. Its text switches between unmarked and the states, so that
    prompts and quotations cost little; an edited token hides the mark of itself and of the tokens whose context it is
    in. `positions` (N) are the places of the tokens in the text, `edit_N` the probability that each was edited: both
    may depend on the text, not on the noise. `unmarked` is the probability that a text begins unmarked (None: that of
    each state). 1 / e bounds the p-value (Markov's inequality).
    """
    num_tokens, num_indices, num_states = ratio_NPS.shape
    gaps = np.ones(num_tokens, int) if positions is None else np.diff(positions, prepend=positions[:1] - 1)
    unmarked = 1 / (num_states + 1) if unmarked is None else unmarked
    start = (1 - unmarked) / num_states
    unmarked_P, marked_PS = np.full(num_indices, unmarked), np.full((num_indices, num_states), start)
    # By how many of the next positions have a context with the edited token.
    edited_PSK = np.zeros((num_indices, num_states, CONTEXT_WIDTH + 1))
    log_e_P = np.zeros(num_indices)
    edit_N = np.full(num_tokens, EDIT_RATE) if edit_N is None else edit_N
    for ratio_PS, gap, edit in zip(ratio_NPS, np.minimum(gaps, CONTEXT_WIDTH + 1), edit_N, strict=True):
        marked_PS += edited_PSK[:, :, :gap].sum(2)
        edited_PSK = np.concatenate([edited_PSK[:, :, gap:], np.zeros((num_indices, num_states, gap))], 2)
        total_P = unmarked_P + marked_PS.sum(1)
        unmarked_P = (1 - SWITCH_RATE) * unmarked_P + SWITCH_RATE * unmarked * total_P
        marked_PS = (1 - SWITCH_RATE) * marked_PS + SWITCH_RATE * start * total_P[:, None]
        edited_PSK[:, :, CONTEXT_WIDTH] += edit * marked_PS
        marked_PS = (1 - edit) * marked_PS * ratio_PS
        total_P = unmarked_P + marked_PS.sum(1) + edited_PSK.sum((1, 2))
        log_e_P += np.log(total_P)
        unmarked_P, marked_PS = unmarked_P / total_P, marked_PS / total_P[:, None]
        edited_PSK /= total_P[:, None, None]
    return log_e_P


def compute_log_gamma_tail(shape: int, x: float) -> float:
    """Return log P(X > x) of a sum X of `shape` exponential variables of mean 1."""
    if x <= 0:
        return 0.0
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, shape)))])
    terms = np.arange(shape) * log(x) - log_factorial
    top = terms.max()
    return min(float(top + np.log(np.exp(terms - top).sum()) - x), 0.0)
